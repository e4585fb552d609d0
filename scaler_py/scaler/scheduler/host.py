"""A scheduler: its loop, the sockets that it listens on, and, unless another is named, an object storage beside it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scaler._core import Loop
from scaler.node.doors import PATIENCE, Doors
from scaler.node.executors import SWEEP_SECONDS, Executors
from scaler.outward import OutwardLink
from scaler.part import Ending
from scaler.running_loop import Handlers, RunningLoop, log
from scaler.scheduler.settings import SchedulerSettings
from scaler.storage.host import Storage, key_for
from scaler.storage.settings import StorageSettings
from scaler.transport.addresses import Address, IpcAddress, TcpAddress, parse_address, parse_peer_address
from scaler.transport.connect import Connection, dial
from scaler.transport.errors import AddressInUseError
from scaler.transport.keys import ClusterKey
from scaler.transport.listen import Listener

logger = logging.getLogger("scaler.scheduler")

# Free ports are looked for that often: another process may take one between our look and our bind.
_TRIES = 20


def run_scheduler(settings: SchedulerSettings, ending: Ending, on_ready: Callable[[dict[str, Any]], None]) -> int:
    """Runs a scheduler in the main thread until it is told to end; its exit status.

    on_ready: called with {"address": …, "object_storage": …, "cluster": …, "sockets": […]} when it listens.
    AddressError, AddressInUseError, ClusterKeyError, ConfigurationError: it cannot start.
    """
    address = parse_address(settings.address)
    for storage in filter(None, (settings.object_storage, settings.advertised_object_storage)):
        parse_peer_address(storage)
    key = key_for(settings.address, settings.key_file, settings.insecure)
    host = _start(settings, address, key, ending)
    return host.run(on_ready)


def _start(settings: SchedulerSettings, address: Address, key: ClusterKey | None, ending: Ending) -> SchedulerHost:
    if not isinstance(address, TcpAddress) or address.port or settings.object_storage:
        return SchedulerHost(settings, key, ending)
    for attempt in range(_TRIES):
        chosen = replace(settings, address=str(address.with_port(_port_with_free_neighbour(address))))
        try:
            return SchedulerHost(chosen, key, ending)
        except AddressInUseError:
            if attempt == _TRIES - 1:
                raise
    raise AssertionError("the last try returns or raises")


class SchedulerHost:
    def __init__(self, settings: SchedulerSettings, key: ClusterKey | None, ending: Ending) -> None:
        self._settings = settings
        self._ending = ending
        self._storage: Storage | None = None
        self._listener: Listener | None = None
        self._status = 0
        try:
            storage = settings.object_storage or self._start_storage(key)
            told = settings.advertised_object_storage or storage
            ticket_key, self._cluster = (key.ticket_key, key.cluster) if key is not None else (None, "")
            node = None if settings.node is None else settings.node.for_loop()
            self._loop = Loop(scheduler=settings.for_loop(told, ticket_key, self._cluster), node=node)
            self._listener = Listener(self._loop, "scheduler", settings.address, key, compression=settings.compression)
            access = {"key": key, "insecure": settings.insecure or None, "compression": settings.compression}
            self._access: dict[str, Any] = access
            self._store = OutwardLink(self._loop, "store", "scheduler", storage, **access)
        except BaseException:
            self._close()
            raise
        self._told = {
            "address": self._listener.address,
            "object_storage": told,
            "cluster": self._cluster,
            # The paths of the local sockets: files that stay when this process is killed.
            "sockets": [each.local_path for each in (self._listener, self._storage) if each is not None],
        }

    def _start_storage(self, key: ClusterKey | None) -> str:
        settings = self._settings
        own = StorageSettings(
            neighbour(settings.address),
            compression=settings.compression,
            memory_limit=settings.storage_memory,
            directory=settings.storage_directory,
            write_through=settings.storage_write_through,
            tls_port=settings.storage_tls_port,
        )
        try:
            self._storage = Storage(own, key, self._storage_ended)
        except AddressInUseError as error:
            what = error.what.removesuffix(".")
            raise AddressInUseError(
                f"{what}: the scheduler at {settings.address} would have its object storage there.",
                error.where,
                f"{error.mend}; or name a storage that runs already with --object-storage-address",
            ) from None
        return self._storage.address

    def run(self, on_ready: Callable[[dict[str, Any]], None]) -> int:
        node = self._settings.node
        doors = Doors(str(self._told["address"]), self._dial_for_task)
        executors = None if node is None else Executors(self._loop, node.executor, doors)
        self._ending.watch(on_stop=self._loop.stop)
        running = RunningLoop(self._loop, "scheduler")
        try:
            on_ready(self._told)
            handlers: Handlers = {
                "connect": lambda link, attempt: self._store.connect(attempt),
                "welcome": lambda *told: None,
                "ticket": lambda ticket: None,
                "refused": self._refused,
                "log": log,
                "exit": self._exit,
            }
            if executors is None:
                running.serve(handlers)
            else:
                ours: Handlers = {"start_executor": executors.start, "listen": executors.listen}
                running.serve({**handlers, **ours}, SWEEP_SECONDS, executors.sweep)
        finally:
            self._loop.stop()
            if executors is not None:
                executors.close()
            self._close()
        return self._status

    def _dial_for_task(self, role: str, address: str) -> Connection:
        return dial(address or str(self._told["address"]), role, timeout=PATIENCE, **self._access)

    def _refused(self, link: str, code: int, text: str) -> None:
        logger.error("object storage does not want this scheduler: %s", text)

    def _exit(self, reason: str) -> None:
        logger.info("the scheduler ends: %s", reason)
        self._ending.stop()

    def _storage_ended(self) -> None:
        if self._storage is not None and self._storage.error is not None:
            logger.error("object storage has ended: %r", self._storage.error)
            self._status = 1
            self._ending.stop()

    def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        if self._storage is not None:
            self._store_closed()

    def _store_closed(self) -> None:
        storage, self._storage = self._storage, None
        if storage is not None:
            storage.close()


def neighbour(address: str) -> str:
    """Where the object storage of the scheduler at `address` listens: the next port, or a path beside it."""
    target = parse_address(address)
    if isinstance(target, IpcAddress):
        return f"ipc://{target.path}.objects"
    return str(target.with_port(target.port + 1))


def _port_with_free_neighbour(address: TcpAddress) -> int:
    host = "" if address.is_wildcard else address.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
    return min(port, 65534)
