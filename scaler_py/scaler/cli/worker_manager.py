"""`scaler_worker_manager DRIVER ADDRESS`: workers on whatever infrastructure the driver knows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from scaler.cli.command import printed, run_command
from scaler.config.command_line import CommandLine, answered, usage_error
from scaler.config.options import Component
from scaler.config.table import BAREMETAL_NATIVE, WORKER_MANAGER
from scaler.managers.names import BUILT_IN, full_name

_PROGRAM = "scaler_worker_manager"
HELP = """\
usage: scaler_worker_manager DRIVER ADDRESS [options]

Starts and ends workers for the scheduler at ADDRESS, on the infrastructure that DRIVER knows.

  baremetal_native (native)   processes on this machine
  aws_raw_ecs (ecs)           Fargate tasks            pip install scaler-plugin-ecs
  aws_hpc (batch)             AWS Batch jobs           pip install scaler-plugin-batch
  orb_aws_ec2 (orb)           EC2 instances            pip install scaler-plugin-orb
  symphony                    IBM Spectrum Symphony    pip install scaler-plugin-symphony

  scaler_worker_manager DRIVER --help   the options of a driver
  scaler_worker_manager --list          the drivers that are installed here
  scaler_worker_manager -c FILE         the driver, and what else is not typed, from a TOML file
  scaler_worker_manager DRIVER cleanup  ends what a manager that runs no more has left
  scaler_worker_manager new-driver NAME DIR   a package to write a driver in

example: scaler_worker_manager baremetal_native tcp://127.0.0.1:8516 --mode fixed --max-task-concurrency 8
"""


def main() -> None:
    sys.exit(run_command(_main))


def _main(arguments: Sequence[str]) -> int:
    if (code := printed(arguments[:1], HELP)) is not None:
        return code
    if arguments[0] == "--list":
        return _list()
    if arguments[0] == "new-driver":
        return _new_driver(arguments[1:])
    driver, rest = _driver_of(arguments)
    return _run(driver, rest)


def _driver_of(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The driver's name, which comes first or is in a file, and the other arguments."""
    if not arguments[0].startswith("-"):
        if "://" in arguments[0]:
            mend = f"{_PROGRAM} baremetal_native {arguments[0]}; {_PROGRAM} --list shows the drivers"
            raise usage_error("The driver is missing.", arguments[0], mend)
        return arguments[0], arguments[1:]
    path = _file_of(arguments)
    if not path:
        raise usage_error("The driver is missing.", _PROGRAM, f"{_PROGRAM} --help")
    from scaler.managers.tables import only_manager

    table = only_manager(path)
    if table.driver != BUILT_IN:
        # Here, for its error to say where in the file it is named.
        table.load_driver()
    return table.driver, arguments


def _file_of(arguments: Sequence[str]) -> str:
    """The configuration file among the arguments; empty where none is named."""
    for index, each in enumerate(arguments):
        flag, equals, inline = each.partition("=")
        if flag in {"--config", "-c"}:
            return inline if equals else "".join(arguments[index + 1 : index + 2])
    return ""


def _new_driver(arguments: Sequence[str]) -> int:
    from scaler.testing import new_driver

    if (code := printed(arguments[:1], new_driver.HELP)) is not None:
        return code
    return new_driver.run(arguments)


def _list() -> int:
    from scaler.managers import listing

    print(listing.text(), end="")
    return 0


def _help(name: str) -> str:
    """Of one driver. What it said the last time will do: it is not imported then."""
    if full_name(name) == BUILT_IN:
        return command_of(name, [BAREMETAL_NATIVE, WORKER_MANAGER]).help()
    from scaler.managers.described import describe
    from scaler.managers.finding import find_driver

    described = describe(find_driver(name))
    if described.problem:
        raise usage_error(described.problem, full_name(name), described.mend)
    text = command_of(name, [described.options, WORKER_MANAGER]).help()
    if described.commands:
        text += f"\nsubcommands: {', '.join([*described.commands, 'cleanup'])}\n"
    return text + (f"\nmore: {described.doc_url}\n" if described.doc_url else "")


def command_of(name: str, components: Sequence[Component]) -> CommandLine:
    """The command of one driver."""
    description = f"Starts and ends workers for the scheduler at ADDRESS, by the driver {full_name(name)}."
    example = f"{_PROGRAM} {name} tcp://127.0.0.1:8516 --max-task-concurrency 8"
    if full_name(name) == BUILT_IN:
        example += " --mode fixed"
    return CommandLine(f"{_PROGRAM} {name}", description, components, example)


def _run(name: str, arguments: Sequence[str]) -> int:
    if arguments and (command := _subcommand(name, arguments[0])) is not None:
        return command(arguments[1:])
    if answered(arguments, lambda: _help(name)):
        return 0
    return _manage(name, arguments)


def _subcommand(name: str, word: str) -> Callable[[Sequence[str]], int] | None:
    """What a word behind the driver's name means that is no option and no address."""
    if word == "cleanup":
        return lambda rest: _clean_up(name, rest)
    if word.startswith("-") or "://" in word or full_name(name) == BUILT_IN:
        return None
    from scaler.managers.loading import load_driver
    from scaler.managers.owning import bare_context

    driver = load_driver(name)
    command = (driver.hook.commands() or {}).get(word)
    return None if command is None else lambda rest: int(command(rest, bare_context(driver)))


def _clean_up(name: str, arguments: Sequence[str]) -> int:
    from scaler.cli import cleanup

    return cleanup.clean_up(name, arguments)


def _manage(name: str, arguments: Sequence[str]) -> int:
    # Only now: help does without the rest.
    from scaler.config import load
    from scaler.config.logs import set_up_logging
    from scaler.config.models import WorkerManagerOptions
    from scaler.config.process_list import hide_secrets
    from scaler.managers.loading import load_driver
    from scaler.managers.running import run_manager, start_anew
    from scaler.managers.tables import gather
    from scaler.part import Ending, StartAnew

    driver = load_driver(name)
    components = [driver.options, WORKER_MANAGER]
    hidden = hide_secrets(driver.options.options)
    typed = command_of(name, components).read(arguments)
    given = gather(typed, driver.info.name, components)
    options = load.validate(WorkerManagerOptions, given, components)
    own = load.validate(driver.info.options, given, components)
    set_up_logging(options.logging_level, options.logging_paths, options.logging_config_file)
    given.words += hidden.words(driver.options.options)
    load.speak(given)

    try:
        return run_manager(driver, options, own, Ending, lambda greeting: print(greeting.text, flush=True))
    except StartAnew as reason:
        start_anew(reason, hidden)
        raise AssertionError("another program runs in this process") from None


if __name__ == "__main__":
    main()
