"""The bridge of a connecting part: one zmq DEALER, one socketpair, one thread that ends when either side does.

The core carries the messages (`_core.DealerBridge`); the interpreter holds it up only before and after.
"""

import logging
import threading
import time
from enum import Enum, auto

import zmq
from zmq.utils.monitor import parse_monitor_message

from scaler import _core
from scaler.transport import leaving, libzmq
from scaler.transport.addresses import TcpAddress
from scaler.transport.keys import Key
from scaler.transport.sockets import HANDSHAKE_MS, monitor_of, set_client_keys, set_link_options

log = logging.getLogger("scaler.transport")

_EVENTS = (
    zmq.EVENT_CONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)  # fmt: skip


class Handshake(Enum):
    """How an attempt to connect ended."""

    ADMITTED = auto()
    # Nobody accepted the connection.
    NOBODY = auto()
    # Accepted, and closed before the handshake was over: a wrong key, or a peer that is just ending.
    CLOSED = auto()
    # Whoever is there says no: our client key is not the cluster's, or it wants no keys.
    REFUSED = auto()
    # Accepted, and silent since.
    SILENT = auto()


class DealerBridge:
    """A remote link's connection: `connect`; when that says ADMITTED, give what `take` returns to the loop; `start`."""

    def __init__(self, address: TcpAddress, key: Key | None, codec: str) -> None:
        """address: numeric. key None: without CURVE. codec: compression of what leaves this host."""
        self._address = address
        # A context of its own: ending it waits until what was sent has left, which nothing else in zmq does.
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        set_link_options(self._dealer, ipv6=":" in address.host)
        # A new connection is a new routing id, hence a new conversation: ours to begin, never libzmq's.
        self._dealer.setsockopt(zmq.RECONNECT_IVL, -1)
        if key is not None:
            set_client_keys(self._dealer, key)
        self._monitor = monitor_of(self._dealer, _EVENTS)
        try:
            self._bridge = _core.DealerBridge(
                libzmq.module(), self._dealer.underlying, self._monitor.underlying, host=address.host, codec=codec
            )
        except LookupError as error:
            self._close_sockets()
            raise libzmq.unusable(error) from None
        except BaseException:
            self._close_sockets()
            raise
        self._thread = threading.Thread(target=self._run, name="scaler-bridge", daemon=True)

    def connect(self, timeout: float) -> Handshake:
        """Connects once and waits for the handshake, at most `timeout` seconds."""
        milliseconds = max(1, int(timeout * 1000))
        self._dealer.setsockopt(zmq.CONNECT_TIMEOUT, milliseconds)
        # Ours is the shorter patience: a peer that says nothing is told apart from one that hangs up.
        self._dealer.setsockopt(zmq.HANDSHAKE_IVL, milliseconds + HANDSHAKE_MS)
        self._dealer.connect(str(self._address))
        deadline = time.monotonic() + timeout
        connected = False
        while self._monitor.poll(max(0, int((deadline - time.monotonic()) * 1000))):
            event = parse_monitor_message(self._monitor.recv_multipart())["event"]
            if event == zmq.EVENT_CONNECTED:
                connected = True
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                return Handshake.ADMITTED
            elif event in {zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL}:
                return Handshake.REFUSED
            elif event in {zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_DISCONNECTED}:
                return Handshake.CLOSED
            elif event == zmq.EVENT_CLOSED:
                return Handshake.NOBODY
        return Handshake.SILENT if connected else Handshake.NOBODY

    def take(self) -> int:
        """The loop's end of the pair."""
        return self._bridge.take()

    def start(self) -> None:
        leaving.add(self)
        self._thread.start()

    def close(self) -> None:
        """Ends the connection, after what the loop wrote has left (two seconds at most). May be repeated."""
        if self._thread.ident is None:
            self._close_sockets()
            return
        self._bridge.stop()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._bridge.run()
        except Exception:
            log.exception("the bridge to %s ended", self._address)
        finally:
            self._close_sockets()

    def _close_sockets(self) -> None:
        self._dealer.close()
        self._monitor.close()
        self._context.term()
