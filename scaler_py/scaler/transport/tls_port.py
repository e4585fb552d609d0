"""The TLS port of an object storage, beside its CURVE port and on the same host."""

import errno
import socket

from scaler import _core
from scaler.transport.addresses import TcpAddress, resolve
from scaler.transport.descriptors import most_peers
from scaler.transport.errors import AddressInUseError, ConfigurationError
from scaler.transport.keys import ClusterKey

_BACKLOG = 1024


class TlsPort:
    """Listens from the start until `close`. Whoever comes by CURVE is given to it, and may ask where it is."""

    def __init__(
        self, loop: _core.Loop, part: str, address: TcpAddress, key: ClusterKey, compression: str, port: str
    ) -> None:
        """address: where CURVE listens. port: "auto", "off" (then whoever asks is told so) or a number.

        AddressInUseError, ConfigurationError.
        """
        listening = None if port == "off" else _bind(address.with_port(0 if port == "auto" else int(port)))
        self._listener = _core.TlsListener(
            loop,
            part,
            None if listening is None else listening.detach(),
            key.server_secret,
            key.client_secret,
            codec=compression,
            most_peers=most_peers(),
        )

    @property
    def port(self) -> int:
        """0 where it is off."""
        return self._listener.port

    def introduce(self, descriptor: int, host: str) -> None:
        """A peer that came by CURVE: the loop's end of its pair. All that it says but the question goes to the loop."""
        self._listener.introduce(descriptor, host)

    def close(self) -> None:
        """Ends all connections, after what the loop wrote has left: two seconds at most. May be repeated."""
        self._listener.close()


def _bind(address: TcpAddress) -> socket.socket:
    host = "0.0.0.0" if address.host == "*" else address.host
    if not address.is_wildcard:
        host = resolve(address)[0].host
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listening.family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind((host, address.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _cannot_listen(error, address) from None
    return listening


def _cannot_listen(error: OSError, address: TcpAddress) -> ConfigurationError:
    if error.errno == errno.EADDRINUSE:
        return AddressInUseError(
            f"Port {address.port}, for TLS, is in use by another process.",
            str(address),
            f"end it (ss -ltnp 'sport = :{address.port}' names it), or choose another port, or tls_port = \"auto\"",
        )
    return ConfigurationError(
        f"Cannot listen there for TLS: {error.strerror}.", str(address), 'choose another port, or tls_port = "auto"'
    )
