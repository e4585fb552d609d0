"""Settings of a scheduler's host."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scaler.node.settings import NodeSettings
from scaler.storage.settings import half_of_memory

if TYPE_CHECKING:
    from scaler.config.models import SchedulerOptions
    from scaler.config.policy import Policy


@dataclass(frozen=True)
class SchedulerSettings:
    """Times in seconds, sizes in bytes.

    object_storage: empty for a server of its own, on the next port. advertised_object_storage: what peers are told
    instead. storage_…: of its own server, as `StorageSettings` has them. node: one in the same process, or none.
    memory_limit: 0 for half of the machine's. resync: how long a scheduler waits at its start for what a forgotten
    one knew; 0 where nobody can have known one. key_file: empty for the usual places. waterfall: rules of
    scaling=waterfall_v1, (priority, manager, cap or None) each.
    """

    address: str
    object_storage: str = ""
    advertised_object_storage: str = ""
    key_file: str = ""
    insecure: bool = False
    compression: str = "auto"
    client_timeout: float = 60.0
    worker_timeout: float = 60.0
    resync: float = 5.0
    protected: bool = False
    allocate: str = "even_load"
    scaling: str = "no"
    waterfall: Sequence[tuple[int, str, int | None]] = ()
    scale_down_cooldown: float = 30.0
    memory_limit: int = 0
    max_attempts: int = 3
    result_budget: int = 256 << 20
    storage_memory: int = 0
    storage_directory: str = ""
    storage_write_through: bool = False
    storage_tls_port: str = "auto"
    node: NodeSettings | None = None

    @staticmethod
    def of(settings: Mapping[str, Any]) -> SchedulerSettings:
        """From a plain dict, in which `node` is one too."""
        node = settings.get("node")
        return SchedulerSettings(**{**settings, "node": None if node is None else NodeSettings.of(node)})

    @staticmethod
    def chosen(options: SchedulerOptions, policy: Policy) -> SchedulerSettings:
        """As a user chose them. policy: what the options say of it."""
        return SchedulerSettings(
            options.bind_address,
            object_storage=options.object_storage_address or "",
            advertised_object_storage=options.advertised_object_storage_address or "",
            storage_tls_port=options.object_storage_tls_port,
            key_file=options.key_file or "",
            insecure=options.insecure,
            compression=options.compression,
            client_timeout=options.client_timeout_seconds,
            worker_timeout=options.worker_timeout_seconds,
            resync=options.resync_seconds,
            protected=options.protected,
            scale_down_cooldown=options.scale_down_cooldown_seconds,
            **policy.settings(),
            memory_limit=int(options.memory_limit),
            max_attempts=options.max_attempts,
            result_budget=int(options.result_budget),
        )

    def for_loop(self, storage: str, ticket_key: bytes | None, cluster: str) -> dict[str, Any]:
        """As `scaler._core.Loop` takes them. storage: the address that peers are told."""
        return {
            "incarnation": int.from_bytes(os.urandom(8), "little") or 1,
            "ticket_key": ticket_key,
            "cluster": cluster,
            "storage": storage,
            "client_timeout": self.client_timeout,
            "worker_timeout": self.worker_timeout,
            "resync": self.resync,
            "protected": self.protected,
            "allocate": self.allocate,
            "scaling": self.scaling,
            "waterfall": [tuple(rule) for rule in self.waterfall],
            "scale_down_cooldown": self.scale_down_cooldown,
            "memory_limit": self.memory_limit or half_of_memory(),
            "max_attempts": self.max_attempts,
            "result_budget": self.result_budget,
        }
