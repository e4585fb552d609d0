"""Settings of an agent's host, as they travel from a command or a cluster to `python -m scaler.node`."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scaler._core import VERSION
from scaler.node.starting import ExecutorSettings


def available_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) or 1


@dataclass(frozen=True)
class NodeSettings:
    """What runs tasks: `slots` executors. Times in seconds, sizes in bytes, 0 for none.

    capabilities: name to amount, -1 without an amount. manager, group: who started it; empty for one started by hand.
    memory_limit, recycle: of one executor; recycle counts tasks. storage_timeout: what needs object storage fails when
    that has been away so long. drain_limit: after SIGTERM running tasks may go on for so long; then they run elsewhere.
    grace: from an interrupt to the kill. most_waiting: executors whose tasks
    wait for tasks.
    """

    slots: int = field(default_factory=available_cpus)
    name: str = ""
    manager: str = ""
    group: str = ""
    capabilities: Mapping[str, int] = field(default_factory=dict)
    queue_size: int = 1000
    memory_limit: int = 0
    task_timeout: float = 0.0
    death_timeout: float = 300.0
    drain_limit: float = 0.0
    storage_timeout: float = 60.0
    recycle: int = 0
    grace: float = 3.0
    most_waiting: int = 256
    heartbeat: float = 2.0
    executor: ExecutorSettings = field(default_factory=ExecutorSettings)

    @staticmethod
    def of(settings: Mapping[str, Any]) -> NodeSettings:
        """From a plain dict, in which `executor` is one too. TypeError names an unknown key."""
        executor = settings.get("executor", {})
        return NodeSettings(**{**settings, "executor": ExecutorSettings(**executor)})

    def for_loop(self, ticket: bytes = b"") -> dict[str, Any]:
        """As `scaler._core.Loop` takes them."""
        host = socket.gethostname()
        return {
            "name": self.name or f"{host}-{os.getpid()}",
            "manager": self.manager,
            "group": self.group,
            "slots": self.slots,
            "capabilities": sorted(self.capabilities.items()),
            "python_minor": sys.version_info.minor,
            "queue_size": self.queue_size,
            "ticket": ticket,
            "properties": {
                "version": VERSION,
                "python": ".".join(map(str, sys.version_info[:3])),
                "host": host,
                "pid": str(os.getpid()),
            },
            "memory_limit": self.memory_limit,
            "task_timeout": self.task_timeout,
            "death_timeout": self.death_timeout,
            "drain_limit": self.drain_limit,
            "storage_timeout": self.storage_timeout,
            "recycle": self.recycle,
            "grace": self.grace,
            "most_waiting": self.most_waiting,
            "heartbeat": self.heartbeat,
        }


@dataclass(frozen=True)
class AgentSettings:
    """An agent by itself.

    object_storage: empty for what the scheduler names. key_file: empty for the usual places.
    connect_timeout: from the start until somebody must answer at the scheduler's address, in seconds.
    """

    scheduler: str
    object_storage: str = ""
    key_file: str = ""
    insecure: bool = False
    compression: str = "auto"
    connect_timeout: float = 30.0
    node: NodeSettings = field(default_factory=NodeSettings)

    @staticmethod
    def of(settings: Mapping[str, Any]) -> AgentSettings:
        """From a plain dict, in which `node` is one too."""
        return AgentSettings(**{**settings, "node": NodeSettings.of(settings.get("node", {}))})
