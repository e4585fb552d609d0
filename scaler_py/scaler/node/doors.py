"""Doors: an agent makes the connections of tasks that are clients. Executors hold no key and open no network socket.

A door is a socketpair between agent and executor. The executor names a part in a line of JSON; the answer is another
one, with the connected socket beside it.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import socket
import threading
from collections.abc import Callable

from scaler.transport.connect import Connection

logger = logging.getLogger("scaler.node")

# How long a task's client waits for one try, in seconds.
PATIENCE = 2.0
MOST_BYTES = 4096


class Doors:
    """dial: connects as a role (`client` or `objects`) to an address; an empty one is the scheduler's."""

    def __init__(self, address: str, dial: Callable[[str, str], Connection]) -> None:
        """address: the scheduler's, as tasks are told it."""
        self.address = address
        self._dial = dial
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None

    def make(self) -> socket.socket:
        """A new door; the executor's end of it, for the caller to close when the executor has it."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with self._lock:
            self._selector.register(ours, selectors.EVENT_READ)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="doors", daemon=True)
                self._thread.start()
        return theirs

    def close(self) -> None:
        self._closed = True

    def _serve(self) -> None:
        while not self._closed:
            # Doors that are made meanwhile are noticed at once: epoll sees what is registered while it waits.
            for key, _ in self._selector.select(1.0):
                self._read(key.fileobj)

    def _read(self, door: object) -> None:
        assert isinstance(door, socket.socket)
        try:
            asked = door.recv(MOST_BYTES)
        except OSError:
            asked = b""
        if asked:
            threading.Thread(target=self._answer, args=(door, asked), name="door", daemon=True).start()
            return
        with self._lock:
            self._selector.unregister(door)
        door.close()

    def _answer(self, door: socket.socket, asked: bytes) -> None:
        try:
            wish = json.loads(asked)
            connection = self._dial(str(wish["role"]), str(wish["address"]))
        except Exception as error:
            self._tell(door, {"error": f"{error}", "kind": type(error).__name__}, [])
            return
        told = {
            "ticket": connection.ticket.hex(),
            "cluster": connection.cluster,
            "is_local": connection.is_local,
        }
        try:
            self._tell(door, told, [connection.fd])
        finally:
            os.close(connection.fd)

    def _tell(self, door: socket.socket, told: dict[str, object], descriptors: list[int]) -> None:
        try:
            socket.send_fds(door, [json.dumps(told).encode()], descriptors)
        except OSError as error:
            logger.debug("a task's door is gone: %s", error)
