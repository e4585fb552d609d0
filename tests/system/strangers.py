"""Peers that do not speak as scaler does, or not as it should: the bytes that they send, and connections for them."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from typing import Any

import msgpack
from scaler import SchedulerClusterCombo, _core
from scaler.transport import keys
from scaler.transport.addresses import parse_tcp_address
from scaler.transport.runtime import socket_path
from working import PATIENCE

# ZMTP's greeting, which comes before the handshake of CURVE, and a beginning of that.
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE" + bytes(15) + b"\0" + bytes(31)
HALVES_BY_TCP = [GREETING[:1], GREETING[:10], GREETING[:40], GREETING, GREETING + b"\x04\xc8\x05HELLO\x01\0"]


def frame(link: int, epoch: int, sequence: int, messages: Any, body: bytes = b"") -> bytes:
    """As it travels on a stream (docs/protocol.md)."""
    header = msgpack.packb([link, epoch, sequence, 0, messages])
    data = struct.pack("<B3xII", 0, len(header), len(body)) + header + body
    return struct.pack("<I", len(data)) + data


def hello(link: int, role: int = 0, protocol: int = _core.PROTOCOL) -> bytes:
    """role: by the protocol's numbers."""
    session = link if role in (0, 4) else 0
    node = ["stranger", "", "", 1, [], 11, 10, False] if role == 1 else None
    manager = [f"stranger-{link}", "", 0, 1, 1, [], 11, 30_000_000, 60_000_000, None, ""] if role == 2 else None
    return frame(link, 0, 0, [[0, protocol, role, 0, 0, 0, b"", session, node, manager, []]])


HALVES_BY_PATH = [hello(1)[:2], hello(1)[:4], hello(1)[:20], hello(1)[:-1], struct.pack("<I", 8 << 20)]


def receive(peer: socket.socket) -> list[Any]:
    """The header of the next frame; empty at the end of the connection."""
    length = _exactly(peer, 4)
    data = _exactly(peer, struct.unpack("<I", length)[0]) if length else b""
    if not data:
        return []
    header: list[Any] = msgpack.unpackb(data[12 : 12 + struct.unpack_from("<I", data, 4)[0]])
    return header


def _exactly(peer: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = peer.recv(count - len(data))
        if not part:
            return b""
        data += part
    return data


def connect_to_path(path: str) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    # With a time-out it would not wait for a place among those that are to be accepted, but fail (EAGAIN).
    peer.connect(path)
    peer.settimeout(PATIENCE)
    return peer


def port_of(cluster: SchedulerClusterCombo, neighbour: int) -> int:
    """The tcp port of the scheduler, or (1) of its object storage."""
    return parse_tcp_address(cluster.get_address()).port + neighbour


def path_of(cluster: SchedulerClusterCombo, neighbour: int) -> str:
    """Their Unix sockets."""
    return socket_path(keys.find_cluster_key().cluster, port_of(cluster, neighbour))


class Strangers:
    """Connections to one place, a tcp port or a path, that stay open until the end."""

    def __init__(self, place: int | str) -> None:
        self.place = place
        self._sockets: list[socket.socket] = []

    def come(self, says: bytes = b"") -> None:
        if isinstance(self.place, str):
            stranger = connect_to_path(self.place)
        else:
            stranger = socket.create_connection(("127.0.0.1", self.place), PATIENCE)
        self._sockets.append(stranger)
        with contextlib.suppress(ConnectionError):  # the other side may have heard enough
            stranger.sendall(says)

    def leave(self) -> None:
        for stranger in self._sockets:
            stranger.close()


def random_number() -> int:
    return int.from_bytes(os.urandom(7), "little") + 1
