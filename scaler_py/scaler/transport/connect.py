"""Connections to scheduler and object storage: the local Unix socket where there is one, CURVE where there is not."""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from scaler.transport import runtime
from scaler.transport.addresses import IpcAddress, TcpAddress, is_this_machine, parse_address, resolve
from scaler.transport.errors import ClusterKeyError, NobodyThereError
from scaler.transport.keys import EXPORT_LINE, Key, find_key, find_or_make_key, insecure_by_environment

# Between two looks for somebody who is not there yet: the first and the longest, in seconds.
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.25


def _nothing() -> None:
    pass


@dataclass
class Connection:
    """A connected stream socket on which frames travel, whatever is behind it.

    `fd` belongs to whoever attaches it, who closes it; `close` gives up the rest (a bridge's thread ends by itself
    when either side closes, so `close` is needed only for a connection that nobody attached).
    """

    fd: int
    # For the hello; empty where the peer asks for none.
    ticket: bytes
    # 16 hex digits; empty without keys.
    cluster: str
    is_local: bool
    _end: Callable[[], None] = field(default=_nothing, repr=False)

    def close(self) -> None:
        """Ends the connection, `fd` included if it was not attached: call it before attaching only."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self.fd)
            self.fd = -1
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
    NotAdmittedError: something answered, and key and peer do not fit.
    """
    target = parse_address(address)
    deadline = time.monotonic() + timeout
    if isinstance(target, IpcAddress):
        return Connection(_dial_path(target.path, address, deadline).detach(), b"", "", is_local=True)
    if insecure is None:
        insecure = insecure_by_environment() and key is None and key_file is None
    candidates = _resolve_until(target, address, deadline)
    local = any(map(is_this_machine, candidates))
    found = None if insecure else _key_for(address, key, key_file, local)
    cluster = found.cluster if found is not None else ""
    path = runtime.socket_path(cluster, target.port) if local else None
    pause = _FIRST_PAUSE
    while True:
        if path is not None and (connected := _try_path(path)) is not None:
            return Connection(connected.detach(), b"", cluster, is_local=True)
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise _nobody(address)
        time.sleep(min(pause, remaining))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _key_for(address: str, key: Key | str | None, key_file: str | None, local: bool) -> Key:
    if local:
        # The scheduler may come up after us: it will find the key that we make here.
        return find_or_make_key(key, key_file)
    found = find_key(key, key_file)
    if found is None:
        raise ClusterKeyError(
            "There is no key of the cluster on this machine.",
            address,
            f"run on the scheduler's machine: scaler_keys export; then here: {EXPORT_LINE.split('$', 1)[0]}<its output>",
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


def _dial_path(path: str, address: str, deadline: float) -> socket.socket:
    pause = _FIRST_PAUSE
    while (connected := _try_path(path)) is None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise _nobody(address)
        time.sleep(min(pause, remaining))
        pause = min(2 * pause, _LONGEST_PAUSE)
    return connected


def _try_path(path: str) -> socket.socket | None:
    connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connecting.connect(path)
    except OSError:
        connecting.close()
        return None
    return connecting


def _nobody(address: str) -> NobodyThereError:
    return NobodyThereError(
        "Nobody answers at this address.", address, f"start a scheduler there: scaler_scheduler {address}"
    )
