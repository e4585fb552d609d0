"""The bridge of a listening part: its sockets, who is let in, and what there is to say of those who come.

The core carries the messages (`_core.RouterBridge`), in a thread that the interpreter does not hold up.
"""

import errno
import logging
import select
import threading
from collections.abc import Callable
from typing import Any

import zmq

from scaler import _core
from scaler.transport import libzmq
from scaler.transport.addresses import TcpAddress, resolve
from scaler.transport.admission import DOMAIN, Admission
from scaler.transport.descriptors import most_peers
from scaler.transport.errors import AddressInUseError, ConfigurationError
from scaler.transport.keys import ClusterKey
from scaler.transport.sockets import monitor_of, set_link_options, set_server_keys

log = logging.getLogger("scaler.transport")

_EVENTS = (
    zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)  # fmt: skip

_REPORT_SECONDS = 1.0
_MOST_SILENT = 512


class RouterBridge:
    """Carries the remote links of one listening part. `address` has the port that was bound."""

    def __init__(
        self, adopt: Callable[[int, str], None], address: TcpAddress, key: ClusterKey | None, codec: str
    ) -> None:
        """adopt(fd, peer address): gives the loop its end of a new peer's pair. key None: without CURVE.

        codec: compression of what leaves this host. AddressInUseError, ConfigurationError."""
        self._adopt = adopt
        most = most_peers()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._admission: Admission | None = None
        try:
            endpoint = _endpoint(address)
            set_link_options(self._router, ipv6="[" in endpoint)
            if key is not None:
                self._admission = Admission(self._context, key.client_secret)
                set_server_keys(self._router, key, DOMAIN)
            self._monitor = monitor_of(self._router, _EVENTS)
            _bind(self._router, endpoint, address)
            bound = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
            self.address = address.with_port(int(bound.rpartition(":")[2]))
            self._bridge = _core.RouterBridge(
                libzmq.module(),
                self._router.underlying,
                self._monitor.underlying,
                port=self.address.port,
                codec=codec,
                most_peers=most,
                most_silent=min(_MOST_SILENT, most),
            )
        except LookupError as error:
            self._context.destroy(linger=0)
            raise libzmq.unusable(error) from None
        except BaseException:
            self._context.destroy(linger=0)
            raise
        if self._admission is not None:
            self._admission.address = str(self.address)
        self._closed = False
        self._carrying = threading.Thread(target=self._carry, name=f"scaler-bridge-{self.address.port}", daemon=True)
        self._attending = threading.Thread(target=self._attend, name=f"scaler-door-{self.address.port}", daemon=True)

    def start(self) -> None:
        self._attending.start()
        self._carrying.start()

    def close(self) -> None:
        """Sends what the loop has written, then ends all connections. May be repeated."""
        if self._closed:
            return
        self._closed = True
        if self._carrying.ident is None:
            self._close_sockets()
        else:
            self._bridge.stop()
            self._carrying.join()

    def _carry(self) -> None:
        try:
            self._bridge.run()
        except Exception:
            log.exception("the bridge of %s ended", self.address)
        finally:
            self._attending.join()
            self._close_sockets()

    def _attend(self) -> None:
        try:
            self._answer_and_hear()
        except Exception:
            log.exception("the bridge of %s lets nobody in any more", self.address)
            self._bridge.stop()

    def _answer_and_hear(self) -> None:
        """Answers who wants to come in, and brings those who came to the loop, until the bridge has ended."""
        admission = self._admission
        poll = select.poll()
        poll.register(self._bridge.fileno(), select.POLLIN)
        if admission is not None:
            poll.register(admission.socket.fileno(), select.POLLIN)
        while (news := self._bridge.news()) is not None:
            for kind, *what in news:
                self._hear(kind, what)
            if admission is not None:
                admission.full = self._bridge.full
                admission.answer()
                admission.report_unknown()
            if not news:
                poll.poll(_REPORT_SECONDS * 1000 if admission is not None and admission.unknown else None)

    def _hear(self, kind: str, what: list[Any]) -> None:
        if kind == "peer":
            end, host = what
            try:
                self._adopt(end, host)
            except Exception:
                # The loop has ended, and this bridge is about to.
                log.debug("%s: the loop takes no peer from %s", self.address, host, exc_info=True)
        elif kind == "warning":
            log.warning("%s: %s", self.address, *what)
        elif self._admission is not None:
            self._admission.unknown += what[0]

    def _close_sockets(self) -> None:
        self._router.close()
        self._monitor.close()
        if self._admission is not None:
            self._admission.close()
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
