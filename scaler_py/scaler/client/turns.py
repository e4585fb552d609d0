"""Who reads a socket: leader and followers.

A thread that waits for something reads the socket itself when nobody else does, and hands on what it reads to the
others, who sleep meanwhile, each on a lock of its own. The first whose wish came true wakes; when the leader leaves,
it wakes one follower to lead. So a single caller has no thread switch on its way, and many callers have one each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol


class Target(Protocol):
    """What a thread can wait for."""

    @property
    def _outcome(self) -> Any:
        """None until it came true."""


class Waitable(Protocol):
    def wait(self, timeout: float | None) -> bool: ...

    def wake(self) -> None: ...


class _Follower:
    __slots__ = ("lock", "target")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.lock = threading.Lock()
        self.lock.acquire()

    def wake(self) -> None:
        if self.lock.locked():
            self.lock.release()


class Turns:
    """One lock, one socket. `read` is called with the lock, after a wait for the socket.

    longest_wait: seconds after which `read` is called even if nothing came (heartbeats are its business).
    """

    def __init__(self, source: Waitable, read: Callable[[], None], longest_wait: float) -> None:
        self.lock = threading.RLock()
        self.source = source
        self.longest_wait = longest_wait
        # Someone waits for the socket.
        self.reading = False
        # Nobody may: there is no socket.
        self.barred = False
        # Threads in `wait_for`.
        self.callers = 0
        self.read = read
        self._followers: list[_Follower] = []

    def wait_for(self, target: Target, timeout: float | None) -> None:
        """Without the lock. TimeoutError after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self.lock:
            self.callers += 1
            try:
                while target._outcome is None:
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        raise TimeoutError
                    if self.reading or self.barred:
                        self._follow(target, left)
                    else:
                        self.lead(left)
            finally:
                self.callers -= 1
                if self._followers:
                    self.hand_on()

    def lead(self, timeout: float | None) -> None:
        """With the lock, which is free meanwhile, and nobody reading: waits for the socket once and reads."""
        lock = self.lock
        longest = self.longest_wait
        self.reading = True
        lock.release()
        try:
            self.source.wait(longest if timeout is None or timeout > longest else timeout)
        finally:
            lock.acquire()
            self.reading = False
        self.read()

    def _follow(self, target: Target, timeout: float | None) -> None:
        follower = _Follower(target)
        self._followers.append(follower)
        self.lock.release()
        try:
            follower.lock.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        finally:
            self.lock.acquire()
            if follower in self._followers:
                self._followers.remove(follower)

    def wake_served(self) -> None:
        """With the lock: wakes those whose wish came true."""
        if self._followers:
            served = [follower for follower in self._followers if follower.target._outcome is not None]
            for follower in served:
                self._followers.remove(follower)
                follower.wake()

    def wake_all(self) -> None:
        """With the lock: everyone looks again."""
        while self._followers:
            self._followers.pop().wake()

    def hand_on(self) -> None:
        """With the lock: one of those who wait reads from now on, if nobody does."""
        if self._followers and not self.reading and not self.barred:
            self._followers.pop(0).wake()
