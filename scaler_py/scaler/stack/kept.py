"""A part that is kept alive: started again, after a pause, whenever it dies, until it dies too often."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import psutil

from scaler.process import Part, begin_part
from scaler.stack.orphans import Orphans
from scaler.stack.plan import PlannedPart
from scaler.stack.terminal import Terminal
from scaler.transport.announcing import how_others_join, warning_of_open
from scaler.transport.errors import ThreeLineError
from scaler.transport.runtime import remove_left_over

# So many deaths in so many seconds, and it is given up.
DEATHS = 5
WITHIN_SECONDS = 60.0
# Before it is started again: at first, doubled with each death that counts.
FIRST_PAUSE = 0.25

_CANNOT_START = (ThreeLineError, RuntimeError, OSError)


class PartDiedError(ThreeLineError):
    """A part died too often, or did not start."""


class KeptPart:
    """on_end: called, in another thread, when it is not kept any more: with an error when it was given up."""

    def __init__(
        self,
        plan: PlannedPart,
        terminal: Terminal,
        orphans: Orphans,
        on_end: Callable[[KeptPart, PartDiedError | None], None],
    ) -> None:
        self.plan = plan
        self.name = plan.name
        self._terminal = terminal
        self._orphans = orphans
        self._on_end = on_end
        self._settings = dict(plan.settings)
        self._part: Part | None = None
        # Files that a part leaves when it is killed.
        self._sockets: list[str] = []
        self._output: threading.Thread | None = None
        self._keeper: threading.Thread | None = None
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._stopping = threading.Event()
        # Between a start and a request to stop: neither misses the other.
        self._lock = threading.Lock()

    @property
    def end_seconds(self) -> float:
        """What its end may take, as it has said itself; 0 where it has not."""
        part = self._part
        return 0.0 if part is None else float(part.told.get("end_seconds", 0.0))

    @property
    def cleanup_command(self) -> str:
        """What to type where its end is cut short; empty where nothing can be left."""
        part = self._part
        return "" if part is None or not self.end_seconds else str(part.told.get("cleanup_command", ""))

    def set(self, name: str, value: str) -> None:
        """A setting that was not known when it was planned; before `start`."""
        self._settings[name] = value

    def start(self) -> None:
        """Starts it and keeps it alive from then on. PartDiedError when it does not come up this first time."""
        try:
            self._start()
        except _CANNOT_START as error:
            raise _died(f"{self.name} did not start", error) from None
        self._keeper = threading.Thread(target=self._keep, name=f"keeper of {self.name}", daemon=True)
        self._keeper.start()

    def give_up_starting(self) -> None:
        """Ends it where it is not up yet, and starts it no more. One that is up lives on."""
        with self._lock:
            self._stopping.set()
            if self._part is not None and not self._part.told:
                self._part.let_go()

    def let_go(self) -> None:
        """Asks it to end, and does not wait."""
        with self._lock:
            self._stopping.set()
            if self._part is not None:
                self._part.let_go()

    def is_ending_until(self, moment: float) -> bool:
        """Whether it has not ended by then, which is waited for."""
        return self._part is not None and not self._part.ends_within(max(0.0, moment - time.monotonic()))

    def end(self, seconds: float) -> None:
        """Ends it, kills it after so long with all that it started, and leaves no file of its behind."""
        self.let_go()
        if self._part is not None and not self._part.ends_within(max(0.0, seconds)):
            _kill_all_below(self._part)
        if self._keeper is not None:
            self._keeper.join()
        for path in self._sockets:
            if os.path.exists(path):
                remove_left_over(path)

    def read_rest(self, seconds: float) -> None:
        """Waits for its last words. What its tasks left behind may hold the pipe: that is not waited for."""
        if self._output is not None:
            self._output.join(max(0.0, seconds))

    def _start(self) -> None:
        writing, self._output = self._terminal.follow(self.name)
        try:
            with self._lock:
                if self._stopping.is_set():
                    return
                with self._orphans.lock:
                    self._part = begin_part(self.plan.module, self._settings, writing)
                    self._orphans.parts.add(self._part.pid)
        finally:
            os.close(writing)
        self._part.wait_until_ready(self.plan.ready_seconds)
        told = self._part.told
        self._sockets = told.get("sockets", [])
        if "address" in told:
            # Port 0 is a free one now, and the same one ever after.
            self._settings["address"] = told["address"]
        for text in _greeting(told, self._settings.get("insecure", False)):
            self._terminal.say(self.name, text)

    def _keep(self) -> None:
        error: PartDiedError | None = None
        try:
            while error is None and self._part is not None:
                status = self._part.wait_for_end()
                self._orphans.parts.discard(self._part.pid)
                self._orphans.bury()
                if status == 0 or self._stopping.is_set():
                    return
                error = self._revive(RuntimeError(_how(status)))
        finally:
            self._on_end(self, error)

    def _revive(self, error: Exception) -> PartDiedError | None:
        """Starts it again, as often as it takes. What to say when that is too often; None too when it is to end."""
        while True:
            self._deaths.append(time.monotonic())
            recent = [each for each in self._deaths if each > self._deaths[-1] - WITHIN_SECONDS]
            if len(recent) == DEATHS:
                return _died(f"{self.name} died {DEATHS} times within {WITHIN_SECONDS:g} s, at last like this", error)
            pause = FIRST_PAUSE * 2 ** (len(recent) - 1)
            self._terminal.say("scaler", f"{self.name} died: {_brief(error)}; again in {pause:g} s")
            if self._stopping.wait(pause):
                return None
            try:
                self._start()
                return None
            except _CANNOT_START as failure:
                if self._stopping.is_set():
                    return None
                error = failure


def _kill_all_below(part: Part) -> None:
    """What it started might not see that it is gone: an agent that stands still, say."""
    try:
        below = psutil.Process(part.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        below = []
    part.wait(0.0)
    for each in below:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


def _greeting(told: dict[str, Any], insecure: bool) -> list[str]:
    if "text" in told:
        return [told["text"]]
    address, cluster = told["address"], told.get("cluster", "")
    return [
        f"listens at {address}",
        warning_of_open(address) if insecure else "",
        how_others_join(address, cluster) if cluster else "",
    ]


def _how(status: int) -> str:
    return f"it ended with exit code {status}" if status > 0 else f"it was ended by {signal.Signals(-status).name}"


def _brief(error: Exception) -> str:
    return error.what.rstrip(".") if isinstance(error, ThreeLineError) else str(error)


def _died(prefix: str, error: Exception) -> PartDiedError:
    if isinstance(error, ThreeLineError):
        return PartDiedError(f"{prefix}: {error.what}", error.where, error.mend)
    return PartDiedError(f"{prefix}: {error}.", "", "see what it said above")
