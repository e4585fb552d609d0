"""Memory of an executor between chunks: collection at intervals, and giving pages back to the system."""

from __future__ import annotations

import gc
import os
from time import monotonic


class Housekeeping:
    def __init__(self, collect_interval: float, trim_threshold: int) -> None:
        """collect_interval: seconds between collections, 0 never. trim_threshold: resident bytes, 0 never."""
        self._interval = collect_interval
        self._threshold = trim_threshold
        self._next = monotonic() + collect_interval if collect_interval > 0 else float("inf")

    def after_chunk(self) -> None:
        if monotonic() < self._next:
            return
        gc.collect()
        if self._threshold and _resident_bytes() > self._threshold:
            _trim()
        self._next = monotonic() + self._interval


def _resident_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _trim() -> None:
    import ctypes

    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return  # another libc than GNU's
