"""Where a part listens: a Unix socket for local peers and, at a tcp address, a bridge for remote ones."""

from typing import TYPE_CHECKING, Protocol

from scaler.transport import runtime
from scaler.transport.addresses import IpcAddress, TcpAddress, parse_address
from scaler.transport.descriptors import raise_descriptor_limit
from scaler.transport.errors import AddressInUseError
from scaler.transport.keys import ClusterKey

if TYPE_CHECKING:
    from scaler.transport.router import RouterBridge


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
    ) -> None:
        """part: "scheduler" or "store". key None: without keys (a choice of the user's, never a fallback).

        Port 0 takes a free one; `address` tells which. AddressInUseError, AddressError, ConfigurationError.
        """
        target = parse_address(address)
        raise_descriptor_limit()
        self._bridge: RouterBridge | None = None
        if isinstance(target, IpcAddress):
            self._local = runtime.LocalListener(target.path)
            self.address = str(target)
        else:
            self._local = self._listen_both(loop, part, target, key, compression)
        try:
            loop.listen(part, self._local.detach())
        except BaseException:
            self.close()
            raise
        if self._bridge is not None:
            self._bridge.start()

    def _listen_both(
        self, loop: AdoptingLoop, part: str, target: TcpAddress, key: ClusterKey | None, compression: str
    ) -> runtime.LocalListener:
        from scaler.transport.router import RouterBridge

        def adopt(descriptor: int, host: str) -> None:
            loop.adopt(part, descriptor, host)

        cluster = key.cluster if key is not None else ""
        # The Unix socket first, where the port is known: a local peer that finds the port open finds that one too.
        local = _listen_locally(cluster, target) if target.port else None
        try:
            self._bridge = RouterBridge(adopt, target, key, compression)
            self.address = str(self._bridge.address)
            return local or _listen_locally(cluster, self._bridge.address)
        except BaseException:
            if self._bridge is not None:
                self._bridge.close()
            if local is not None:
                local.close()
            raise

    @property
    def local_path(self) -> str:
        """The path of the Unix socket."""
        return self._local.path

    def close(self) -> None:
        """Ends the bridge and removes the socket's files. May be repeated."""
        if self._bridge is not None:
            self._bridge.close()
        self._local.close()


def _listen_locally(cluster: str, target: TcpAddress) -> runtime.LocalListener:
    try:
        return runtime.LocalListener(runtime.socket_path(cluster, target.port))
    except AddressInUseError as error:
        raise AddressInUseError(
            f"Port {target.port} is in use by another part of this cluster.",
            f"{target} ({error.where})",
            "end that one, or choose another port",
        ) from None
