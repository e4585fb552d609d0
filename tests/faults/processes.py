"""Processes below another, and killing them."""

import contextlib
import os
import signal
from pathlib import Path


def children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


def stop(pid: int) -> bool:
    """Stops a process and waits until it stands still. False when it is gone."""
    try:
        os.kill(pid, signal.SIGSTOP)
        while (state := _state(pid)) != "T":
            if state in "ZX":
                return False
    except (ProcessLookupError, FileNotFoundError):
        return False
    return True


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def resume(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
