"""Which objects this client holds, and for how many reasons; the scheduler keeps an object that somebody holds.

Handles end in finalizers, which may run anywhere, so they only leave a note; the notes are read with the client's lock.
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager
from typing import Any, Protocol


class HoldingChannel(Protocol):
    """What is needed of `Channel`."""

    def hold_object(self, hash: bytes, size: int) -> None: ...

    def release_object(self, hash: bytes) -> None: ...

    def flush(self) -> None: ...


class Handle:
    """One reason to hold an object, while it lives."""

    __slots__ = ("_generation", "_holds", "hash")

    def __init__(self, hash: bytes, holds: Holds) -> None:
        self.hash = hash
        self._generation = holds.generation
        self._holds = holds

    @property
    def was_cleared(self) -> bool:
        """Whether the object was let go of all the same."""
        return self._generation != self._holds.generation

    def __del__(self) -> None:
        self._holds.gone.append((self._generation, self.hash))


class Holds:
    """lock: the client's. The core counts the holds."""

    def __init__(self, channel: HoldingChannel, lock: AbstractContextManager[Any]) -> None:
        self.channel = channel
        self.lock = lock
        self.gone: deque[tuple[int, bytes]] = deque()
        # Something was said that is not written yet.
        self.unwritten = False
        # After `clear` the scheduler knows of no holds: the handles of before end silently.
        self.generation = 0

    def hold(self, hash: bytes, size: int) -> Handle:
        with self.lock:
            return self.hold_locked(hash, size)

    def hold_locked(self, hash: bytes, size: int) -> Handle:
        self.channel.hold_object(hash, size)
        self.unwritten = True
        return Handle(hash, self)

    def write(self) -> None:
        """With the lock: tells the scheduler of new handles, and of those that ended."""
        while self.gone:
            generation, hash = self.gone.popleft()
            if generation == self.generation:
                self.channel.release_object(hash)
                self.unwritten = True
        if self.unwritten:
            self.unwritten = False
            self.channel.flush()

    def clear(self) -> None:
        with self.lock:
            self.generation += 1
