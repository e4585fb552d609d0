"""The process of a worker manager: the core decides, hooks and ledger are called, and that is all that is done here."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from scaler.managers.api import Job, Unit, UnitState, WorkerGroup
from scaler.managers.calling import Answers, Calls, OpenContexts
from scaler.managers.ledger import LedgerError
from scaler.part import Ending, StartAnew
from scaler.running_loop import Handlers, log
from scaler.transport.errors import ConfigurationError, ThreeLineError

logger = logging.getLogger("scaler.managers")

# What Ctrl-C leaves running tasks: on this machine all is over in five seconds.
HURRIED_SECONDS = 1.5
# Between two looks for what is to be told or tried again, and between two words of what is waited for, in seconds.
_LOOK_SECONDS = 0.5
_TOLD_EVERY = 5.0
_TOLD_GROUPS = 5
# RefusalCode::Duplicate, and Closing, after which the core says that it is over.
_DUPLICATE = 3
_CLOSING = 5

# A group as a "start" request has it, and as a "record" request has it.
Wanted = tuple[str, int, Sequence[tuple[str, int]]]
Recorded = tuple[str, int, Sequence[tuple[str, int]], str, str]


class ManagerLoop(Answers, Protocol):
    """What is needed of `scaler._core.Loop`."""

    def manager_recorded(self, number: int) -> None: ...
    def manager_leave(self) -> None: ...
    def stop(self) -> None: ...


class Records(Protocol):
    """What is needed of `Ledger`."""

    def record(self, entries: Iterable[Recorded]) -> None: ...


class Serving(Protocol):
    """What is needed of `RunningLoop`."""

    def serve(self, handlers: Handlers, every: float | None, tidy: Callable[[], object]) -> None: ...


class Dialling(Protocol):
    """What is needed of `OutwardLink`."""

    def connect(self, attempt: int) -> None: ...


class Requests(Protocol):
    """What is needed of `Offloading`."""

    def handlers(self) -> Handlers: ...
    def welcome(self, storage: str) -> None: ...


@dataclass
class Manager:
    """make_request: a group or job as a driver starts it; None: nobody knows any more what it was. on_ready: called
    once, at the welcome, or, of a fixed manager, when its workers are up. cleanup_command: for people, where something
    may be left.
    """

    loop: ManagerLoop
    link: Dialling
    ledger: Records
    hook: Any
    contexts: OpenContexts
    make_request: Callable[[Wanted], WorkerGroup | Job | None]
    on_ready: Callable[[], None]
    fixed: bool
    cleanup_command: str
    scheduler: str
    name: str
    # Of an offload driver: its units are jobs, and the loop has requests that are about them.
    jobs: Callable[[Calls, Callable[[str], Unit | None]], Requests] | None = None
    _calls: Calls = field(init=False)
    _requests: Requests | None = field(init=False)
    _status: int = 0
    _error: Exception | None = None
    # Records that could not be written yet, in order.
    _unwritten: list[tuple[int, Sequence[Recorded]]] = field(default_factory=list)
    _states: dict[str, Unit] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ready: bool = False
    _leaving: bool = False
    _told_at: float = 0.0

    def __post_init__(self) -> None:
        self._calls = Calls(self.hook, self.contexts, self.loop, self)
        self._requests = None if self.jobs is None else self.jobs(self._calls, self.unit)

    def run(self, ending: Ending, running: Serving, end_seconds: float) -> int:
        """Until the core says that it is over; the exit status.

        end_seconds: what the end may take after Ctrl-C. StartAnew, or a ThreeLineError: a scheduler does not want us.
        """
        ending.watch(self.hurry, self.leave, end_seconds, self._say_what_is_left)
        try:
            running.serve(self.handlers(), _LOOK_SECONDS, self.look)
        finally:
            self.loop.stop()
        if self._error is not None:
            raise self._error
        return self._status

    def handlers(self) -> Handlers:
        return {
            "connect": lambda link, attempt: self.link.connect(attempt),
            "welcome": self._welcome,
            # What it was started with is good for as long as it lives.
            "ticket": lambda ticket: None,
            "refused": self._refused,
            "log": log,
            "record": self._record,
            "start": self._start,
            "heartbeat": self._calls.heartbeat,
            "shutdown": self._calls.shutdown,
            "cleanup": self._calls.cleanup,
            "restart": self._restart,
            "exit": self._exit,
            **({} if self._requests is None else self._requests.handlers()),
        }

    def leave(self) -> None:
        """Ends units, in the time that was asked for, and then the manager."""
        with self._lock:
            if self._leaving:
                return
            self._leaving = True
            self._told_at = time.monotonic()
        seconds = self.contexts.current.shutdown_seconds
        logger.info("%s finish what they run, in %g s at most", "the workers" if self.jobs is None else "jobs", seconds)
        self.loop.manager_leave()

    def hurry(self) -> None:
        """As `leave`, and running tasks get little time."""
        self.contexts.hurry(HURRIED_SECONDS)
        self.leave()
        if self.jobs is not None:
            # Nobody waits for what runs.
            self.loop.manager_leave()

    def look(self) -> None:
        """Now and then: writes what could not be written, and says what is waited for."""
        if self._unwritten:
            self._write()
        if self._leaving and (live := self._live()) and time.monotonic() - self._told_at > _TOLD_EVERY:
            self._told_at = time.monotonic()
            logger.info("waiting for %s to end; Ctrl-C leaves at once", _few(live))

    def _start(self, call: int, wanted: Sequence[Wanted]) -> None:
        requests = [request for each in wanted if (request := self.make_request(each)) is not None]
        if requests:
            self._calls.start(call, requests)
        else:
            self.loop.manager_units(call, [])

    def _record(self, number: int, entries: Sequence[Recorded]) -> None:
        self._unwritten.append((number, entries))
        # What could not be written is first.
        if len(self._unwritten) == 1:
            self._write()

    def _write(self) -> None:
        """No call without its record: the core waits, and lets nothing be started meanwhile."""
        while self._unwritten:
            number, entries = self._unwritten[0]
            try:
                self.ledger.record(entries)
            except LedgerError as error:
                if time.monotonic() - self._told_at > _TOLD_EVERY:
                    self._told_at = time.monotonic()
                    logger.error("%s", error)
                return
            del self._unwritten[0]
            self.loop.manager_recorded(number)

    def started(self, units: Sequence[Unit]) -> None:
        with self._lock:
            known = dict(self._states)
        self._learn({**known, **{each.id: each for each in units}}, units)

    def seen(self, units: Sequence[Unit]) -> None:
        self._learn({each.id: each for each in units}, units)

    def _learn(self, states: dict[str, Unit], units: Sequence[Unit]) -> None:
        with self._lock:
            before, self._states = self._states, states
        for each in units:
            failed_before = each.id in before and before[each.id].state is UnitState.FAILED
            if each.state is UnitState.FAILED and not failed_before:
                what = "the workers of %s have ended: %s" if self.jobs is None else "job %s has failed: %s"
                logger.error(what, each.id, each.detail or "the driver does not say why")
        if self.fixed and any(each.state is UnitState.RUNNING for each in units):
            self._say_ready()

    def unit(self, id: str) -> Unit | None:
        """What the driver told last of it."""
        with self._lock:
            return self._states.get(id)

    def _live(self) -> list[str]:
        with self._lock:
            live = (UnitState.PENDING, UnitState.RUNNING)
            return sorted(name for name, unit in self._states.items() if unit.state in live)

    def _welcome(self, link: str, cluster: str, storage: str) -> None:
        if link != "scheduler":
            return
        if self._requests is not None:
            self._requests.welcome(storage)
        if not self.fixed:
            self._say_ready()

    def _say_ready(self) -> None:
        with self._lock:
            first, self._ready = not self._ready, True
        if first:
            self.on_ready()

    def _refused(self, link: str, code: int, text: str) -> None:
        if code == _CLOSING:
            return
        if link != "scheduler":
            logger.error("the %s does not want this worker manager: %s", link, text)
            return
        if code == _DUPLICATE:
            self._error = ConfigurationError(
                f"Another worker manager is called {self.name!r}.",
                self.scheduler,
                "give this one a name of its own: --worker-manager-id NAME; or end the other one",
            )
        else:
            self._error = ThreeLineError("The scheduler does not want this worker manager.", self.scheduler, text)
        self.loop.stop()

    def _restart(self, reason: str) -> None:
        self._error = StartAnew(reason)
        self.loop.stop()

    def _exit(self, failed: bool, reason: str) -> None:
        self._status = 1 if failed else 0
        logger.log(logging.ERROR if failed else logging.INFO, "the worker manager ends: %s", reason)
        self.loop.stop()

    def _say_what_is_left(self) -> None:
        """On a Ctrl-C that leaves at once."""
        live = self._live()
        left = f"{_few(live)} may be left" if live else "something may be left"
        print(f"{left}; to end what is: {self.cleanup_command}", flush=True)


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_TOLD_GROUPS])
    more = f" and {len(names) - _TOLD_GROUPS} more" if len(names) > _TOLD_GROUPS else ""
    return shown + more
