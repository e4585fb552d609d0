"""Large results that have come and that nobody has opened: while one is fetched, so are the next.

Most people ask for results one after the other, about in the order in which they came. So who opens one begins to
fetch those behind it, a few MiB of them; results that nobody asks for are never fetched but for these.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import deque
from typing import Protocol

# What is fetched before it is asked for, in bytes and in values.
MOST_BYTES = 4 << 20
MOST_VALUES = 16


class Fetchable(Protocol):
    size: int

    @property
    def is_open(self) -> bool: ...

    def start(self) -> None: ...


class Ahead:
    """Of one client; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # In the order in which they came.
        self._unopened: deque[weakref.ref[Fetchable]] = deque()

    def add(self, value: Fetchable) -> None:
        with self._lock:
            self._unopened.append(weakref.ref(value))

    def start_some(self) -> None:
        """Begins to fetch those that are next."""
        for value in self._next():
            value.start()

    def _next(self) -> list[Fetchable]:
        found: list[Fetchable] = []
        size = 0
        with self._lock:
            waiting = self._unopened
            while waiting and ((first := waiting[0]()) is None or first.is_open):
                waiting.popleft()
            for reference in itertools.islice(waiting, MOST_VALUES):
                value = reference()
                if value is None or value.is_open:
                    continue
                size += value.size
                if found and size > MOST_BYTES:
                    break
                found.append(value)
        return found
