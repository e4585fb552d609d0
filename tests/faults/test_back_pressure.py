"""A client that stops reading harms itself alone, and the scheduler's memory stays bounded."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scaler import Client

if TYPE_CHECKING:
    from conftest import Starter

MIB = 1 << 20
LIMIT = 64 * MIB
TASKS = 64_000  # of 10,000 bytes each: ten times the limit

FLOOD = """
import os, sys
from scaler import Client

data = os.urandom(10_000)
with Client(sys.argv[1]) as client:
    futures = []
    for i in range(int(sys.argv[2])):
        futures.append(client.submit(bytes, data))
        if i == 3_000:
            print("flowing", flush=True)
    print(sum(future.result() == data for future in futures), flush=True)
"""


def highest_memory(pid: int) -> int:
    """Bytes that the process had resident at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def test_a_client_that_stops_reading_slows_nobody_and_fills_no_memory(start: Starter) -> None:
    scheduler = start.scheduler(memory_limit=LIMIT, result_budget=8 * MIB)
    start.node(slots=2)
    empty = highest_memory(scheduler.pid)
    flood = subprocess.Popen(
        [sys.executable, "-c", FLOOD, start.path(), str(TASKS)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert flood.stdout is not None
    with flood:
        assert flood.stdout.readline() == "flowing\n"
        flood.send_signal(signal.SIGSTOP)
        try:
            with Client(start.path()) as client:
                assert client.map(abs, range(-100_000, 0)).results() == list(range(100_000, 0, -1))
                assert [client.submit(abs, -i).result(60) for i in range(200)] == list(range(200))
            assert highest_memory(scheduler.pid) - empty < LIMIT
        finally:
            flood.send_signal(signal.SIGCONT)
        assert flood.stdout.readline() == f"{TASKS}\n"
    assert flood.returncode == 0
    assert highest_memory(scheduler.pid) - empty < LIMIT + 32 * MIB
