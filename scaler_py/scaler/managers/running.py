"""Running one driver: its context, its options checked, and the mode that was asked for."""

import logging
import os
import socket
from collections.abc import Callable
from functools import partial

from scaler._core import VERSION
from scaler.config.models import WorkerManagerOptions
from scaler.managers.api import ConfigurationError, Context, OptionModel, Owner, WorkerGroup
from scaler.managers.fixed import FixedManager
from scaler.managers.launching import Names, launch
from scaler.managers.loading import Driver
from scaler.node.settings import available_cpus
from scaler.part import Ending
from scaler.transport.keys import find_key


def run_manager(
    driver: Driver,
    options: WorkerManagerOptions,
    own: OptionModel,
    make_ending: Callable[[], Ending],
    on_ready: Callable[[int], None],
) -> int:
    """Runs a manager until it is told to end; its exit code. on_ready: called with the number of workers.

    options: those of all managers; own: the driver's. make_ending: called before there are threads.
    """
    check_mode(own, "--mode", f"--mode fixed --max-task-concurrency {available_cpus()}")
    ending = make_ending()
    manager_id = options.worker_manager_id or driver.info.name
    context = _context(driver, own, Owner(_cluster(options), manager_id))
    context.shutdown_seconds = options.shutdown_timeout_seconds
    driver.hook.open(context=context)
    driver.hook.validate(context=context)
    slots = options.max_task_concurrency or available_cpus()
    manager = FixedManager(
        driver,
        context,
        partial(_group, options, manager_id, slots, str(getattr(own, "worker_type", ""))),
        options.heartbeat_interval_seconds,
        lambda unit: on_ready(slots),
    )
    return manager.run(ending)


def check_mode(own: OptionModel, where: str, fixed: str) -> None:
    """ConfigurationError for a mode that is not there yet. fixed: what to write for the one that is."""
    if getattr(own, "mode", "dynamic") != "fixed":
        raise ConfigurationError(
            f"Version {VERSION} has no dynamic mode, in which the scheduler asks for workers by need; a later one has.",
            where,
            f"for so many workers from the start: {fixed}",
        )


def bare_context(driver: Driver) -> Context:
    """For a driver's subcommands, which have options of their own."""
    return _context(driver, None, Owner("", driver.info.name))


def _context(driver: Driver, own: OptionModel | None, owner: Owner) -> Context:
    return Context(owner, own, logging.getLogger(f"scaler.drivers.{driver.info.name}"))


def _cluster(options: WorkerManagerOptions) -> str:
    if options.insecure:
        return ""
    key = find_key(None, options.key_file)
    return key.cluster if key is not None else ""


def _group(options: WorkerManagerOptions, manager: str, slots: int, prefix: str, number: int) -> WorkerGroup:
    name = f"{prefix}-{socket.gethostname()}-{os.getpid()}-{number}" if prefix else ""
    group = f"{manager}-{os.getpid()}-{number}"
    capabilities = dict(options.per_worker_capabilities)
    return WorkerGroup(group, slots, capabilities, launch(options, slots, Names(name, manager, group)))
