"""Running one driver: what it offers, and the process that the scheduler sees."""

import logging
import math
import os
import random
import shlex
import sys
from collections.abc import Callable
from typing import Any

from scaler._core import VERSION, Loop
from scaler.config.models import WorkerManagerOptions
from scaler.config.process_list import Hidden
from scaler.managers.api import Family, OptionModel, WorkerGroup
from scaler.managers.asking import asked
from scaler.managers.calling import OpenContexts
from scaler.managers.host import Manager, Wanted
from scaler.managers.launching import Names, launch
from scaler.managers.loading import Driver
from scaler.managers.offering import checked_offer, python_minor
from scaler.managers.owning import Ownership
from scaler.node.settings import available_cpus
from scaler.outward import OutwardLink
from scaler.part import END_SECONDS, Ending
from scaler.running_loop import RunningLoop
from scaler.transport.addresses import IpcAddress, parse_address
from scaler.transport.connect import dial
from scaler.transport.errors import ConfigurationError
from scaler.transport.keys import Key

log = logging.getLogger("scaler.managers")

# What the core's end may take longer than that of the workers, in seconds.
_MARGIN = 5.0
# Set in the environment of a process that has started itself anew.
AGAIN = "SCALER_MANAGER_AGAIN"


def run_manager(
    driver: Driver,
    options: WorkerManagerOptions,
    own: OptionModel,
    make_ending: Callable[[], Ending],
    on_ready: Callable[[str], None],
) -> int:
    """Runs a manager until it is told to end; its exit status. on_ready: called once, with what to tell people.

    options: those of all managers; own: the driver's. make_ending: called before there are threads.
    ThreeLineError: it cannot run. StartAnew: this process is to.
    """
    if driver.info.family is not Family.CAPACITY:
        raise ConfigurationError(
            f"The driver {driver.info.name!r} runs each task as a job, which version {VERSION} does not do yet.",
            "",
            "use a driver that starts workers: scaler_worker_manager --list",
        )
    ending = make_ending()
    link = _Link(options)
    try:
        ownership = Ownership(driver, options, own)
        try:
            ownership.ledger.begin()
            return _Running(driver, options, ownership).run(ending, link, on_ready)
        finally:
            ownership.close()
    finally:
        link.close()


class _Link:
    """The link to the scheduler, the first time by a connection that is made at once."""

    def __init__(self, options: WorkerManagerOptions) -> None:
        """Fails here, with what to do, when there is no such address or no key, which may be made here."""
        self._address = options.scheduler_address
        self._access: dict[str, Any] = {
            "key_file": options.key_file,
            "insecure": options.insecure or None,
            "compression": options.compression,
        }
        self._first: int | None = None
        self._outward: OutwardLink | None = None
        # One that has started itself anew has workers, and waits for its scheduler as long as they do.
        if not os.environ.pop(AGAIN, ""):
            timeout = options.connect_timeout_seconds
            self._first = dial(self._address, "manager", timeout=timeout, **self._access).fd

    def serve(self, loop: Loop) -> None:
        """Before the loop asks for a connection."""
        self._loop = loop
        self._outward = OutwardLink(loop, "scheduler", "manager", self._address, **self._access)

    def connect(self, attempt: int) -> None:
        if self._first is not None:
            first, self._first = self._first, None
            self._loop.attach("scheduler", first)
        elif self._outward is not None:
            self._outward.connect(attempt)

    def close(self) -> None:
        if self._outward is not None:
            self._outward.close()
        if self._first is not None:
            os.close(self._first)
            self._first = None


class _Running:
    def __init__(self, driver: Driver, options: WorkerManagerOptions, ownership: Ownership) -> None:
        self._driver = driver
        self._options = options
        self._ownership = ownership
        hook = driver.hook
        self._contexts = asked(
            "open", lambda: OpenContexts(ownership.make_context, lambda context: hook.open(context=context))
        )
        context = self._contexts.current
        asked("validate", lambda: hook.validate(context=context))
        self._offer = checked_offer(driver.info.name, asked("offer", lambda: hook.offer(context=context)))
        if options.shutdown_timeout_seconds is None:
            ownership.shutdown_seconds = context.shutdown_seconds = self._offer.shutdown_seconds
        self._shutdown = ownership.shutdown_seconds
        self._workers = options.max_task_concurrency or self._offer.most_workers or available_cpus()

    def run(self, ending: Ending, link: _Link, on_ready: Callable[[str], None]) -> int:
        loop = Loop(manager=self._settings())
        link.serve(loop)
        manager = Manager(
            loop=loop,
            link=link,
            ledger=self._ownership.ledger,
            hook=self._driver.hook,
            contexts=self._contexts,
            make_group=self._group,
            on_ready=lambda: on_ready(self._greeting()),
            fixed=self._offer.fixed,
            cleanup_command=cleanup_command(self._driver.info.name, self._options),
            scheduler=self._options.scheduler_address,
            name=self._ownership.name,
        )
        seconds = max(END_SECONDS, self._shutdown + _MARGIN)
        return manager.run(ending, RunningLoop(loop, "manager"), seconds)

    def _greeting(self) -> str:
        most = f"{self._workers} workers serve {self._options.scheduler_address}"
        return most if self._offer.fixed else f"up to {most}, as tasks need them"

    def _settings(self) -> dict[str, Any]:
        """As `scaler._core.Loop` takes them."""
        offer, options = self._offer, self._options
        slots = self._workers if offer.fixed else min(offer.slots, self._workers)
        capabilities = {**offer.capabilities, **dict(options.per_worker_capabilities)}
        return {
            "id": self._ownership.name,
            "driver": self._driver.info.name,
            "least_groups": 1 if offer.fixed else 0,
            "most_groups": 1 if offer.fixed else math.ceil(self._workers / slots),
            "slots": slots,
            "capabilities": sorted(capabilities.items()),
            "python_minor": python_minor(offer),
            "startup": offer.startup_seconds,
            "lease": options.death_timeout_seconds,
            "cooldown": options.scale_down_cooldown_seconds,
            "heartbeat": options.heartbeat_interval_seconds,
            # `shutdown` may wait for as long as tasks may go on.
            "deadline": max(offer.deadline_seconds, self._shutdown + _MARGIN),
            "batch": offer.batch,
            "calls": offer.calls,
            "settle": offer.settle_seconds,
            "shutdown": self._shutdown + _MARGIN,
            "seed": random.getrandbits(64),
            "entries": [tuple(each) for each in self._ownership.ledger.entries()],
            "ticket": _ticket(self._ownership.key, options),
            "properties": {"version": VERSION, "pid": str(os.getpid())},
        }

    def _group(self, wanted: Wanted) -> WorkerGroup:
        group, slots, capabilities = wanted[0], wanted[1], dict(wanted[2])
        names = Names(manager=self._ownership.name, group=group)
        token = self._ownership.join_token(group)
        return WorkerGroup(group, slots, capabilities, launch(self._options, slots, capabilities, names, token))


def cleanup_command(driver: str, options: WorkerManagerOptions) -> str:
    """What a user types to end what a manager has left."""
    words = ["scaler_worker_manager", driver, "cleanup"]
    for name in ("worker_manager_id", "key_file", "state_directory"):
        if value := getattr(options, name):
            words += ["--" + name.replace("_", "-"), value]
    if options.insecure:
        words += [options.scheduler_address, "--insecure"]
    return shlex.join(words)


def start_anew(reason: object, hidden: Hidden) -> None:
    """The same command in the same process: what it has started goes on, and is found again.

    hidden: secrets that were typed go on in the environment.
    """
    log.warning("starting anew: %s", reason)
    os.environ.update({**hidden.environment, AGAIN: "1"})
    os.execv(sys.executable, [sys.executable, *hidden.command])


def _ticket(key: Key | None, options: WorkerManagerOptions) -> bytes:
    """None is asked for on a local path."""
    if options.insecure or key is None or isinstance(parse_address(options.scheduler_address), IpcAddress):
        return b""
    return key.ticket("manager")
