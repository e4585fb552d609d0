"""Outward links of a loop: connections that the loop asks for and the host makes, in threads, until one holds."""

from __future__ import annotations

import logging
import threading
from typing import Any, Protocol

from scaler.transport.addresses import reachable_address
from scaler.transport.connect import Connection, dial
from scaler.transport.errors import ThreeLineError

logger = logging.getLogger("scaler")

# How long one try waits for somebody to be there, and the pause after one that failed otherwise, in seconds.
_PATIENCE = 5.0
_PAUSE = 1.0
# Failures in a row that are told; the loop's own time-out ends it all.
_TOLD = 3


class AttachingLoop(Protocol):
    """What is needed of `scaler._core.Loop`."""

    def attach(self, link: str, fd: int) -> None: ...


class OutwardLink:
    """One link: dials its address whenever the loop asks for it, until `close`."""

    def __init__(self, loop: AttachingLoop, link: str, role: str, address: str, **access: Any) -> None:
        """link: the loop's name for it. role, access: as `dial` takes them. address: empty while it is not known."""
        self._loop = loop
        self._link = link
        self._role = role
        self._address = address
        self._access = access
        self._wanted = False
        self._closed = threading.Event()
        self._lock = threading.Lock()

    def connect(self, attempt: int = 0) -> None:
        """The loop's request. Returns at once."""
        with self._lock:
            if self._wanted:
                return
            self._wanted = True
            if self._address:
                self._start()

    def learn(self, advertised: str, reached_by: str) -> None:
        """The address, as a peer told it that we reached by another one. Ignored where we were given one."""
        with self._lock:
            if self._address or not advertised:
                return
            self._address = reachable_address(advertised, reached_by)
            if self._wanted:
                self._start()

    def close(self) -> None:
        self._closed.set()

    def _start(self) -> None:
        threading.Thread(target=self._dial, name=f"connect {self._link}", daemon=True).start()

    def _dial(self) -> None:
        connection = self._connection()
        with self._lock:
            self._wanted = False
        if connection is None:
            return
        if self._closed.is_set():
            connection.close()
        else:
            self._loop.attach(self._link, connection.fd)

    def _connection(self) -> Connection | None:
        failures = 0
        while not self._closed.is_set():
            try:
                return dial(self._address, self._role, timeout=_PATIENCE, **self._access)
            except ThreeLineError as error:
                failures += 1
                if failures <= _TOLD:
                    logger.warning("no connection to %s: %s", self._link, error)
                self._closed.wait(_PAUSE)
        return None
