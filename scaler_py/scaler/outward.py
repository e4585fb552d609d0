"""Outward links of a loop: connections that the loop asks for and the host makes, in threads, until one holds."""

from __future__ import annotations

import logging
import threading
from typing import Any, Protocol

from scaler.transport.addresses import reachable_address
from scaler.transport.connect import Connection, dial
from scaler.transport.errors import ThreeLineError

logger = logging.getLogger("scaler")

# How long one try waits for somebody to be there, in seconds.
_PATIENCE = 5.0
# Pauses after connections that came to nothing: doubled from the first to the longest, in seconds.
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0
# Failures in a row that are told; the loop's own time-out ends it all.
_TOLD = 3


class AttachingLoop(Protocol):
    """What is needed of `scaler._core.Loop`."""

    def attach(self, link: str, fd: int) -> None: ...


class OutwardLink:
    """Dials one address, once for each request of the loop, until `close`.

    Scheduler and node of one loop ask separately for theirs to object storage.
    """

    def __init__(self, loop: AttachingLoop, link: str, role: str, address: str, **access: Any) -> None:
        """link: the loop's name for it. role, access: as `dial` takes them. address: empty while it is not known."""
        self._loop = loop
        self._link = link
        self._role = role
        self._address = address
        self._access = access
        self._waiting: list[int] = []
        self._closed = threading.Event()
        self._lock = threading.Lock()

    def connect(self, attempt: int) -> None:
        """The loop's request. attempt: how many connections in a row have come to nothing. Returns at once."""
        with self._lock:
            if self._address:
                self._start(attempt)
            else:
                self._waiting.append(attempt)

    def learn(self, advertised: str, reached_by: str) -> None:
        """The address, as a peer told it that we reached by another one. Ignored where we know one."""
        with self._lock:
            if self._address or not advertised:
                return
            self._address = reachable_address(advertised, reached_by)
            waiting, self._waiting = self._waiting, []
            for attempt in waiting:
                self._start(attempt)

    def close(self) -> None:
        self._closed.set()

    def _start(self, attempt: int) -> None:
        threading.Thread(target=self._dial, args=(attempt,), name=f"connect {self._link}", daemon=True).start()

    def _dial(self, attempt: int) -> None:
        if attempt:
            self._closed.wait(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))
        connection = self._connection()
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
            except (ThreeLineError, OSError) as error:  # out of descriptors, for example, which passes
                failures += 1
                if failures <= _TOLD:
                    logger.warning("no connection to %s: %s", self._link, error)
                self._closed.wait(_LONGEST_PAUSE)
        return None
