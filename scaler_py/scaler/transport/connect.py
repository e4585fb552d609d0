"""Connections to scheduler and object storage: the local Unix socket where there is one, CURVE where there is not.

From there those to object storage go on to TLS, if that can be reached.
"""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from scaler.transport import runtime, tls
from scaler.transport.addresses import IpcAddress, TcpAddress, is_this_machine, parse_peer_address, resolve
from scaler.transport.errors import NobodyThereError, NotAdmittedError
from scaler.transport.keys import EXPORT_LINE, Key, find_key, find_or_make_key, insecure_by_environment

# Between two looks for somebody who is not there yet: the first and the longest, in seconds.
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.25
# A single look at a remote address waits so long for its answer, whatever the timeout.
_SHORTEST_PATIENCE = 2.0
_LONGEST_HANDSHAKE = 10.0


def _nothing() -> None:
    pass


@dataclass
class Connection:
    """A connected stream socket on which frames travel, whatever is behind it.

    `fd` belongs to whoever dialled, and passes to the channel or loop that attaches it.
    """

    fd: int
    # For the hello; empty where the peer asks for none.
    ticket: bytes = field(repr=False)
    # 16 hex digits; empty without keys.
    cluster: str
    is_local: bool
    _end: Callable[[], None] = field(default=_nothing, repr=False)

    def close(self) -> None:
        """Ends what is behind `fd`, which it leaves alone: waits until what was written to it has left (2 s at most).

        A bridge ends by itself when either side is closed: this is for whoever wants to wait for it. May be repeated.
        """
        self._end()


def dial(
    address: str,
    role: str,
    *,
    key: Key | str | None = None,
    key_file: str | None = None,
    insecure: bool | None = None,
    timeout: float = 0.0,
    compression: str = "auto",
) -> Connection:
    """Connects to the part at `address`, trying until `timeout` seconds have passed (0: once).

    role: "client", "node", "manager", "scheduler" or "objects": what the ticket is for. key: a key or the text of a
    join token; None looks in the environment and in the user's folder. insecure: None asks `SCALER_INSECURE`.

    AddressError, ClusterKeyError: what was given cannot be used. NobodyThereError: nothing answered in time.
    NotAdmittedError: something answered, and key and peer do not fit; or there is no key for a remote peer.
    """
    target = parse_peer_address(address)
    deadline = time.monotonic() + timeout
    if isinstance(target, IpcAddress):
        return _until(deadline, address, lambda: _local_connection(target.path, ""))
    if insecure is None:
        insecure = insecure_by_environment() and key is None and key_file is None
    candidates = _resolve_until(target, address, deadline)
    local = any(map(is_this_machine, candidates))
    found = None if insecure else _key_for(address, key, key_file, local)
    path = runtime.socket_path(found.cluster if found is not None else "", target.port) if local else None
    attempt = _Attempt(address, candidates, path, role, found, compression)
    return _until(deadline, address, lambda: attempt.once(deadline))


def _until(deadline: float, address: str, attempt: Callable[[], Connection | None]) -> Connection:
    pause = _FIRST_PAUSE
    while (connection := attempt()) is None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise NobodyThereError(
                "Nobody answers at this address.", address, "start what belongs there, or mend the address"
            )
        time.sleep(min(pause, remaining))
        pause = min(2 * pause, _LONGEST_PAUSE)
    return connection


class _Attempt:
    """Tries a part's Unix socket and its numeric addresses, one after the other."""

    def __init__(
        self,
        address: str,
        candidates: list[TcpAddress],
        path: str | None,
        role: str,
        key: Key | None,
        compression: str,
    ) -> None:
        """path: of the Unix socket; None where the part is on another machine."""
        self._address = address
        self._candidates = candidates
        self._path = path
        self._role = role
        self._key = key
        self._compression = compression
        self._closed = 0

    def once(self, deadline: float) -> Connection | None:
        """None when nobody is there yet. NotAdmittedError when somebody is and will not have us."""
        if (local := self._locally()) is not None:
            return local
        for candidate in self._candidates:
            patience = max(deadline - time.monotonic(), _SHORTEST_PATIENCE)
            # On this machine a look is cheaper than zmq's import; a remote part would count it as a stranger.
            if self._path is not None and not _accepts(candidate, patience):
                continue
            # The part may have come up between our two looks; it opens its Unix socket first.
            connection = self._locally() or self._handshake(candidate, patience)
            if connection is not None:
                return connection
        return None

    def _locally(self) -> Connection | None:
        if self._path is None:
            return None
        return _local_connection(self._path, self._key.cluster if self._key is not None else "")

    def _handshake(self, candidate: TcpAddress, patience: float) -> Connection | None:
        if self._key is not None and self._role == "objects" and (over_tls := self._known_tls(candidate, self._key)):
            return over_tls
        # Only here: local connections do without zmq, which takes longer to import than they take to make.
        from scaler.transport.dealer import DealerBridge, Handshake

        bridge = DealerBridge(candidate, self._key, self._compression)
        try:
            result = bridge.connect(min(patience, _LONGEST_HANDSHAKE))
        except BaseException:
            bridge.close()
            raise
        if result is Handshake.ADMITTED:
            descriptor = bridge.take()
            bridge.start()
            if self._key is not None and self._role == "objects" and tls.is_worth_asking(candidate, self._key):
                return self._upgraded(descriptor, bridge.close, candidate, self._key, patience)
            return self._connection(descriptor, bridge.close)
        bridge.close()
        # A part that is just ending closes connections as well; one that does so twice means it.
        self._closed += result is Handshake.CLOSED
        if result is Handshake.REFUSED or self._closed >= 2:
            raise self._not_admitted()
        if result is Handshake.SILENT:
            raise NotAdmittedError(
                "Something listens at this address and does not speak as scaler does.",
                self._address,
                "check host and port; a scheduler is usually at port 8516",
            )
        return None

    def _connection(self, descriptor: int, end: Callable[[], None]) -> Connection:
        ticket, cluster = (self._key.ticket(self._role), self._key.cluster) if self._key is not None else (b"", "")
        return Connection(descriptor, ticket, cluster, is_local=False, _end=end)

    def _known_tls(self, candidate: TcpAddress, key: Key) -> Connection | None:
        introduction = tls.known(candidate, key)
        made = introduction and tls.connect(candidate, introduction, key, self._compression)
        return self._connection(*made) if made else None

    def _upgraded(
        self, descriptor: int, end: Callable[[], None], candidate: TcpAddress, key: Key, patience: float
    ) -> Connection | None:
        """The connection over TLS, or the one over CURVE where that is not to be had."""
        try:
            introduction = tls.ask(descriptor, candidate, key)
            made = introduction and introduction.port and tls.connect(candidate, introduction, key, self._compression)
        except BaseException:
            os.close(descriptor)
            end()
            raise
        if introduction is not None and not made:
            return self._connection(descriptor, end)
        os.close(descriptor)
        end()
        # One that took the question for nonsense is not asked again.
        return self._connection(*made) if made else self._handshake(candidate, patience)

    def _not_admitted(self) -> NotAdmittedError:
        if self._key is None:
            return NotAdmittedError(
                "The peer at this address wants a key, and this side runs without one (insecure).",
                self._address,
                f"unset SCALER_INSECURE and, with a line from the peer's machine: {EXPORT_LINE}",
            )
        return NotAdmittedError(
            f"The peer at this address has another key than ours (cluster {self._key.cluster}), or none.",
            self._address,
            f"set SCALER_KEY to what `scaler_keys export` prints on its machine ({EXPORT_LINE}); "
            "for a peer started with --insecure: SCALER_INSECURE=1",
        )


def _accepts(candidate: TcpAddress, timeout: float) -> bool:
    """Whether anybody accepts connections there."""
    try:
        socket.create_connection((candidate.host, candidate.port), timeout).close()
    except OSError:
        return False
    return True


def _key_for(address: str, key: Key | str | None, key_file: str | None, local: bool) -> Key:
    if local:
        # The scheduler may come up after us: it will find the key that we make here.
        return find_or_make_key(key, key_file)
    found = find_key(key, key_file)
    if found is None:
        raise NotAdmittedError(
            "This machine has no key of the cluster.",
            address,
            f"set SCALER_KEY to what `scaler_keys export` prints on the scheduler's machine ({EXPORT_LINE})",
        )
    return found


def _resolve_until(target: TcpAddress, address: str, deadline: float) -> list[TcpAddress]:
    pause = _FIRST_PAUSE
    while True:
        try:
            return resolve(target)
        except OSError as error:
            if time.monotonic() + pause > deadline:
                raise NobodyThereError(
                    f"The host name {target.host!r} has no address: {error.strerror or error}.",
                    address,
                    "check the name, or write the machine's IP address",
                ) from None
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _local_connection(path: str, cluster: str) -> Connection | None:
    connected = _try_path(path)
    return Connection(connected.detach(), b"", cluster, is_local=True) if connected is not None else None


def _try_path(path: str) -> socket.socket | None:
    connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connecting.connect(path)
    except OSError:
        connecting.close()
        return None
    return connecting
