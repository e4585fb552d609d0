"""Starting executors. Call it from the agent's main thread: an executor ends with the thread that started it."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from typing import Any

# Descriptors in the executor: far above those that user code counts on or closes by accident.
_PORT, _LINE, _DOOR = 200, 201, 202
_LINE_BYTES = 4096
# What an agent may have been given and its tasks have no use for: a secret, and what says that a process is an agent.
_HIDDEN = ("SCALER_KEY", "SCALER_UNIT")


@dataclass(frozen=True)
class ExecutorSettings:
    """What the agent tells each of its executors at the start.

    path: entries that `sys.path` gets besides its own. limits in bytes, the interval in seconds, 0 for none.
    """

    inline_limit: int = 65536
    collect_interval: float = 30.0
    trim_threshold: int = 1 << 30
    preload: str = ""
    path: list[str] = field(default_factory=list)

    def arguments(self) -> list[str]:
        listed: dict[str, Any] = {
            "inline_limit": self.inline_limit,
            "collect_interval": self.collect_interval,
            "trim_threshold": self.trim_threshold,
            "preload": self.preload,
            "path": os.pathsep.join(self.path),
        }
        return [f"{name}={value}" for name, value in listed.items()]


@dataclass(frozen=True)
class StartedExecutor:
    """Our ends: of the socketpair, of the shared line's file, and of the output pipes."""

    pid: int
    fd: int
    line_fd: int
    stdout: int
    stderr: int


def start_executor(
    settings: ExecutorSettings, door: socket.socket | None = None, node: int = 0, scheduler: str = ""
) -> StartedExecutor:
    """door: its end, for tasks that are clients; with the link and the address by which its agent and it know each
    other.

    A process in a session of its own, so that neither Ctrl-C nor a terminal's end reaches it. OSError."""
    ours, theirs = socket.socketpair()
    line = os.memfd_create("scaler-line")
    os.ftruncate(line, _LINE_BYTES)
    stdout, stdout_write = os.pipe()
    stderr, stderr_write = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    given = {null: 0, stdout_write: 1, stderr_write: 2, theirs.fileno(): _PORT, line: _LINE}
    nesting = []
    if door is not None:
        given[door.fileno()] = _DOOR
        nesting = [f"door={_DOOR}", f"node={node}", f"scheduler={scheduler}"]
    # One that already has a number which another is to get would be overwritten before its turn.
    moved = {here: fcntl.fcntl(here, fcntl.F_DUPFD_CLOEXEC, _DOOR + 1) for here in given if here in given.values()}
    try:
        pid = os.posix_spawn(
            sys.executable,
            [*_command(), *nesting, *settings.arguments()],
            _environment(),
            file_actions=[(os.POSIX_SPAWN_DUP2, moved.get(here, here), there) for here, there in given.items()],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP],
        )
    except BaseException:
        ours.close()
        for descriptor in (line, stdout, stderr):
            os.close(descriptor)
        raise
    finally:
        theirs.close()
        for descriptor in (stdout_write, stderr_write, null, *moved.values()):
            os.close(descriptor)
    return StartedExecutor(pid, ours.detach(), line, stdout, stderr)


def _command() -> list[str]:
    # -P: a module in the working folder must not stand in for one of the library's.
    descriptors = [f"port={_PORT}", f"line={_LINE}", f"parent={os.getpid()}"]
    return [sys.executable, "-P", "-m", "scaler.node.executor", *descriptors]


def _environment() -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
    return {**ours, "SCALER_IN_TASK": "1"}
