"""What parts leave when they are killed: agents, which outlive their manager, and what tasks have started.

The stack is their next parent, so that nothing is left behind when it ends. Until then they are let be: the manager
that is started again finds its agents.
"""

from __future__ import annotations

import contextlib
import os
import threading

import psutil

from scaler._core import adopt_orphans


class Orphans:
    """lock: held while a part is started, until its number is in `parts`: it is no orphan."""

    def __init__(self) -> None:
        adopt_orphans()
        self.lock = threading.Lock()
        self.parts: set[int] = set()

    def bury(self) -> None:
        """Waits for those that have ended: nobody else does."""
        with self.lock:
            for each in psutil.Process().children():
                if each.pid not in self.parts:
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(each.pid, os.WNOHANG)

    def end(self) -> None:
        """Kills all that is left, when all parts have ended."""
        while below := psutil.Process().children(recursive=True):
            for each in below:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
            for each in psutil.Process().children():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(each.pid, 0)
