"""A client that stops reading harms itself alone, and the scheduler's memory stays bounded."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scaler import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Starter

MIB = 1 << 20
LIMIT = 128 * MIB
TASKS = 10 * LIMIT // 60_000  # of 60,000 bytes each: ten times the limit
# Half of what the limit admits, and all of what the scheduler takes while it runs none of it.
HALF = LIMIT // 60_000 // 2

FLOOD = """
import os, sys
from scaler import Client

path, count, flowing, capability = sys.argv[1:]
data = os.urandom(60_000)
with Client(path) as client:
    futures = []
    for i in range(int(count)):
        futures.append(client.submit_verbose(bytes, (data,), {}, capabilities={capability: -1}))
        if i == int(flowing):
            print("flowing", flush=True)
    print(sum(future.result() == data for future in futures), flush=True)
"""


def highest_memory(pid: int) -> int:
    """Bytes that the process had resident at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


@contextlib.contextmanager
def flood(address: str, capability: str) -> Iterator[subprocess.Popen[str]]:
    """A client in the middle of submitting ten times the limit. Afterwards it must have all its results."""
    process = subprocess.Popen(
        [sys.executable, "-c", FLOOD, address, str(TASKS), str(HALF), capability], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "flowing\n"
            yield process
            assert process.stdout.readline() == f"{TASKS}\n"
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 0


def test_a_client_that_stops_reading_slows_nobody_and_fills_no_memory(start: Starter) -> None:
    scheduler = start.scheduler(memory_limit=LIMIT, result_budget=8 * MIB)
    start.node(slots=2, capabilities={"gpu": -1})
    empty = highest_memory(scheduler.pid)
    with flood(start.path(), "gpu") as process:
        process.send_signal(signal.SIGSTOP)
        with Client(start.path()) as client:
            assert client.map(abs, range(-100_000, 0)).results() == list(range(100_000, 0, -1))
            assert [client.submit(abs, -i).result(60) for i in range(200)] == list(range(200))
        process.send_signal(signal.SIGCONT)
    assert highest_memory(scheduler.pid) - empty < LIMIT


def test_tasks_that_nobody_runs_yet_are_accepted_up_to_the_limit(start: Starter) -> None:
    scheduler = start.scheduler(memory_limit=LIMIT)
    empty = highest_memory(scheduler.pid)
    with flood(start.path(), "gpu"):
        start.node(slots=2, capabilities={"gpu": -1})
    assert highest_memory(scheduler.pid) - empty < LIMIT
