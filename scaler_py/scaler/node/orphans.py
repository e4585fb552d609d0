"""What tasks leave behind: processes whose executor has ended. The agent is their new parent, and ends them."""

from __future__ import annotations

import contextlib
import os
import signal


class Orphans:
    """Children of this process that it did not start. Call all of it from the main thread, which starts executors."""

    def __init__(self) -> None:
        # Executors are reaped by the loop, which wants their status: nobody else may wait for them.
        self._executors: set[int] = set()
        self._sessions: set[int] = set()

    def executor_started(self, pid: int) -> None:
        self._executors.add(pid)
        self._sessions.add(pid)  # it leads a session of its own

    def sweep(self, *, everything: bool = False) -> int:
        """Reaps those that have ended, kills those of a dead executor's session, and returns how many still live.

        everything: kills all that is left, whoever's it was; a process may have left its executor's session on purpose.
        """
        children = _children()
        self._executors &= children
        dead = self._sessions - self._executors
        left = 0
        for pid in children - self._executors:
            if everything or _session_of(pid) in dead:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            left += not _reap(pid)
        return left


def _children() -> set[int]:
    """Of all threads: each has those that it started, and the main one those that came to us."""
    found: set[int] = set()
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{thread}/children") as file:
            found.update(map(int, file.read().split()))
    return found


def _session_of(pid: int) -> int:
    """0 when the process is gone. A session that was led by an executor keeps its number after the leader's death."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _reap(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
