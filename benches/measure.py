"""Measures rows of one system in this process and prints one JSON object: row -> figure.

    python measure.py SYSTEM ROW [ROW …]

Every row checks the results that it gets. `start` is always measured: from nothing to the first result.
"""

import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import adapters
import work

MIB = 1 << 20


def rate(run: Callable[[], Any], count: int) -> float:
    start = time.perf_counter()
    run()
    return count / (time.perf_counter() - start)


def submit_all(system: Any, count: int) -> float:
    """Tasks a second."""

    def run() -> None:
        futures = [system.submit(work.noop, x) for x in range(count)]
        assert [system.get(future) for future in futures] == list(range(count))

    return rate(run, count)


def submit_rate(system: Any) -> dict[str, float]:
    return {"submit_per_s": submit_all(system, 1_000 if system.slow else 10_000)}


def submit_big_rate(system: Any) -> dict[str, float]:
    return {"submit_big_per_s": submit_all(system, 1_000 if system.slow else 100_000)}


def map_all(system: Any, count: int) -> float:
    def run() -> None:
        assert system.map(work.noop, range(count)) == list(range(count))

    return rate(run, count)


def map_rate(system: Any) -> dict[str, float]:
    return {"map_per_s": map_all(system, 2_000 if system.slow else 100_000)}


def map_big_rate(system: Any) -> dict[str, float]:
    return {"map_big_per_s": map_all(system, 2_000 if system.slow else 1_000_000)}


def cpu(system: Any) -> dict[str, float]:
    """Seconds of CPU of all processes for 10,000 no-op tasks."""
    count = 1_000 if system.slow else 10_000
    before = cpu_seconds()
    submit_all(system, count)
    return {"cpu_s": (cpu_seconds() - before) * 10_000 / count}


def cpu_seconds() -> float:
    """Of this process and all below it that live."""
    pids = [os.getpid()]
    for pid in pids:  # which grows meanwhile
        for task in os.listdir(f"/proc/{pid}/task"):
            pids += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)  # as clock_getcpuclockid(3) makes the clock's id


def round_trip(system: Any) -> dict[str, float]:
    times = []
    for x in range(200 if system.slow else 2_000):
        start = time.perf_counter()
        assert system.get(system.submit(work.noop, x)) == x
        times.append((time.perf_counter() - start) * 1e6)
    cuts = statistics.quantiles(times, n=100)
    return {"p50_us": cuts[49], "p99_us": cuts[98]}


def echo_small(system: Any) -> dict[str, float]:
    payload = [os.urandom(MIB) for _ in range(64)]

    def run() -> None:
        futures = [system.submit(work.noop, data) for data in payload]
        assert all(system.get(future) == data for future, data in zip(futures, payload, strict=True))

    return {"echo_1mib_per_s": rate(run, 64)}


def echo_large(system: Any) -> dict[str, float]:
    payload = [os.urandom(64 * MIB) for _ in range(4)]

    def run() -> None:
        for data in payload:
            assert system.get(system.submit(work.noop, data)) == data

    return {"echo_64mib_s": 4 / rate(run, 4)}


def shared(system: Any) -> dict[str, float]:
    """One array of 64 MiB for a hundred tasks, and the memory of all processes beyond it, over its size."""
    import numpy

    array = numpy.frombuffer(os.urandom(64 * MIB), dtype=numpy.uint8)
    expected = [work.pages(array)] * 100
    for future in [system.submit(work.pages, array[: 1 << 16]) for _ in range(20)]:
        system.get(future)  # the workers import numpy
    before, most = proportional(), 0

    def run(look: bool = False) -> None:
        nonlocal most
        reference = system.put(array)
        futures = [system.submit(work.pages, reference) for _ in expected]
        got = []
        for future in futures:
            got.append(system.get(future))
            if look and len(got) % 20 == 0:
                most = max(most, proportional())
        assert got == expected

    tasks_per_s = rate(run, 100)
    run(look=True)
    return {"shared_per_s": tasks_per_s, "shared_memory": (most - before) / array.nbytes}


def proportional() -> int:
    """Bytes of this process and all below it, what they share counted once."""
    import psutil

    total = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            total += proportional_of(process.pid)
    return total


def proportional_of(pid: int, kinds: tuple[str, ...] = ("Pss:",)) -> int:
    """Bytes of one process, its share of what it shares. kinds: rows of its smaps_rollup."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith(kinds))


def efficiency(system: Any, seconds: list[float]) -> float:
    """The time that two workers would need with no overhead at all, over the time that it took."""
    bound = max(sum(seconds) / adapters.WORKERS, max(seconds))
    start = time.perf_counter()
    for future in [system.submit(work.spin, s) for s in seconds]:
        system.get(future)
    return bound / (time.perf_counter() - start)


def efficiency_of_map(system: Any, seconds: list[float]) -> float:
    start = time.perf_counter()
    system.map(work.spin, seconds)
    return sum(seconds) / adapters.WORKERS / (time.perf_counter() - start)


def spin_1ms(system: Any) -> dict[str, float]:
    return {"efficiency_1ms": efficiency(system, [0.001] * (500 if system.slow else 2_000))}


def spin_10ms(system: Any) -> dict[str, float]:
    return {"efficiency_10ms": efficiency(system, [0.01] * 300)}


def map_1ms(system: Any) -> dict[str, float]:
    return {"efficiency_map_1ms": efficiency_of_map(system, [0.001] * (500 if system.slow else 2_000))}


def map_10ms(system: Any) -> dict[str, float]:
    return {"efficiency_map_10ms": efficiency_of_map(system, [0.01] * 300)}


def tail(system: Any) -> dict[str, float]:
    return {"heavy_tail": efficiency(system, work.heavy_tail(500))}


def tail_last(system: Any) -> dict[str, float]:
    """The cruel case: nobody knows of the longest task before all others have begun."""
    return {"heavy_tail_last": efficiency(system, sorted(work.heavy_tail(500)))}


def memory(system: Any) -> dict[str, float]:
    """Bytes a queued task, client and scheduler together, workers not: both workers sleep meanwhile."""
    if not system.scheduler_is_told_apart:
        return {}
    count = 2_000 if system.slow else 50_000
    blockers = [system.submit(work.sleep, 1.0 if not system.slow else 4.0) for _ in range(adapters.WORKERS * 2)]
    before = resident()
    futures = [system.submit(work.noop, x) for x in range(count)]
    time.sleep(0.3)
    bytes_a_task = (resident() - before) / count
    for future in blockers + futures:
        system.get(future)
    return {"queued_bytes": bytes_a_task}


def resident() -> int:
    """Resident bytes of this process and all below it that do not run users' code."""
    import psutil

    me = psutil.Process()
    total = int(me.memory_info().rss)
    for process in me.children(recursive=True):
        try:
            command = " ".join(process.cmdline())
            if not any(word in command for word in ("executor", "Worker", "worker", "spawn_main", "ray::")):
                total += process.memory_info().rss
        except psutil.Error:
            continue
    return total


ROWS: dict[str, Callable[[Any], dict[str, float]]] = {
    "submit": submit_rate,
    "submit_big": submit_big_rate,
    "map": map_rate,
    "map_big": map_big_rate,
    "cpu": cpu,
    "round_trip": round_trip,
    "echo_small": echo_small,
    "echo_large": echo_large,
    "shared": shared,
    "spin_1ms": spin_1ms,
    "spin_10ms": spin_10ms,
    "map_1ms": map_1ms,
    "map_10ms": map_10ms,
    "tail": tail,
    "tail_last": tail_last,
    "memory": memory,
}


def main() -> None:
    name, *rows = sys.argv[1:]
    start = time.perf_counter()
    system = adapters.ADAPTERS[name]()
    assert system.get(system.submit(work.noop, 1)) == 1
    figures = {"start_s": time.perf_counter() - start}
    try:
        for future in [system.submit(work.noop, x) for x in range(50)]:
            system.get(future)
        for row in rows:
            figures |= ROWS[row](system)
    finally:
        system.close()
    print("\n" + json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
