"""Addresses of parts: `tcp://host:port` and `ipc://path`."""

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass, replace

from scaler.transport.errors import AddressError

# `sun_path` of a Unix socket has 108 bytes, the last one zero.
LONGEST_PATH = 107
WILDCARDS = frozenset({"*", "0.0.0.0", "::"})
LOCAL_NAMES = frozenset({"localhost", "ip6-localhost", "localhost.localdomain"})

_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


@dataclass(frozen=True)
class TcpAddress:
    """`host` is a name, an IPv4 or an IPv6 address without brackets; `port` 0 stands for any free one, in a bind."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        return self.host in WILDCARDS

    @property
    def is_loopback(self) -> bool:
        return self.host.lower() in LOCAL_NAMES or is_loopback(self.host)

    def with_port(self, port: int) -> "TcpAddress":
        return replace(self, port=port)


@dataclass(frozen=True)
class IpcAddress:
    """A Unix socket at `path`."""

    path: str

    def __str__(self) -> str:
        return f"ipc://{self.path}"


Address = TcpAddress | IpcAddress


def is_loopback(host: str) -> bool:
    """Whether a numeric host is this machine's loopback; False for names."""
    try:
        number = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(number, "ipv4_mapped", None)
    return (mapped or number).is_loopback


def parse_address(text: object) -> Address:
    """The address that `text` names. AddressError says what is wrong with it and how it would be right."""
    if not isinstance(text, str):
        raise AddressError(f"The address {text!r} is no text.", "", "write it as text, like tcp://127.0.0.1:8516")
    scheme, separator, rest = text.partition("://")
    if not separator:
        suggestion = f"tcp://{text}" if re.fullmatch(r"[^/]+:\d+", text) else "tcp://127.0.0.1:8516"
        raise AddressError(f"The address {text!r} has no scheme.", "", f"write it as {suggestion}, or as ipc://<path>")
    if scheme == "tcp":
        return _parse_tcp(text, rest)
    if scheme == "ipc":
        return _parse_ipc(text, rest)
    if scheme == "inproc":
        raise AddressError(
            f"The address {text!r} names a place inside one process; the parts of scaler are processes of their own.",
            "",
            "use ipc://<path> on one machine, or tcp://<host>:<port>",
        )
    raise AddressError(f"The address {text!r} has the unknown scheme {scheme!r}.", "", "use tcp:// or ipc://")


def parse_peer_address(text: object) -> Address:
    """Like `parse_address`, of somebody who listens already: port 0 is only for those who are about to."""
    address = parse_address(text)
    if isinstance(address, TcpAddress) and not address.port:
        raise AddressError(f"Nobody is at port 0 of {text!r}.", "", "give the port that the peer said it listens at")
    return address


def parse_tcp_address(text: str) -> TcpAddress:
    """Like `parse_address`, where only tcp will do."""
    address = parse_address(text)
    if not isinstance(address, TcpAddress):
        raise AddressError(f"The address {text!r} is not of the form tcp://host:port.", "", "give host and port")
    return address


def _parse_tcp(text: str, rest: str) -> TcpAddress:
    rest = rest.rstrip("/")
    host, port_text = _split_port(text, rest)
    if not host:
        raise AddressError(f"The address {text!r} has no host.", "", f"write tcp://127.0.0.1:{port_text}")
    try:
        port = int(port_text, 10) if port_text.isascii() and port_text.isdigit() else -1
    except ValueError:
        port = -1
    if not 0 <= port <= 65535:
        raise AddressError(f"The port {port_text!r} of {text!r} is no number from 0 to 65535.", "", "8516 is usual")
    _check_host(text, host)
    return TcpAddress(host, port)


def _split_port(text: str, rest: str) -> tuple[str, str]:
    if rest.startswith("["):
        host, bracket, tail = rest[1:].partition("]")
        if not bracket:
            raise AddressError(f"The address {text!r} opens a bracket and does not close it.", "", "tcp://[::1]:8516")
        if not tail.startswith(":") or tail == ":":
            raise AddressError(f"The address {text!r} has no port.", "", f"write tcp://[{host}]:8516")
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise AddressError(f"{host!r} in {text!r} is no IPv6 address.", "", "tcp://[::1]:8516") from None
        return host, tail[1:]
    if rest.count(":") > 1:
        raise AddressError(f"The IPv6 address in {text!r} needs brackets.", "", "write it like tcp://[::1]:8516")
    host, colon, port = rest.partition(":")
    if not colon or not port:
        raise AddressError(f"The address {text!r} has no port.", "", f"write tcp://{host or '127.0.0.1'}:8516")
    return host, port


def _check_host(text: str, host: str) -> None:
    if host == "*" or ":" in host:
        return
    if re.fullmatch(r"[\d.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise AddressError(f"{host!r} in {text!r} is no IPv4 address.", "", "like tcp://127.0.0.1:8516") from None
        return
    if len(host) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in host.rstrip(".").split(".")):
        raise AddressError(f"{host!r} in {text!r} is no host name.", "", "like tcp://scheduler.example.org:8516")


def _parse_ipc(text: str, path: str) -> IpcAddress:
    if not path or path.endswith("/"):
        raise AddressError(f"The address {text!r} has no file name.", "", "write ipc:///tmp/scheduler.sock")
    if "\0" in path:
        raise AddressError(f"The path of {text!r} has a zero byte in it.", "", "take it out")
    size = len(path.encode("utf-8", "surrogateescape"))
    if size > LONGEST_PATH:
        raise AddressError(
            f"The path of {text!r} has {size} bytes; the path of a Unix socket has at most {LONGEST_PATH}.",
            "",
            "use a shorter path",
        )
    return IpcAddress(path)


def resolve(address: TcpAddress) -> list[TcpAddress]:
    """The numeric addresses of a host, as the resolver orders them. OSError when it has none."""
    host = "127.0.0.1" if address.host in {"*", "0.0.0.0"} else "::1" if address.host == "::" else address.host
    found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(TcpAddress(str(entry[4][0]), address.port) for entry in found))


def is_this_machine(numeric: TcpAddress) -> bool:
    """Whether a numeric address is one of this machine's own: only those can be bound."""
    if numeric.is_loopback or numeric.is_wildcard:
        return True
    family = socket.AF_INET6 if ":" in numeric.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((numeric.host, 0))
    except OSError as error:
        return error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL, errno.EACCES}
    return True


def reachable_address(advertised: str, reached_by: str) -> str:
    """What a peer should connect to, of an address that it was told.

    An advertised host that is a wildcard or loopback means the machine of whoever says so: it is replaced with the
    host in `reached_by`, the address by which the peer reached the one who told it. The port stays. Anything else,
    an ipc path and an empty text come back as they are.
    """
    if not advertised.startswith("tcp://") or not reached_by.startswith("tcp://"):
        return advertised
    told, reached = parse_tcp_address(advertised), parse_tcp_address(reached_by)
    if not (told.is_wildcard or told.is_loopback):
        return advertised
    if reached.is_wildcard:
        return str(replace(told, host="127.0.0.1"))
    if reached.is_loopback and told.is_loopback:
        return advertised
    return str(replace(told, host=reached.host))
