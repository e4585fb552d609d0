"""Where a part listens: a Unix socket for local peers and, at a tcp address, a bridge for remote ones."""

from typing import Protocol

from scaler.transport import runtime
from scaler.transport.addresses import IpcAddress, TcpAddress, parse_address
from scaler.transport.keys import ClusterKey


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
        if isinstance(target, IpcAddress):
            self._local = runtime.LocalListener(target.path)
            self.address = str(target)
        else:
            cluster = key.cluster if key is not None else ""
            self._local = runtime.LocalListener(runtime.socket_path(cluster, target.port))
            self.address = str(target)
        loop.listen(part, self._local.detach())

    @property
    def local_path(self) -> str:
        """The path of the Unix socket."""
        return self._local.path

    def close(self) -> None:
        """Ends the bridge and removes the socket's files. May be repeated."""
        self._local.close()


__all__ = ["AdoptingLoop", "Listener", "TcpAddress"]
