"""`scaler_worker_manager DRIVER cleanup`: ends what a manager has left, and says of each what became of it."""

from __future__ import annotations

from collections.abc import Sequence

from scaler.config.command_line import CommandLine, answered
from scaler.config.options import Component, Option
from scaler.config.table import WORKER_MANAGER
from scaler.managers.names import full_name

# Of all that managers may be told: whose units they are, and how they are reached.
_OF_MANAGERS = (
    *("scheduler_address", "worker_manager_id", "state_directory", "key_file", "insecure", "shutdown_timeout_seconds"),
    *("logging_level", "logging_paths", "logging_config_file"),
)
_OWN = (
    Option("dry_run", "flag", "only say what would be ended and deleted", group="cleanup"),
    Option(
        "scope",
        "value",
        "manager: all that this manager ever made; run: what its last run made besides workers; cluster: also of the "
        "cluster's other managers",
        default="manager",
        choices=("run", "manager", "cluster"),
        group="cleanup",
    ),
)


def command_of(name: str, own: Component) -> CommandLine:
    """own: the driver's options."""
    of_managers = tuple(each for each in WORKER_MANAGER.options if each.name in _OF_MANAGERS)
    options = (*of_managers, *own.options)
    positional = tuple(each for each in options if each.kind == "positional")
    others = tuple(each for each in options if each.kind != "positional")
    components = [Component(WORKER_MANAGER.table, (*positional, *_OWN)), Component(WORKER_MANAGER.table, others)]
    program = f"scaler_worker_manager {name} cleanup"
    description = (
        f"Ends all workers that a manager of the driver {full_name(name)} has left, deletes what it made besides, and "
        "tells of each. The manager must have ended. ADDRESS is only needed with --insecure."
    )
    return CommandLine(program, description, components, f"{program} --dry-run")


def clean_up(name: str, arguments: Sequence[str]) -> int:
    from scaler.managers.loading import load_driver

    driver = load_driver(name)
    command_line = command_of(name, driver.options)
    if answered(arguments, command_line.help):
        return 0

    from scaler.config import load
    from scaler.config.logs import set_up_logging
    from scaler.config.models import WorkerManagerOptions
    from scaler.config.process_list import hide_secrets
    from scaler.managers.api import Scope
    from scaler.managers.leftovers import Leftovers, check_choice, check_owner
    from scaler.managers.tables import gather

    hidden = hide_secrets(driver.options.options)
    typed = command_line.read(arguments)
    scope = Scope(check_choice("--scope", str(typed.values.pop("scope", "manager")), [each.value for each in Scope]))
    dry_run = bool(typed.values.pop("dry_run", False))
    components = [driver.options, WORKER_MANAGER]
    given = gather(typed, driver.info.name, components)
    # Nobody is connected to; without keys the address says whose units are meant.
    named = "scheduler_address" in given.values
    if not given.values.get("insecure"):
        given.values.setdefault("scheduler_address", "tcp://127.0.0.1:8516")
    options = load.validate(WorkerManagerOptions, given, components)
    own = load.validate(driver.info.options, given, components)
    set_up_logging(options.logging_level, options.logging_paths, options.logging_config_file)
    given.words += hidden.words(driver.options.options)
    load.speak(given)
    check_owner(options, named)
    leftovers = Leftovers(driver, options, own)
    try:
        return leftovers.end(scope, dry_run)
    finally:
        leftovers.close()
