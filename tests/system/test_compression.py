"""What travels between hosts is compressed where that pays, and only there: counted on the wire."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from scaler import Client
from scaler.transport.addresses import parse_tcp_address

if TYPE_CHECKING:
    from conftest import Starter

PATIENCE = 30
MIB = 1 << 20
# An argument that travels inline, and as much in results that do.
SENT = 3 * MIB
RESULTS, RESULT = 50, 60_000


class Proxy:
    """Between a client and a scheduler on this machine: hands on all bytes and counts them."""

    def __init__(self, target: str) -> None:
        self._target = parse_tcp_address(target)
        self._listener = socket.create_server((self._target.host, 0))
        self._sockets: list[socket.socket] = []
        self.up = self.down = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def address(self) -> str:
        return str(self._target.with_port(self._listener.getsockname()[1]))

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.create_connection((self._target.host, self._target.port))
                self._sockets += [near, far]
                for source, drain, name in ((near, far, "up"), (far, near, "down")):
                    self._threads.append(threading.Thread(target=self._copy, args=(source, drain, name), daemon=True))
                    self._threads[-1].start()

    def _copy(self, source: socket.socket, drain: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(MIB):
                setattr(self, name, getattr(self, name) + len(data))
                drain.sendall(data)
            drain.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()


@contextlib.contextmanager
def proxied(start: Starter, host: str, codec: str) -> Iterator[tuple[Client, Proxy]]:
    """A client that reaches its scheduler over tcp with CURVE, both with this `--compression`."""
    address = start.scheduler(f"tcp://{host}:0", compression=codec).told["address"]
    start.node(address, slots=1)
    proxy = Proxy(address)
    try:
        with Client(proxy.address, compression=codec, inline_limit_bytes=4 * MIB, timeout_seconds=PATIENCE) as client:
            yield client, proxy
    finally:
        proxy.close()


def zeros(_: int) -> bytes:
    return bytes(RESULT)


def noise(_: int) -> bytes:
    return os.urandom(RESULT)


@pytest.mark.parametrize("codec", ["auto", "lz4", "zstd"])
def test_what_shrinks_is_compressed_both_ways(codec: str, start: Starter, own_host: str) -> None:
    with proxied(start, own_host, codec) as (client, proxy):
        assert client.submit(len, bytes(SENT)).result(PATIENCE) == SENT
        assert proxy.up < SENT // 10
        assert client.map(zeros, range(RESULTS)).results(PATIENCE) == [bytes(RESULT)] * RESULTS
        assert proxy.down < RESULTS * RESULT // 10


@pytest.mark.parametrize("codec", ["auto", "off"])
def test_what_does_not_shrink_travels_as_it_is(codec: str, start: Starter, own_host: str) -> None:
    with proxied(start, own_host, codec) as (client, proxy):
        assert client.submit(len, os.urandom(SENT)).result(PATIENCE) == SENT
        assert SENT < proxy.up < SENT * 1.1
        assert set(map(len, client.map(noise, range(RESULTS)).results(PATIENCE))) == {RESULT}
        assert RESULTS * RESULT < proxy.down < RESULTS * RESULT * 1.1


def test_off_compresses_nothing(start: Starter, own_host: str) -> None:
    with proxied(start, own_host, "off") as (client, proxy):
        assert client.submit(len, bytes(SENT)).result(PATIENCE) == SENT
        assert proxy.up > SENT
        assert client.map(zeros, range(RESULTS)).results(PATIENCE) == [bytes(RESULT)] * RESULTS
        assert proxy.down > RESULTS * RESULT


def test_loopback_is_not_compressed(start: Starter) -> None:
    with proxied(start, "127.0.0.1", "auto") as (client, proxy):
        assert client.submit(len, bytes(SENT)).result(PATIENCE) == SENT
        assert proxy.up > SENT
