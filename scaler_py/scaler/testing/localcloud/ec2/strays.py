"""Processes that an instance has left behind though it is gone: those that began a session of their own."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection
from pathlib import Path

# In the environment of everything that an instance runs.
MARK = "LOCALCLOUD_INSTANCE"


def kill_strays(instances: Collection[str]) -> None:
    """Of all these instances, in one look at what runs."""
    marks = {f"{MARK}={each}".encode() for each in instances}
    for folder in Path("/proc").iterdir() if marks else ():
        if folder.name.isdigit():
            # Others' processes cannot be read, and some end meanwhile.
            with contextlib.suppress(OSError):
                if marks & set((folder / "environ").read_bytes().split(b"\0")):
                    os.kill(int(folder.name), signal.SIGKILL)
