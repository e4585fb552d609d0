"""The host of a driver in fixed mode: one worker group of n slots for as long as the manager lives."""

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scaler.managers.api import Context, Unit, UnitState, WorkerGroup
from scaler.managers.loading import Driver
from scaler.part import Ending

log = logging.getLogger("scaler.managers")

# Before a group that died is replaced: at first, and at most, doubled in between, in seconds.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
# What Ctrl-C leaves running tasks: all is over in five seconds.
HURRIED_SECONDS = 1.5
# A group that lived so long has not failed to start: the next one does not wait.
_LIVED = 60.0

_ENDED = {UnitState.FAILED, UnitState.GONE}


@dataclass(frozen=True)
class _Started:
    unit: Unit


@dataclass(frozen=True)
class _Seen:
    units: Sequence[Unit]


@dataclass(frozen=True)
class _Drain:
    at_once: bool


_Event = _Started | _Seen | _Drain


@dataclass
class FixedManager:
    """Keeps one group alive. `make_group(n)`: the n-th of this run, under an id of its own.

    pauses: before the replacement of a group that died, doubled from the first to the longest.
    """

    driver: Driver
    context: Context
    make_group: Callable[[int], WorkerGroup]
    heartbeat_seconds: float
    on_ready: Callable[[Unit], None]
    first_pause: float = FIRST_PAUSE
    longest_pause: float = LONGEST_PAUSE
    _events: "queue.SimpleQueue[_Event]" = field(default_factory=queue.SimpleQueue)
    _ended: threading.Event = field(default_factory=threading.Event)
    _current: str = ""

    def run(self, ending: Ending) -> int:
        """Until told to end, or the group ends in peace (its scheduler said so). Exit code; 1 when it never came up."""
        ending.watch(on_stop=lambda: self._events.put(_Drain(True)), on_drain=lambda: self._events.put(_Drain(False)))
        threading.Thread(target=self._watch, name="heartbeat", daemon=True).start()
        try:
            return self._keep_alive()
        finally:
            self._ended.set()

    def _keep_alive(self) -> int:
        pause = self.first_pause
        for number in itertools.count(1):
            unit = self._start(number)
            if unit is None:
                return 0
            began = time.monotonic()
            if unit.state in _ENDED:
                log.error("the workers did not start: %s", unit.detail)
                if number == 1:
                    return 1
            else:
                self.on_ready(unit)
                ended = self._wait_for_end()
                if ended is None:
                    return self._finish()
                if ended.state is UnitState.SUCCEEDED:
                    log.info("the workers have ended, as they were told")
                    return 0
                log.error("the workers have ended: %s", ended.detail)
            self._shut_down()
            if time.monotonic() - began > _LIVED:
                pause = self.first_pause
            log.warning("they are started again in %g s", pause)
            if not self._rest(pause):
                return 0
            pause = min(2 * pause, self.longest_pause)
        raise AssertionError("the numbers do not end")

    def _finish(self) -> int:
        """Drains the group. A second word to end, while that lasts, is Ctrl-C's own and ends this process."""
        log.info("the workers finish what they run, in %g s at most", self.context.shutdown_seconds)
        done = threading.Thread(target=self._shut_down, name="shutdown", daemon=True)
        done.start()
        while done.is_alive():
            try:
                event = self._events.get(timeout=0.1)
            except queue.Empty:
                continue
            if isinstance(event, _Drain) and event.at_once:
                done.join(HURRIED_SECONDS)
                break
        return 0

    def _start(self, number: int) -> Unit | None:
        """None when we are to end. The call is in a thread: it may take as long as the scheduler is away."""
        group = self.make_group(number)
        self._current = group.id
        threading.Thread(target=self._call_start, args=(group,), name="start", daemon=True).start()
        while True:
            match self._events.get():
                case _Started(unit):
                    return unit
                case _Drain():
                    return None

    def _call_start(self, group: WorkerGroup) -> None:
        try:
            (unit,) = self.driver.hook.start(context=self.context, requests=[group])
        except Exception as error:
            log.exception("the driver failed to start a group")
            unit = Unit(group.id, "", UnitState.FAILED, f"{type(error).__name__}: {error}")
        self._events.put(_Started(unit))

    def _wait_for_end(self) -> Unit | None:
        """The group's unit once it has ended; None when we are to end."""
        while True:
            match self._events.get():
                case _Drain(at_once):
                    self._hurry(at_once)
                    return None
                case _Seen(units):
                    unit = next((each for each in units if each.id == self._current), None)
                    if unit is None:
                        return Unit(self._current, "", UnitState.GONE, "the infrastructure has forgotten them")
                    if unit.state in _ENDED or unit.state is UnitState.SUCCEEDED:
                        return unit

    def _rest(self, seconds: float) -> bool:
        """False when we are to end."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=left)
            except queue.Empty:
                return True
            if isinstance(event, _Drain):
                return False
        return True

    def _hurry(self, at_once: bool) -> None:
        if at_once:
            self.context.shutdown_seconds = min(HURRIED_SECONDS, self.context.shutdown_seconds)

    def _shut_down(self) -> None:
        self.driver.hook.shutdown(context=self.context, ids=[self._current])

    def _watch(self) -> None:
        while not self._ended.wait(self.heartbeat_seconds):
            try:
                self._events.put(_Seen(self.driver.hook.heartbeat(context=self.context)))
            except Exception:
                log.exception("the driver's heartbeat failed")
