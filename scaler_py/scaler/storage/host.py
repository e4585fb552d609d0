"""An object storage server: alone in a process, or in a thread beside a scheduler."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from scaler._core import Loop
from scaler.part import Ending
from scaler.running_loop import RunningLoop, log
from scaler.storage.settings import StorageSettings
from scaler.transport.errors import ConfigurationError
from scaler.transport.keys import ClusterKey, find_cluster_key, insecure_by_environment
from scaler.transport.listen import Listener


def key_for(address: str, key_file: str, insecure: bool) -> ClusterKey | None:
    """The key that a part listens with; None on a local path, and where the user wants none."""
    if insecure or address.startswith("ipc://") or (insecure_by_environment() and not key_file):
        return None
    return find_cluster_key(None, key_file or None)


class Storage:
    """A store that listens at its address, from the start until `close`."""

    def __init__(self, settings: StorageSettings, key: ClusterKey | None, on_end: Callable[[], None]) -> None:
        """on_end: called, in another thread, when its loop has ended by itself.

        ConfigurationError: its directory cannot be used.
        """
        self._loop = _make_loop(settings, key)
        self._listener = Listener(
            self._loop,
            "store",
            settings.address,
            key,
            compression=settings.compression,
            tls_port=settings.tls_port,
        )
        self.address = self._listener.address
        self.local_path = self._listener.local_path
        self.error: BaseException | None = None
        self._on_end = on_end
        self._running = RunningLoop(self._loop, "store")
        self._thread = threading.Thread(target=self._serve, name="store requests", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.stop()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        try:
            self._running.serve({"log": log, "exit": lambda reason: None, "refused": lambda *why: None})
        except BaseException as error:
            self.error = error
        self._on_end()


def _make_loop(settings: StorageSettings, key: ClusterKey | None) -> Loop:
    if settings.write_through and not settings.directory:
        raise ConfigurationError(
            "An object storage that writes through needs a folder.",
            "write_through",
            "give it one with --directory, or leave --write-through off",
        )
    try:
        return Loop(store=settings.for_loop(key.ticket_key if key is not None else None))
    except OSError as error:
        if not settings.directory:
            raise
        raise ConfigurationError(
            f"The folder for objects cannot be used: {error.strerror or error}.",
            settings.directory,
            "give this object storage a --directory of its own, which it may write",
        ) from None


def run_storage(settings: StorageSettings, ending: Ending, on_ready: Callable[[dict[str, Any]], None]) -> int:
    """Runs a server until it is told to end; its exit status. on_ready: called with {"address": …, "sockets": […]}."""
    ended = threading.Event()
    storage = Storage(settings, key_for(settings.address, settings.key_file, settings.insecure), ended.set)
    try:
        ending.watch(on_stop=ended.set)
        on_ready({"address": storage.address, "sockets": [storage.local_path]})
        ended.wait()
    finally:
        storage.close()
    if storage.error is not None:
        raise storage.error
    return 0
