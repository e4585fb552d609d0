"""Agents on this machine, as the kernel has them: found by their environment, held by descriptors of their own.

A process's number may be another's by the time that it is signalled. So it is opened first (`pidfd_open`), what its
environment says is read after that, and signals go by the descriptor: to that process, or to nobody.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

VARIABLE = "SCALER_UNIT"
# One look at processes that are to end: the time that they have may become shorter meanwhile.
_SLICE_SECONDS = 0.1


@dataclass(frozen=True)
class Tag:
    """Whose an agent is: the beginning of its `SCALER_UNIT`."""

    cluster: str
    manager: str

    def of(self, group: str) -> str:
        return f"{self.cluster}/{self.manager}/{group}"


@dataclass(frozen=True)
class Found:
    """A running agent of this user. cluster, manager, group: of its `SCALER_UNIT`."""

    pid: int
    cluster: str
    manager: str
    group: str

    @property
    def tag(self) -> Tag:
        return Tag(self.cluster, self.manager)


def running_agents(cluster: str) -> Iterator[Found]:
    """Those of a cluster, of all its managers."""
    for name in os.listdir("/proc"):
        if name.isdigit() and (found := _look(int(name))) is not None and found.cluster == cluster:
            yield found


def _look(pid: int) -> Found | None:
    """None: it is gone, has ended, is another user's, or no agent."""
    if pid == os.getpid():
        return None
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return None
        # Empty when it has ended and nobody has waited for it.
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
    except OSError:
        return None
    wanted = f"{VARIABLE}=".encode()
    for entry in environment.split(b"\0"):
        if entry.startswith(wanted):
            parts = os.fsdecode(entry[len(wanted) :]).split("/")
            return Found(pid, *parts) if len(parts) == 3 and all(parts) else None
    return None


def wait_until_seen(process: subprocess.Popen[bytes]) -> None:
    """Until its environment can be read: it begins a moment after the program has."""
    while process.poll() is None and _look(process.pid) is None:
        time.sleep(0.001)


@dataclass(frozen=True)
class Held:
    """An agent with a descriptor of its own, to be closed."""

    found: Found
    descriptor: int

    def ended(self, seconds: float = 0.0) -> bool:
        return bool(select.select([self.descriptor], [], [], max(0.0, seconds))[0])

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)


def hold(found: Found) -> Held | None:
    """None: it has ended. Who has its number now is not mistaken for it."""
    try:
        descriptor = os.pidfd_open(found.pid)
    except OSError:
        return None
    if _look(found.pid) == found:
        return Held(found, descriptor)
    os.close(descriptor)
    return None


def end_all(agents: Iterable[Found], seconds: Callable[[], float]) -> None:
    """Tells them to finish what they run, waits so long for that, and kills the rest. Returns when all have ended."""
    with contextlib.ExitStack() as descriptors:
        ending = []
        for found in agents:
            if (held := hold(found)) is not None:
                descriptors.callback(os.close, held.descriptor)
                held.send(signal.SIGTERM)
                ending.append(held)
        began = time.monotonic()
        for held in ending:
            while not held.ended(min(_SLICE_SECONDS, left := began + seconds() - time.monotonic())) and left > 0:
                continue
        for held in ending:
            # Its executors go with it.
            held.send(signal.SIGKILL)
            select.select([held.descriptor], [], [])
