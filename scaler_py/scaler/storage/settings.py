"""Settings of an object storage server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaler.config.models import ObjectStorageOptions


def half_of_memory() -> int:
    """Half of the machine's RAM, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


@dataclass(frozen=True)
class StorageSettings:
    """memory_limit: bytes in RAM, 0 for half of the machine's. directory: where more goes; empty: nowhere.
    disk_limit: bytes there, 0 for any number. session_quota: bytes of one client, 0 for any number. write_through:
    whether all goes to the directory and stays there for the next storage.

    key_file: empty for the usual places. tls_port: "auto" (any free one), "off" or a number.
    """

    address: str
    key_file: str = ""
    insecure: bool = False
    compression: str = "auto"
    memory_limit: int = 0
    directory: str = ""
    disk_limit: int = 0
    session_quota: int = 0
    write_through: bool = False
    tls_port: str = "auto"

    @staticmethod
    def of(settings: Mapping[str, Any]) -> StorageSettings:
        return StorageSettings(**settings)

    @staticmethod
    def chosen(options: ObjectStorageOptions) -> StorageSettings:
        """As a user chose them."""
        return StorageSettings(
            options.bind_address,
            key_file=options.key_file or "",
            insecure=options.insecure,
            compression=options.compression,
            memory_limit=int(options.memory_limit),
            directory=options.directory or "",
            disk_limit=int(options.disk_limit),
            session_quota=int(options.session_quota),
            write_through=options.write_through == "on",
            tls_port=options.tls_port,
        )

    def for_loop(self, ticket_key: bytes | None) -> dict[str, Any]:
        """As `scaler._core.Loop` takes them."""
        return {
            "incarnation": int.from_bytes(os.urandom(8), "little") or 1,
            "ticket_key": ticket_key,
            "memory_limit": self.memory_limit or half_of_memory(),
            "directory": self.directory,
            "writes_through": self.write_through,
            "disk_limit": self.disk_limit,
            "session_quota": self.session_quota,
        }
