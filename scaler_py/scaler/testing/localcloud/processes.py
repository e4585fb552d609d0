"""What really runs: one thread starts all processes, waits for them and for the time, and calls who asked."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import heapq
import itertools
import logging
import os
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from scaler.testing.localcloud import sweeper

logger = logging.getLogger("scaler.localcloud")

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass
class Process:
    """A group of processes of its own. exit_code: as a shell has it, 128 + signal; None while it runs."""

    name: str
    pid: int
    output: Path
    descriptor: int
    exit_code: int | None = None
    _popen: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def signal(self, number: int) -> None:
        """To the first process of the group alone, as a container's engine does it."""
        with contextlib.suppress(ProcessLookupError):
            if self.exit_code is None:
                signal.pidfd_send_signal(self.descriptor, number)

    def kill(self) -> None:
        """The whole group."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


class Processes:
    """Thread-safe. What is called back runs in the one thread, and must not block.

    A process dies with that thread (`PR_SET_PDEATHSIG`), which lives as long as this program, and its group a moment
    later: `sweeper` sees to that.
    """

    def __init__(self, folder: Path) -> None:
        """folder: where outputs go, a file a process; removed at the end."""
        self._folder = folder
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._running: dict[int, Process] = {}
        self._wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._sweeper = subprocess.Popen(
            [sys.executable, "-I", sweeper.__file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._run, name="processes", daemon=True)
        self._thread.start()

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        with self._lock:
            heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), call))
        with contextlib.suppress(BlockingIOError):
            os.write(self._woken, b"x")

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_end: Callable[[Process], None],
        folder: Path | None = None,
    ) -> Process:
        """environment: all of it; nothing of this program's is added. folder: the working directory, an empty one.

        OSError: there is no such program.
        """
        started: Future[Process] = Future()

        def begin() -> None:
            try:
                started.set_result(self._begin(name, command, environment, on_end, folder))
            except BaseException as error:
                started.set_exception(error)

        if threading.current_thread() is self._thread:
            begin()
        else:
            self.after(0.0, begin)
        return started.result()

    def stop(self, process: Process, grace: float) -> None:
        """SIGTERM, and SIGKILL to what is left after so many seconds."""
        process.signal(signal.SIGTERM)
        self.after(grace, process.kill)

    def running(self) -> list[Process]:
        with self._lock:
            return list(self._running.values())

    def end_all(self) -> None:
        """Kills everything and waits for it."""
        while running := self.running():
            for each in running:
                each.kill()
            time.sleep(0.005)

    def close(self) -> None:
        """All have ended, and none will start."""
        self._sweeper.communicate()

    def _begin(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        on_end: Callable[[Process], None],
        folder: Path | None,
    ) -> Process:
        number = next(self._numbers)
        place = folder or self._folder / f"{number}"
        place.mkdir(parents=True, exist_ok=True)
        output = self._folder / f"{number}.log"
        guard = _guard()
        if guard:
            _check_program(command[0], environment, place)
        with output.open("wb") as file:
            popen = subprocess.Popen(
                [*guard, *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=place,
                start_new_session=True,
                preexec_fn=None if guard else _die_with_parent,
            )
        process = Process(name, popen.pid, output, os.pidfd_open(popen.pid), _popen=popen)
        self._tell("+", process)
        with self._lock:
            self._running[process.pid] = process
        self._selector.register(process.descriptor, selectors.EVENT_READ, lambda: self._ended(process, on_end))
        return process

    def _ended(self, process: Process, on_end: Callable[[Process], None]) -> None:
        assert process._popen is not None
        self._selector.unregister(process.descriptor)
        # What it has left behind goes with it, as a container's does.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self._tell("-", process)
        code = process._popen.wait()
        process.exit_code = code if code >= 0 else 128 - code
        os.close(process.descriptor)
        with self._lock:
            del self._running[process.pid]
        on_end(process)

    def _tell(self, what: str, process: Process) -> None:
        assert self._sweeper.stdin is not None
        # Without it the cloud goes on as well.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._sweeper.stdin.fileno(), f"{what}{process.pid}\n".encode())

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._patience()):
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 4096)
                else:
                    self._call(key.data)
            while (call := self._due()) is not None:
                self._call(call)

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            logger.exception("a step of the local cloud failed")

    def _patience(self) -> float | None:
        with self._lock:
            return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _due(self) -> Callable[[], None] | None:
        with self._lock:
            if self._timers and self._timers[0][0] <= time.monotonic():
                return heapq.heappop(self._timers)[2]
            return None


@functools.cache
def _guard() -> tuple[str, ...]:
    """A program that has what it executes die with this one. Without it each start copies this process's memory map,
    which takes ten times as long."""
    found = shutil.which("setpriv")
    return (found, "--pdeathsig", "KILL", "--") if found is not None else ()


def _check_program(name: str, environment: Mapping[str, str], folder: Path) -> None:
    """The guard cannot say it in time."""
    found = os.access(folder / name, os.X_OK) if "/" in name else shutil.which(name, path=environment.get("PATH", ""))
    if not found:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
