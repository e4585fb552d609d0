"""The zmq sockets of remote links: what every one of them is set to, in one place."""

from typing import TYPE_CHECKING

import zmq
from zmq.utils import z85

from scaler.transport.keys import ClusterKey, Key
from scaler.transport.x25519 import public_key

if TYPE_CHECKING:
    BytesContext = zmq.Context[zmq.Socket[bytes]]

# A frame has at most 8 MiB; the rest is room for the pack's own header.
LARGEST_MESSAGE = 9 << 20
# A connection that has not proved itself by then is closed.
HANDSHAKE_MS = 5_000
# How often a silent connection is asked whether it lives, and how long it may stay silent.
HEARTBEAT_MS = 5_000
HEARTBEAT_TIMEOUT_MS = 20_000
# How long what was sent before a close may still take to leave.
LINGER_MS = 2_000


def set_link_options(socket: "zmq.Socket[bytes]", *, ipv6: bool) -> None:
    """What both ends of a remote link need, before they bind or connect."""
    # The credit of the links is the bound; a high-water mark would drop or block.
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    # Sent and answered by libzmq's own thread: a busy interpreter is not a dead peer.
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.IPV6, int(ipv6))
    if socket.type == zmq.ROUTER:
        # Without it what is sent to a peer that has gone vanishes without a word.
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.BACKLOG, 1024)


def monitor_of(socket: "zmq.Socket[bytes]", events: int) -> "zmq.Socket[bytes]":
    """Tells of the connections of a socket that is neither bound nor connected yet."""
    place = f"inproc://monitor-{socket.underlying}"
    context: zmq.Context[zmq.Socket[bytes]] = socket.context
    monitor = context.socket(zmq.PAIR)
    # No bound: a full monitor would stop libzmq's own thread.
    monitor.setsockopt(zmq.RCVHWM, 0)
    monitor.setsockopt(zmq.LINGER, 0)
    socket.monitor(place, events)
    monitor.connect(place)
    return monitor


def set_server_keys(socket: "zmq.Socket[bytes]", key: ClusterKey, domain: str) -> None:
    """CURVE server. The ZAP handler of `domain` must run already: without one libzmq admits any client key."""
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, z85.encode(key.server_secret))
    socket.setsockopt_string(zmq.ZAP_DOMAIN, domain)


def set_client_keys(socket: "zmq.Socket[bytes]", key: Key) -> None:
    socket.setsockopt(zmq.CURVE_SERVERKEY, z85.encode(key.server_public))
    socket.setsockopt(zmq.CURVE_SECRETKEY, z85.encode(key.client_secret))
    socket.setsockopt(zmq.CURVE_PUBLICKEY, z85.encode(public_key(key.client_secret)))
