"""Links to object storage go over TLS 1.3 where that can be reached, and over CURVE where it cannot.

The peer is found over CURVE, as all are; it is asked there where its TLS is and what its public key is, and then the
link's connection is made there. What was learned is remembered, so the next connection asks nothing.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from scaler import _core
from scaler.transport import leaving
from scaler.transport.addresses import TcpAddress, is_loopback
from scaler.transport.keys import Key

log = logging.getLogger("scaler.transport")

# How long a port that nobody answers at holds up a link before it uses CURVE, in seconds.
_CONNECT_SECONDS = 1.0
# What an answer of somebody who is there may take, or a handshake.
_PATIENCE = 5.0
# How long a port that could not be reached is left alone.
_BLOCKED_SECONDS = 600.0


class Introduction(NamedTuple):
    """Where a peer's TLS is, as it told over CURVE. port: 0 where it has none."""

    port: int
    pin: bytes


# By the peer's address and the cluster: what is known, and until when (time.monotonic) it is left alone.
_Peer = tuple[TcpAddress, str]
_known: dict[_Peer, Introduction] = {}
_blocked: dict[_Peer, float] = {}
# Referred to by nobody else while they run.
_bridges: list[_core.TlsBridge] = []
_lock = threading.Lock()


def _forget_bridges() -> None:
    """In a forked child, which has none of their threads."""
    global _lock
    _lock = threading.Lock()
    _bridges.clear()


os.register_at_fork(after_in_child=_forget_bridges)


def known(address: TcpAddress, key: Key) -> Introduction | None:
    """What an earlier connection has learned of the peer, if it is to be used."""
    peer = address, key.cluster
    return _known.get(peer) if time.monotonic() >= _blocked.get(peer, 0.0) else None


def is_worth_asking(address: TcpAddress, key: Key) -> bool:
    return time.monotonic() >= _blocked.get((address, key.cluster), 0.0)


def ask(descriptor: int, address: TcpAddress, key: Key) -> Introduction | None:
    """Asks over a new CURVE connection, of whose pair `descriptor` is the loop's end. None: the peer does not answer
    such questions, and this connection cannot be used any more."""
    with socket.socket(fileno=os.dup(descriptor)) as pair:
        answer = _exchange(pair)
    if answer is None:
        _block(address, key)
        log.debug("%s does not say where its TLS is", address)
        return None
    introduction = Introduction(*answer)
    if not introduction.port:
        _block(address, key)
    return introduction


def _exchange(pair: socket.socket) -> tuple[int, bytes] | None:
    deadline = time.monotonic() + _PATIENCE
    pair.send(_core.tls_question())
    answer = b""
    while len(answer) < _core.TLS_ANSWER:
        pair.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            more = pair.recv(_core.TLS_ANSWER - len(answer))
        except OSError:
            return None
        if not more:
            return None
        answer += more
    pair.setblocking(False)
    return _core.tls_introduction(answer)


def connect(
    address: TcpAddress, introduction: Introduction, key: Key, codec: str
) -> tuple[int, Callable[[], None]] | None:
    """A connection that has proved both ends: the loop's end of its pair, and what ends it. None: not to be had, which
    is logged.

    address: where CURVE is, numeric. codec: compression of what leaves this host."""
    peer = address, key.cluster
    chosen = "off" if is_loopback(address.host) else codec
    try:
        bridge, descriptor = _core.tls_dial(
            address.host,
            introduction.port,
            introduction.pin,
            key.client_secret,
            chosen,
            _CONNECT_SECONDS,
            _PATIENCE,
        )
    except OSError as error:
        remembered = _known.pop(peer, None) is not None
        # A peer that was started anew has another port, which it will tell.
        if not remembered:
            _block(address, key)
            log.info(
                "objects go to %s over CURVE, which is slower: TLS at its port %d cannot be reached: %s",
                address,
                introduction.port,
                # Its text alone: a record may be kept, and its traceback has the connection.
                str(error.strerror or error),
            )
        return None
    _known[peer] = introduction
    with _lock:
        _bridges[:] = [each for each in _bridges if not each.is_over]
        _bridges.append(bridge)
    leaving.add(bridge)
    return descriptor, bridge.close


def _block(address: TcpAddress, key: Key) -> None:
    _blocked[address, key.cluster] = time.monotonic() + _BLOCKED_SECONDS
