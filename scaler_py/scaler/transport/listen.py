"""Where a part listens: a Unix socket for local peers and, at a tcp address, a bridge for remote ones.

Object storage has a TLS port besides.
"""

from typing import TYPE_CHECKING, Protocol, cast

from scaler.transport import runtime
from scaler.transport.addresses import IpcAddress, TcpAddress, parse_address
from scaler.transport.descriptors import raise_descriptor_limit
from scaler.transport.errors import AddressInUseError
from scaler.transport.keys import ClusterKey

if TYPE_CHECKING:
    from scaler._core import Loop
    from scaler.transport.router import RouterBridge
    from scaler.transport.tls_port import TlsPort


class AdoptingLoop(Protocol):
    """What a listener needs of `scaler._core.Loop`."""

    def listen(self, part: str, fd: int) -> None: ...
    def adopt(self, part: str, fd: int, address: str) -> None: ...


class Listener:
    """Makes one part reachable at one address, until `close`."""

    def __init__(
        self,
        loop: AdoptingLoop,
        part: str,
        address: str,
        key: ClusterKey | None,
        *,
        compression: str = "auto",
        tls_port: str | None = None,
    ) -> None:
        """part: "scheduler" or "store". key None: without keys (a choice of the user's, never a fallback).
        tls_port: of object storage: "auto" (any free one), "off" or a number; without keys and locally there is none.

        Port 0 takes a free one; `address` tells which. AddressInUseError, AddressError, ConfigurationError.
        """
        target = parse_address(address)
        raise_descriptor_limit()
        self._bridge: RouterBridge | None = None
        self._tls: TlsPort | None = None
        if isinstance(target, IpcAddress):
            self._local = runtime.LocalListener(target.path)
            self.address = str(target)
        else:
            self._local = self._listen_both(loop, part, target, key, compression, tls_port)
        try:
            loop.listen(part, self._local.detach())
        except BaseException:
            self.close()
            raise
        if self._bridge is not None:
            self._bridge.start()

    def _listen_both(
        self,
        loop: AdoptingLoop,
        part: str,
        target: TcpAddress,
        key: ClusterKey | None,
        compression: str,
        tls_port: str | None,
    ) -> runtime.LocalListener:
        from scaler.transport.router import RouterBridge

        def adopt(descriptor: int, host: str) -> None:
            if self._tls is not None:
                self._tls.introduce(descriptor, host)
            else:
                loop.adopt(part, descriptor, host)

        cluster = key.cluster if key is not None else ""
        # The Unix socket first, where the port is known: a local peer that finds the port open finds that one too.
        local = _listen_locally(cluster, target) if target.port else None
        try:
            self._bridge = RouterBridge(adopt, target, key, compression)
            self.address = str(self._bridge.address)
            if key is not None and tls_port is not None:
                self._tls = _tls_port(loop, part, self._bridge.address, key, compression, tls_port)
            return local or _listen_locally(cluster, self._bridge.address)
        except BaseException:
            self._close_remote()
            if local is not None:
                local.close()
            raise

    @property
    def local_path(self) -> str:
        """The path of the Unix socket."""
        return self._local.path

    def close(self) -> None:
        """Ends the bridges and removes the socket's files. May be repeated."""
        self._close_remote()
        self._local.close()

    def _close_remote(self) -> None:
        if self._bridge is not None:
            self._bridge.close()
        if self._tls is not None:
            self._tls.close()


def _tls_port(
    loop: AdoptingLoop, part: str, address: TcpAddress, key: ClusterKey, compression: str, tls_port: str
) -> "TlsPort":
    from scaler.transport.tls_port import TlsPort

    return TlsPort(cast("Loop", loop), part, address, key, compression, tls_port)


def _listen_locally(cluster: str, target: TcpAddress) -> runtime.LocalListener:
    try:
        return runtime.LocalListener(runtime.socket_path(cluster, target.port))
    except AddressInUseError as error:
        raise AddressInUseError(
            f"Port {target.port} is in use by another part of this cluster.",
            f"{target} ({error.where})",
            "end that one, or choose another port",
        ) from None
