"""A running `scaler FILE`, and the tables of its file."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator
from pathlib import Path

import psutil
from commands import PATIENCE, Command
from scaler import Client

STORAGE = """
[object_storage_server]
bind_address = "{objects}"
"""
SCHEDULER = """
[scheduler]
bind_address = "{scheduler}"
resync_seconds = 0.2
"""
MANAGER = """
[[worker_manager]]
type = "baremetal_native"
worker_manager_id = "native"
mode = "fixed"
max_task_concurrency = 2
heartbeat_interval_seconds = 0.1
"""


class Stack:
    """A running `scaler FILE`."""

    def __init__(self, command: Command, address: str) -> None:
        self.command = command
        self.address = address

    def client(self) -> Client:
        return Client(self.address, timeout_seconds=PATIENCE)

    def part(self, module: str) -> psutil.Process:
        """The running process of `python -m <module>`, once there is one."""
        while True:
            for each in self.processes():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if module in each.cmdline() and each.status() != psutil.STATUS_ZOMBIE:
                        return each
            os.sched_yield()

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.command.process.pid).children(recursive=True)


@contextlib.contextmanager
def all_gone(stack: Stack, home: Path) -> Iterator[None]:
    """What runs below the command at the start has ended soon after the block, and its sockets are away."""
    ends = []
    for each in stack.processes():
        with contextlib.suppress(ProcessLookupError):
            ends.append(os.pidfd_open(each.pid))
    assert ends
    try:
        yield
        for end in ends:
            assert select.select([end], [], [], PATIENCE)[0], "a process still runs"
    finally:
        for end in ends:
            os.close(end)
    assert list((home / "run").iterdir()) == []
