"""The bridge of a listening part: remote peers on one side, one socketpair each for the loop on the other.

One thread waits for both sides and never spins. In each turn it first passes on what the loop wrote, then empties the
zmq sockets: these are edge-triggered, and any call on them may swallow the signal that more has come.
"""

import errno
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import zmq

from scaler.transport.addresses import TcpAddress, is_loopback, resolve
from scaler.transport.admission import DOMAIN, Admission
from scaler.transport.connections import Connections
from scaler.transport.descriptors import raise_descriptor_limit
from scaler.transport.errors import AddressInUseError, ConfigurationError
from scaler.transport.keys import ClusterKey
from scaler.transport.pairs import END, Message, PairEnd
from scaler.transport.sockets import set_link_options, set_server_keys

log = logging.getLogger("scaler.transport")

# Messages in one turn, so that neither side starves the other.
_TURN_MESSAGES = 1024
# How long a peer whose conversation is over may keep its connection, in seconds.
_LEAVE_SECONDS = 2.0
_HOUSEKEEPING_SECONDS = 1.0
_MOST_PEERS = 4096
_MOST_SILENT = 512


@dataclass(slots=True)
class _Peer:
    """One connection of a remote peer. `pair` is None once its conversation is over."""

    routing: bytes
    descriptor: int
    host: str
    pair: PairEnd | None
    writable: bool = False
    over_since: float = 0.0
    # The remote side has gone: ends when the loop has taken what came before.
    leaving: bool = False


class RouterBridge:
    """Carries the remote links of one listening part. `address` has the port that was bound."""

    def __init__(
        self, adopt: Callable[[int, str], None], address: TcpAddress, key: ClusterKey | None, codec: str
    ) -> None:
        """adopt(fd, peer address): gives the loop its end of a new peer's pair. key None: without CURVE.

        codec: compression of what leaves this host. AddressInUseError, ConfigurationError."""
        self._adopt = adopt
        self._codec = codec
        self._peers: dict[bytes, _Peer] = {}
        self._by_descriptor: dict[int, _Peer] = {}
        self._by_pair: dict[int, _Peer] = {}
        # Of this turn: got something for the loop; have left, with something perhaps still unread.
        self._touched: dict[bytes, _Peer] = {}
        self._departed: list[_Peer] = []
        # A peer has a connection and both ends of a pair; as many again for the silent, and some for everything else.
        self._most_peers = max(16, min(_MOST_PEERS, raise_descriptor_limit() // 6))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._admission: Admission | None = None
        try:
            endpoint = _endpoint(address)
            set_link_options(self._router, ipv6="[" in endpoint)
            if key is not None:
                self._admission = Admission(self._context, key.client_secret)
                set_server_keys(self._router, key, DOMAIN)
            self._connections = Connections(self._context, self._router, min(_MOST_SILENT, self._most_peers))
            _bind(self._router, endpoint, address)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        bound = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
        self.address = address.with_port(int(bound.rpartition(":")[2]))
        if self._admission is not None:
            self._admission.address = str(self.address)
        self._connections.listening(self.address.port)
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"scaler-bridge-{self.address.port}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Sends what the loop has written, then ends all connections. May be repeated."""
        if self._closed:
            return
        self._closed = True
        if self._thread.ident is None:
            self._close_sockets()
        else:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        try:
            rare = self._register()
            more = True
            housekeeping = time.monotonic()
            while not self._closed:
                # Of the rare sockets only these calls here ever take anything, so their signals stay until then.
                look = False
                for descriptor, events in self._poll.poll(0 if more else _HOUSEKEEPING_SECONDS, 512):
                    peer = self._by_pair.get(descriptor)
                    if peer is not None:
                        self._from_loop(peer, events)
                    elif descriptor in rare:
                        look = True
                if (now := time.monotonic()) >= housekeeping:
                    self._keep_house(now)
                    look = True
                    housekeeping = now + _HOUSEKEEPING_SECONDS
                if look:
                    self._admit()
                    self._observe()
                more = self._from_remote()
        except Exception:
            log.exception("the bridge of %s ended", self.address)
        finally:
            self._close_sockets()

    def _register(self) -> set[int]:
        """Makes the poll; returns the descriptors of the sockets that are quiet while links just work."""
        rare = [self._connections.socket]
        if self._admission is not None:
            rare.append(self._admission.socket)
        descriptors = {int(each.getsockopt(zmq.FD)) for each in rare}
        for descriptor in (int(self._router.getsockopt(zmq.FD)), self._wake, *descriptors):
            self._poll.register(descriptor, select.EPOLLIN)
        return descriptors

    # From the loop to remote peers.

    def _from_loop(self, peer: _Peer, events: int) -> None:
        pair = peer.pair
        assert pair is not None, "only peers with a pair are polled"
        if events & select.EPOLLOUT:
            self._settle(peer)
        if peer.pair is None or not events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            return
        messages, is_open = pair.read()
        for message in messages:
            self._send(peer, message)
        if not is_open:
            self._send(peer, END)
            self._end(peer)

    def _send(self, peer: _Peer, message: Message) -> None:
        try:
            self._router.send(peer.routing, zmq.NOBLOCK | zmq.SNDMORE)
            self._router.send(message, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            # Gone; its DISCONNECTED follows. With neither high-water mark nor memory there is nothing to wait for.
            if error.errno not in {zmq.EHOSTUNREACH, zmq.EAGAIN}:
                raise

    # From remote peers to the loop.

    def _from_remote(self) -> bool:
        """Whether there may be more to read at once."""
        more = self._receive()
        if not more:
            # All that came before they went has been read now.
            for peer in self._departed:
                peer.leaving = True
                self._touched[peer.routing] = peer
            self._departed.clear()
        for peer in self._touched.values():
            self._settle(peer)
        self._touched.clear()
        return more

    def _admit(self) -> None:
        if self._admission is not None:
            self._admission.full = len(self._peers) >= self._most_peers
            self._admission.answer()

    def _observe(self) -> None:
        ended, strangers = self._connections.observe()
        for descriptor in ended:
            if (peer := self._by_descriptor.pop(descriptor, None)) is not None:
                self._departed.append(peer)
        if strangers and self._admission is not None:
            self._admission.count_unknown(strangers)

    def _receive(self) -> bool:
        for _ in range(_TURN_MESSAGES):
            # Half the cost of an attempt in vain.
            if not int(self._router.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
                return False
            routing = self._router.recv(zmq.NOBLOCK)
            peer = self._peers.get(routing)
            if peer is None:
                frame = self._router.recv(zmq.NOBLOCK, copy=False)
                peer = self._meet(routing, frame)
                message = frame.bytes
            else:
                message = self._router.recv(zmq.NOBLOCK)
            single = True
            while self._router.getsockopt(zmq.RCVMORE):
                self._router.recv(zmq.NOBLOCK)
                single = False
            if peer is None or peer.pair is None:
                continue
            if single and peer.pair.deliver(message):
                self._touched[routing] = peer
            else:
                self._refuse(peer)
        return True

    def _meet(self, routing: bytes, frame: "zmq.Frame") -> _Peer | None:
        """The first message of a connection; None when that has ended meanwhile, or may not be."""
        descriptor = int(frame.get(zmq.SRCFD))
        # Its beginning is in the monitor before its first message is here: so the books are right after this.
        self._observe()
        if not self._connections.spoke(descriptor):
            return None
        if (predecessor := self._by_descriptor.pop(descriptor, None)) is not None:
            self._departed.append(predecessor)
        host = str(frame.get("Peer-Address"))
        if len(self._peers) >= self._most_peers:
            log.warning("%s: refused a peer from %s: %d are connected", self.address, host, len(self._peers))
            self._connections.cut(descriptor)
            return None
        try:
            pair = PairEnd("off" if is_loopback(host) else self._codec)
        except OSError as error:
            log.warning("%s: refused a peer from %s: %s", self.address, host, error.strerror)
            self._connections.cut(descriptor)
            return None
        peer = _Peer(routing, descriptor, host, pair)
        self._peers[routing] = self._by_descriptor[descriptor] = peer
        self._by_pair[pair.fileno()] = peer
        self._poll.register(pair.fileno(), select.EPOLLIN)
        try:
            self._adopt(pair.detach_other(), host)
        except Exception:
            # The loop has ended, and this bridge is about to.
            log.debug("%s: the loop takes no peer from %s", self.address, host, exc_info=True)
            self._end(peer)
        return peer

    def _refuse(self, peer: _Peer) -> None:
        log.warning("%s: ended the connection of a peer from %s: what it sent is no frame", self.address, peer.host)
        self._end(peer)
        self._connections.cut(peer.descriptor)

    def _settle(self, peer: _Peer) -> None:
        """Writes what waits for the loop; ends what is over."""
        pair = peer.pair
        if pair is not None:
            if not pair.flush():
                self._send(peer, END)
                self._end(peer)
            elif pair.unsent != peer.writable:
                peer.writable = pair.unsent
                self._poll.modify(pair.fileno(), select.EPOLLIN | (select.EPOLLOUT if peer.writable else 0))
            if peer.leaving and not pair.unsent:
                self._end(peer)
        if peer.leaving and peer.pair is None:
            self._peers.pop(peer.routing, None)

    def _end(self, peer: _Peer) -> None:
        """The loop's side is over. The peer stays known, and unheard, until its connection ends."""
        pair, peer.pair = peer.pair, None
        if pair is None:
            return
        del self._by_pair[pair.fileno()]
        self._poll.unregister(pair.fileno())
        pair.close()
        peer.over_since = time.monotonic()
        if peer.leaving:
            self._peers.pop(peer.routing, None)

    def _keep_house(self, now: float) -> None:
        for peer in self._peers.values():
            if peer.pair is None and not peer.leaving and now - peer.over_since > _LEAVE_SECONDS:
                peer.over_since = now
                self._connections.cut(peer.descriptor)
        if self._admission is not None:
            self._admission.report_unknown()

    def _close_sockets(self) -> None:
        for peer in list(self._by_pair.values()):
            assert peer.pair is not None, "peers by pair have one"
            for message in peer.pair.drain():
                self._send(peer, message)
            self._send(peer, END)
            self._end(peer)
        self._router.close()
        self._connections.close()
        if self._admission is not None:
            self._admission.close()
        self._poll.close()
        # Waits until what was sent has left, for as long as LINGER says.
        self._context.term()


def _endpoint(address: TcpAddress) -> str:
    """For `bind`, which takes numbers only."""
    if address.host == "*":
        return f"tcp://*:{address.port or '*'}"
    try:
        found = address if address.is_wildcard else resolve(address)[0]
    except OSError as error:
        raise ConfigurationError(
            f"The host name {address.host!r} has no address: {error.strerror or error}.",
            str(address),
            "use an address of this machine, or tcp://0.0.0.0:<port> for all of them",
        ) from None
    host = f"[{found.host}]" if ":" in found.host else found.host
    return f"tcp://{host}:{address.port or '*'}"


def _bind(router: "zmq.Socket[bytes]", endpoint: str, address: TcpAddress) -> None:
    try:
        router.bind(endpoint)
    except zmq.ZMQError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUseError(
                f"Port {address.port} is in use by another process.",
                str(address),
                f"end it (ss -ltnp 'sport = :{address.port}' names it), or choose another port",
            ) from None
        mend = "use an address of this machine, or tcp://0.0.0.0:<port> for all of them"
        if error.errno == errno.EACCES:
            mend = "ports below 1024 are the administrator's; choose a larger one"
        raise ConfigurationError(f"Cannot listen there: {error.strerror}.", str(address), mend) from None
