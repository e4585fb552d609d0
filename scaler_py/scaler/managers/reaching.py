"""Whether what workers are told to connect to is reached by them, as far as this machine can know.

What listens on loopback alone is missed by workers elsewhere, and each says so in its own log. A word here, at the
start, names the line to change.
"""

from __future__ import annotations

import ipaddress
import logging
import struct
from pathlib import Path

from scaler.config.models import WorkerManagerOptions
from scaler.transport.addresses import TcpAddress, parse_address

logger = logging.getLogger("scaler.managers")

# Of /proc/net/tcp.
_LISTEN = "0A"
# What of it listens where, as files and command lines have it.
_PARTS = {
    "object_storage_address": ("object storage", "[object_storage_server]", "scaler_object_storage_server"),
    "worker_scheduler_address": ("the scheduler", "[scheduler]", "scaler_scheduler"),
}


def warn_of_loopback(options: WorkerManagerOptions) -> None:
    """Where the scheduler is on this machine, and workers are told an address at which nothing here listens."""
    scheduler = parse_address(options.scheduler_address)
    if not isinstance(scheduler, TcpAddress) or not scheduler.is_loopback:
        # The scheduler is elsewhere, and so may be all else.
        return
    for name in _PARTS:
        if (given := getattr(options, name)) and (text := _missed(name, given)):
            logger.warning("%s", text)


def _missed(name: str, given: str) -> str:
    address = parse_address(given)
    if not isinstance(address, TcpAddress) or address.is_loopback:
        return ""
    there = listening(address.port)
    if not there or not all(each.is_loopback for each in there):
        return ""
    part, table, command = _PARTS[name]
    wide = f"tcp://0.0.0.0:{address.port}"
    return (
        f"workers are told that {part} is at {address}, and it listens at {there[0]} alone, where only this machine "
        f'reaches it: write {table} bind_address = "{wide}", or start {command} {wide}'
    )


def listening(
    port: int, tables: tuple[str, ...] = ("/proc/net/tcp", "/proc/net/tcp6")
) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses at which something on this machine listens at a port."""
    found = []
    for table in tables:
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            local, state = line.split()[1], line.split()[3]
            host, _, number = local.partition(":")
            if state == _LISTEN and int(number, 16) == port:
                found.append(_address(host))
    return found


def _address(digits: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """As the kernel prints it: words of four bytes, each in this machine's order."""
    packed = b"".join(struct.pack("=I", int(digits[at : at + 8], 16)) for at in range(0, len(digits), 8))
    return ipaddress.ip_address(packed)
