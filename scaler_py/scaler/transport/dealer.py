"""The bridge of a connecting part: one zmq DEALER, one socketpair, one thread that ends when either side does."""

import logging
import os
import select
import threading
import time
from enum import Enum, auto

import zmq
from zmq.utils.monitor import parse_monitor_message

from scaler.transport import leaving
from scaler.transport.addresses import TcpAddress, is_loopback
from scaler.transport.keys import Key
from scaler.transport.pairs import END, Message, PairEnd
from scaler.transport.sockets import HANDSHAKE_MS, set_client_keys, set_link_options

log = logging.getLogger("scaler.transport")

_MONITOR = "inproc://monitor"
_TURN_MESSAGES = 1024
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
        self._monitor = self._context.socket(zmq.PAIR)
        self._monitor.setsockopt(zmq.RCVHWM, 0)
        self._monitor.setsockopt(zmq.LINGER, 0)
        self._dealer.monitor(_MONITOR, _EVENTS)
        self._monitor.connect(_MONITOR)
        self._pair = PairEnd("off" if is_loopback(address.host) else codec)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # The thread ends by itself as well, and the descriptor's number may be another's then.
        self._wake_lock = threading.Lock()
        self._stopping = False
        self._gone = False
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
        return self._pair.detach_other()

    def start(self) -> None:
        leaving.add(self)
        self._thread.start()

    def close(self) -> None:
        """Ends the connection, after what the loop wrote has left (two seconds at most). May be repeated."""
        self._stopping = True
        if self._thread.ident is None:
            self._close_sockets()
            return
        with self._wake_lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        poll = select.poll()
        # The monitor is quiet while the link just works; only `_observe` reads it, so its signal stays until then.
        pair, monitor = self._pair.fileno(), int(self._monitor.getsockopt(zmq.FD))
        for descriptor in (pair, monitor, int(self._dealer.getsockopt(zmq.FD)), self._wake):
            poll.register(descriptor, select.POLLIN)
        writable = False
        going = more = True
        self._observe()
        try:
            while going and not self._stopping:
                ready = {descriptor for descriptor, _ in poll.poll(0 if more else None)}
                if pair in ready:
                    going = self._from_loop()
                if monitor in ready:
                    self._observe()
                more, valid = self._from_remote()
                # What came before the peer went is all there once nothing more is.
                going = going and valid and self._pair.flush() and (more or not self._gone)
                if self._pair.unsent != writable:
                    writable = self._pair.unsent
                    poll.modify(self._pair.fileno(), select.POLLIN | (select.POLLOUT if writable else 0))
            self._finish()
        except Exception:
            log.exception("the bridge to %s ended", self._address)
        finally:
            self._close_sockets()

    def _from_loop(self) -> bool:
        """Whether the loop's end is still open."""
        messages, is_open = self._pair.read()
        return self._send(messages) and is_open

    def _send(self, messages: list[Message]) -> bool:
        """False when nobody is there any more."""
        try:
            for message in messages:
                self._dealer.send(message, zmq.NOBLOCK)
        except zmq.Again:
            # No high-water mark: so there is no connection.
            return False
        return True

    def _from_remote(self) -> tuple[bool, bool]:
        """Whether there may be more, and whether the conversation goes on."""
        for _ in range(_TURN_MESSAGES):
            # Half the cost of an attempt in vain.
            if not int(self._dealer.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                return False, True
            message = self._dealer.recv(zmq.NOBLOCK)
            if message == END or self._dealer.getsockopt(zmq.RCVMORE) or not self._pair.deliver(message):
                return False, False
        return True, True

    def _observe(self) -> None:
        try:
            while True:
                event = parse_monitor_message(self._monitor.recv_multipart(zmq.NOBLOCK))["event"]
                self._gone = self._gone or event == zmq.EVENT_DISCONNECTED
        except zmq.Again:
            return

    def _finish(self) -> None:
        """Either side is over: the other gets what there is for it."""
        self._send(self._pair.drain())
        waiting = select.poll()
        waiting.register(self._pair.fileno(), select.POLLOUT)
        # The loop always reads; a pair that does not move for two seconds has nobody behind it.
        while self._pair.unsent and waiting.poll(2000) and self._pair.flush():
            pass

    def _close_sockets(self) -> None:
        self._pair.close()
        self._dealer.close()
        self._monitor.close()
        with self._wake_lock:
            if self._wake >= 0:
                os.close(self._wake)
                self._wake = -1
        self._context.term()
