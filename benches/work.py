"""What the benches have workers do. Every system imports it, so that no function travels by value."""

import hashlib
import os
import random
import time
from typing import Any


def noop(x: object) -> object:
    return x


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def noise(seed: int, length: int) -> bytes:
    """The same each time."""
    return random.Random(seed).randbytes(length)


def pages(array: Any) -> int:
    """Something of each page of an array of bytes."""
    return int(array[::4096].sum())


def hash_of(data: bytes) -> bytes:
    return hashlib.blake2b(data).digest()


def heavy_tail(count: int, seed: int = 3) -> list[float]:
    """Durations in seconds: Pareto with shape 1.5 from 2 ms up, at most 1 s each, in random order."""
    rng = random.Random(seed)
    return [min(1.0, 0.002 * rng.paretovariate(1.5)) for _ in range(count)]


# How many times as long tasks take on this worker: set for some nodes, as if they were slower machines.
SLOWNESS = float(os.environ.get("BENCH_SLOWNESS", "1"))


def timed_sleep(seconds: float) -> tuple[float, float, int, float]:
    """When it began and ended by the clock that all processes share, where, and how slow that is."""
    began = time.monotonic()
    time.sleep(seconds * SLOWNESS)
    return began, time.monotonic(), os.getpid(), SLOWNESS


def timed_spin(seconds: float) -> tuple[float, float, int, float]:
    """The same, with a core to itself."""
    began = time.monotonic()
    spin(seconds * SLOWNESS)
    return began, time.monotonic(), os.getpid(), SLOWNESS


def whereabouts(seconds: float) -> int:
    """The process that it ran in."""
    time.sleep(seconds)
    return os.getpid()
