"""An agent's executors, as processes: started here, supervised by the loop, buried here."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Protocol

from scaler._core import adopt_orphans
from scaler.node.orphans import Orphans
from scaler.node.output import OutputReader
from scaler.node.starting import ExecutorSettings, start_executor

# Seconds without a request after which left-over processes are looked for.
SWEEP_SECONDS = 5.0


class ExecutorLoop(Protocol):
    """What is needed of `scaler._core.Loop`."""

    def executor_started(self, slot: int, pid: int, fd: int, line_fd: int) -> None: ...
    def executor_failed(self, slot: int, error: str) -> None: ...
    def positions(self) -> list[tuple[int, int, int, int]]: ...
    def output(self, session: int, lines: int, dropped: int, payload: bytes) -> None: ...


class Executors:
    """Use it in the main thread alone: an executor ends with the thread that started it."""

    def __init__(self, loop: ExecutorLoop, settings: ExecutorSettings) -> None:
        adopt_orphans()
        self._loop = loop
        self._settings = settings
        self._orphans = Orphans()
        self._output = OutputReader(loop.positions, loop.output)
        self._pids: dict[int, int] = {}

    def start(self, slot: int) -> None:
        """The loop's request. The slot's executor before this one, if there was one, is dead and reaped."""
        self._pids.pop(slot, None)
        self.sweep()
        try:
            started = start_executor(self._settings)
        except OSError as error:
            self._loop.executor_failed(slot, f"an executor cannot be started: {error}")
            return
        self._pids[slot] = started.pid
        self._orphans.executor_started(started.pid)
        self._output.add(started.pid, started.stdout, started.stderr)
        self._loop.executor_started(slot, started.pid, started.fd, started.line_fd)

    def listen(self, session: int, on: bool) -> None:
        """The loop's request."""
        self._output.listen(session, on)

    def sweep(self) -> None:
        """Ends what dead executors have left behind."""
        self._orphans.sweep()

    def close(self) -> None:
        """When the loop has ended: ends all that is left, waits for it, and shows its last output."""
        for pid in self._pids.values():
            # The loop has reaped most of them, and their numbers may be others' by now.
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self._output.close()
        # A killed process may be the parent of others, which come to us one after the other.
        while self._orphans.sweep(everything=True):
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
