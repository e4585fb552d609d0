"""Running one driver: what it offers, and the process that the scheduler sees."""

import logging
import os
import random
import shlex
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from scaler._core import VERSION, Loop
from scaler.config.models import WorkerManagerOptions
from scaler.config.process_list import Hidden
from scaler.managers.api import Family, Job, OptionModel, WorkerGroup
from scaler.managers.asking import asked
from scaler.managers.calling import OpenContexts
from scaler.managers.host import Dialling, Manager, Wanted
from scaler.managers.kept_jobs import KeptJobs, KeptObjects
from scaler.managers.launching import Names, launch, typed
from scaler.managers.loading import Driver
from scaler.managers.offering import checked_offer, fleet_size, python_minor
from scaler.managers.offloading import (
    ENDING_SECONDS,
    JobLinks,
    Offloading,
    job_slots,
    manager_settings,
    node_settings,
)
from scaler.managers.owning import Ownership
from scaler.managers.reaching import warn_of_loopback
from scaler.node.agent import node_ticket
from scaler.outward import OutwardLink
from scaler.part import END_SECONDS, Ending
from scaler.running_loop import RunningLoop
from scaler.transport.addresses import IpcAddress, parse_address
from scaler.transport.connect import dial
from scaler.transport.keys import Key

log = logging.getLogger("scaler.managers")

# A process whose starter was killed is gone after so long, whatever hangs.
PREDECESSOR_SECONDS = END_SECONDS + 1.0

# A group that was asked for twice has the newer token; clocks of machines differ.
TOKEN_MARGIN_SECONDS = 60.0
# What drivers offer for the end of units that are on this machine.
LOCAL_SECONDS = 10.0
# What the core's end may take longer than that of the workers, in seconds.
_MARGIN = 5.0
# Set in the environment of a process that has started itself anew.
AGAIN = "SCALER_MANAGER_AGAIN"


class Greeting(NamedTuple):
    """What a manager says when it is up. text: for people. end_seconds: what its end may take when it is told to hurry;
    0: it ends in a few seconds. cleanup_command: what to type where its end was cut short."""

    text: str
    end_seconds: float
    cleanup_command: str


def run_manager(
    driver: Driver,
    options: WorkerManagerOptions,
    own: OptionModel,
    make_ending: Callable[[], Ending],
    on_ready: Callable[[Greeting], None],
) -> int:
    """Runs a manager until it is told to end; its exit status. on_ready: called once.

    options: those of all managers; own: the driver's. make_ending: called before there are threads.
    ThreeLineError: it cannot run. StartAnew: this process is to.
    """
    offload = driver.info.family is Family.OFFLOAD
    ending = make_ending()
    link = _Link(options, "node" if offload else "manager")
    try:
        ownership = Ownership(driver, options, own, PREDECESSOR_SECONDS)
        try:
            ownership.ledger.begin()
            if not offload:
                warn_of_loopback(options)
            running = (_Jobs if offload else _Groups)(_Offered(driver, options, own, ownership))
            return running.run(ending, link, on_ready)
        finally:
            ownership.close()
    finally:
        link.close()


class _Link:
    """The link to the scheduler, the first time by a connection that is made at once."""

    def __init__(self, options: WorkerManagerOptions, role: str) -> None:
        """Fails here, with what to do, when there is no such address or no key, which may be made here."""
        self._address = options.scheduler_address
        self._role = role
        self.access: dict[str, Any] = {
            "key_file": options.key_file,
            "insecure": options.insecure or None,
            "compression": options.compression,
        }
        self._first: int | None = None
        self._outward: OutwardLink | None = None
        # One that has started itself anew has workers, and waits for its scheduler as long as they do.
        if not os.environ.pop(AGAIN, ""):
            timeout = options.connect_timeout_seconds
            self._first = dial(self._address, role, timeout=timeout, **self.access).fd

    def serve(self, loop: Loop) -> None:
        """Before the loop asks for a connection."""
        self._loop = loop
        self._outward = OutwardLink(loop, "scheduler", self._role, self._address, **self.access)

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


class _Offered:
    """A driver that was opened and asked, and what all managers tell the core. It has no units yet."""

    def __init__(self, driver: Driver, options: WorkerManagerOptions, own: OptionModel, ownership: Ownership) -> None:
        self.driver = driver
        self.options = options
        self.ownership = ownership
        self.cleanup_command = cleanup_command(driver, options, own)
        self.objects = KeptObjects()
        if driver.info.family is Family.OFFLOAD:
            ownership.objects = self.objects
        hook = driver.hook
        self.contexts = asked(
            "open", lambda: OpenContexts(ownership.make_context, lambda context: hook.open(context=context))
        )
        context = self.contexts.current
        asked("validate", lambda: hook.validate(context=context))
        self.offer = checked_offer(driver.info.name, asked("offer", lambda: hook.offer(context=context)))
        # Who has been let in comes back with another one.
        ownership.token_seconds = self.offer.startup_seconds + TOKEN_MARGIN_SECONDS
        if options.shutdown_timeout_seconds is None:
            ownership.shutdown_seconds = context.shutdown_seconds = self.offer.shutdown_seconds
        self.shutdown = ownership.shutdown_seconds

    def settings(self) -> dict[str, Any]:
        """Of the manager, as `scaler._core.Loop` takes them, but for how many groups of how many slots."""
        offer, options = self.offer, self.options
        return {
            "id": self.ownership.name,
            "driver": self.driver.info.name,
            "capabilities": sorted({**offer.capabilities, **dict(options.per_worker_capabilities)}.items()),
            "python_minor": python_minor(offer),
            "startup": offer.startup_seconds,
            "lease": options.death_timeout_seconds,
            "cooldown": options.scale_down_cooldown_seconds,
            "cleanup": self.cleanup_command,
            "workers_address": options.worker_scheduler_address or options.scheduler_address,
            "heartbeat": options.heartbeat_interval_seconds,
            # `shutdown` may wait for as long as tasks may go on.
            "deadline": max(offer.deadline_seconds, self.shutdown + _MARGIN),
            "batch": offer.batch,
            "calls": offer.calls,
            "settle": offer.settle_seconds,
            "shutdown": self.shutdown + _MARGIN,
            "seed": random.getrandbits(64),
            "entries": [tuple(each) for each in self.ownership.ledger.entries()],
            "ticket": _ticket(self.ownership.key, options),
            "properties": {"version": VERSION, "pid": str(os.getpid())},
        }

    def greeting(self, text: str, end_seconds: float) -> Greeting:
        # What is on this machine ends in a few seconds, or is stuck.
        elsewhere = self.offer.shutdown_seconds > LOCAL_SECONDS
        return Greeting(text, end_seconds if elsewhere else 0.0, self.cleanup_command)

    def manager(self, loop: Loop, link: Dialling, on_ready: Callable[[], None], **others: Any) -> Manager:
        """others: what of a Manager depends on what its units are."""
        return Manager(
            loop=loop,
            link=link,
            ledger=self.ownership.ledger,
            hook=self.driver.hook,
            contexts=self.contexts,
            on_ready=on_ready,
            fixed=self.offer.fixed,
            cleanup_command=self.cleanup_command,
            scheduler=self.options.scheduler_address,
            name=self.ownership.name,
            **others,
        )


class _Groups:
    """Of a capacity driver: its units are groups of workers, which the scheduler asks for."""

    def __init__(self, offered: _Offered) -> None:
        self._offered = offered
        self._offer = offered.offer
        self._size = fleet_size(offered.offer, offered.options.max_task_concurrency)

    def run(self, ending: Ending, link: _Link, on_ready: Callable[[Greeting], None]) -> int:
        numbers = {
            "least_groups": 1 if self._offer.fixed else 0,
            "most_groups": self._size.groups,
            "slots": self._size.slots,
        }
        loop = Loop(manager={**self._offered.settings(), **numbers})
        link.serve(loop)
        seconds = max(END_SECONDS, self._offered.shutdown + _MARGIN)
        ready = partial(on_ready, self._offered.greeting(self._text(), seconds))
        manager = self._offered.manager(loop, link, ready, make_request=self._group)
        return manager.run(ending, RunningLoop(loop, "manager"), seconds)

    def _text(self) -> str:
        most = f"{self._size.workers} workers serve {self._offered.options.scheduler_address}"
        return most if self._offer.fixed else f"up to {most}, as tasks need them"

    def _group(self, wanted: Wanted) -> WorkerGroup:
        group, slots, capabilities = wanted[0], wanted[1], dict(wanted[2])
        ownership = self._offered.ownership
        names = Names(manager=ownership.name, group=group)
        token = ownership.join_token(group)
        return WorkerGroup(group, slots, capabilities, launch(self._offered.options, slots, capabilities, names, token))


class _Jobs:
    """Of an offload driver: its units are jobs, one a task, of the node that this process is to the scheduler."""

    def __init__(self, offered: _Offered) -> None:
        self._offered = offered
        self._slots = job_slots(offered.options, offered.offer)
        self._jobs = KeptJobs(f"3.{python_minor(offered.offer)}")

    def run(self, ending: Ending, link: _Link, on_ready: Callable[[Greeting], None]) -> int:
        offered, options = self._offered, self._offered.options
        name = offered.ownership.name
        settings = manager_settings(offered.settings(), offered.offer, self._slots, offered.shutdown)
        ticket = _ticket(offered.ownership.key, options, node_ticket)
        node = node_settings(options, offered.offer, self._slots, name, ticket)
        loop = Loop(node=node, manager=settings)
        link.serve(loop)
        address = options.object_storage_address or ""
        store = OutwardLink(loop, "store", "objects", address, **link.access)
        links = JobLinks(link.connect, store, options.scheduler_address)
        text = f"up to {self._slots} jobs at a time serve {options.scheduler_address}"
        ending_seconds = ENDING_SECONDS + offered.offer.settle_seconds
        seconds = max(END_SECONDS, offered.shutdown + ending_seconds + _MARGIN)
        ready = partial(on_ready, offered.greeting(text, seconds))
        handlers = partial(Offloading, loop, self._jobs, offered.objects, links)
        manager = offered.manager(loop, link, ready, make_request=self._job, jobs=handlers)
        try:
            return manager.run(ending, RunningLoop(loop, "manager"), seconds)
        finally:
            store.close()

    def _job(self, wanted: Wanted) -> Job | None:
        return self._jobs.get(wanted[0])


def cleanup_command(driver: Driver, options: WorkerManagerOptions, own: OptionModel) -> str:
    """What a user types to end what a manager has left: with what was said of where that is, but for secrets."""
    words = ["scaler_worker_manager", driver.info.name, "cleanup"]
    for name in ("worker_manager_id", "key_file", "state_directory"):
        if value := getattr(options, name):
            words += ["--" + name.replace("_", "-"), value]
    if options.insecure:
        words += [options.scheduler_address, "--insecure"]
    for each in driver.options.options:
        if each.name in own.model_fields_set and not each.secret:
            words += typed(each.name, getattr(own, each.name))
    return shlex.join(words)


def start_anew(reason: object, hidden: Hidden) -> None:
    """The same command in the same process: what it has started goes on, and is found again.

    hidden: secrets that were typed go on in the environment.
    """
    log.warning("starting anew: %s", reason)
    os.environ.update({**hidden.environment, AGAIN: "1"})
    os.execv(sys.executable, [sys.executable, *hidden.command])


def _manager_ticket(key: Key) -> bytes:
    return key.ticket("manager")


def _ticket(key: Key | None, options: WorkerManagerOptions, make: Callable[[Key], bytes] = _manager_ticket) -> bytes:
    """None is asked for on a local path."""
    if options.insecure or key is None or isinstance(parse_address(options.scheduler_address), IpcAddress):
        return b""
    return make(key)
