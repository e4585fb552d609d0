"""Runs a plan: starts its parts one after the other, keeps them alive, and ends all of them together."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import dataclass

from scaler.part import Ending
from scaler.stack.kept import KeptPart, PartDiedError
from scaler.stack.object_folder import object_folder
from scaler.stack.orphans import Orphans
from scaler.stack.plan import Plan
from scaler.stack.terminal import Terminal

# From the word to end until what still runs is killed: of the managers, which end their workers (one that has some
# elsewhere takes longer, and says how long), of all others after them, and of this process, whatever happens.
MANAGERS_SECONDS = 3.0
OTHERS_SECONDS = 0.75
OWN_SECONDS = 1.25
# How often it is said what is waited for.
_TOLD_EVERY = 5.0

_SCHEDULER = "scaler.scheduler"
_MANAGERS = "scaler.managers"


@dataclass(frozen=True)
class _Ended:
    """A part is kept no more: in peace, or with the error for which it was given up. Without a part: all is to end."""

    part: KeptPart | None
    error: PartDiedError | None = None


class Supervisor:
    def __init__(self, plan: Plan, terminal: Terminal) -> None:
        self._events: queue.SimpleQueue[_Ended] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._terminal = terminal
        self._orphans = Orphans()
        self._parts = [KeptPart(each, terminal, self._orphans, self._ended) for each in plan.parts]
        self._started: list[KeptPart] = []

    def run(self, ending: Ending) -> None:
        """Until told to end, the scheduler ends in peace (a client said so), or no part is left.

        PartDiedError: a part did not start, or was given up. Whatever happens, nothing is left behind.
        """
        ending.watch(
            on_stop=self._stop,
            seconds=lambda: self._managers_seconds() + OTHERS_SECONDS + OWN_SECONDS,
            on_leave=self._leave,
        )
        with contextlib.ExitStack() as folders:
            for part in self._parts:
                if part.plan.folder_setting:
                    part.set(part.plan.folder_setting, folders.enter_context(object_folder()))
            try:
                self._start()
                self._watch()
            finally:
                self._end()

    def _start(self) -> None:
        for part in self._parts:
            self._started.append(part)
            try:
                part.start()
            except PartDiedError:
                if not self._stopping.is_set():
                    raise
            if self._stopping.is_set():
                return

    def _watch(self) -> None:
        left = set(self._parts)
        while left and not self._stopping.is_set():
            event = self._events.get()
            if event.error is not None:
                raise event.error
            if event.part is None or event.part.plan.module == _SCHEDULER:
                return
            left.discard(event.part)

    def _end(self) -> None:
        """The managers first: what their workers finish still finds its way."""
        managers = self._managers()
        others = [part for part in reversed(self._started) if part.plan.module != _MANAGERS]
        began = time.monotonic()
        until = began + self._managers_seconds()
        for part in managers:
            part.let_go()
        for part in managers:
            while part.is_ending_until(min(until, time.monotonic() + _TOLD_EVERY)) and time.monotonic() < until:
                self._terminal.say("scaler", f"waiting for {part.name} to end; Ctrl-C leaves at once")
            part.end(until - time.monotonic())
        until = max(began + MANAGERS_SECONDS, time.monotonic()) + OTHERS_SECONDS
        for part in others:
            part.end(until - time.monotonic())
        self._orphans.end()
        for part in self._started:
            part.read_rest(until - time.monotonic())

    def _managers(self) -> list[KeptPart]:
        return [part for part in self._started if part.plan.module == _MANAGERS]

    def _managers_seconds(self) -> float:
        return max([MANAGERS_SECONDS, *(part.end_seconds for part in self._managers())])

    def _leave(self) -> None:
        for part in self._managers():
            if command := part.cleanup_command:
                self._terminal.say("scaler", f"{part.name} may have left something; to end it: {command}")

    def _stop(self) -> None:
        self._stopping.set()
        self._terminal.say("scaler", "all parts end; Ctrl-C leaves at once")
        for part in self._parts:
            part.give_up_starting()
        self._events.put(_Ended(None))

    def _ended(self, part: KeptPart, error: PartDiedError | None) -> None:
        self._events.put(_Ended(part, error))
