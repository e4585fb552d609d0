"""Calling an infrastructure as often as it likes, and no more."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


class Pace:
    """At most `per_second` calls a second on average, and `burst` at once. For all threads of a context together."""

    def __init__(
        self,
        per_second: float,
        burst: int = 1,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if per_second <= 0 or burst < 1:
            raise ValueError(f"a pace is above 0 a second, with a burst of at least 1, not {per_second} and {burst}")
        self._between = 1.0 / per_second
        self._ahead = (burst - 1) * self._between
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        # When the next call may be, had all been at their regular times.
        self._next = clock() - self._ahead

    def wait(self) -> None:
        """Returns when a call may be made. Threads go in the order in which they came."""
        with self._lock:
            now = self._clock()
            mine = max(self._next, now - self._ahead)
            self._next = mine + self._between
        if mine > now:
            self._sleep(mine - now)


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items in lists of `size`, the last one shorter; none of nothing."""
    if size < 1:
        raise ValueError(f"a batch has at least 1 item, not {size}")
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
