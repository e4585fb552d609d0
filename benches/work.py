"""What the benches have workers do. Every system imports it, so that no function travels by value."""

import hashlib
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
