"""One client stops reading its results: what that does to another client, and to the scheduler's memory.

    python benches/back_pressure.py [--rounds 5]

Each round measures an honest client alone, then beside a client that submits ten times the scheduler's memory limit
and stands still (SIGSTOP) in the middle of it, its results piling up at the scheduler. When it goes on it must get
every result. At last a client submits as much that no worker serves until the scheduler holds it back. Prints medians.
Exits 1 where a bar is missed (`--no-bars`: only report).
"""

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import work
from scaler import Client
from scaler.process import Part, path_for_parts, start_part

MIB = 1 << 20
LIMIT = 128 * MIB
RESULT_BUDGET = 8 * MIB
TASK_BYTES = 10_000
TASKS = 10 * LIMIT // TASK_BYTES
# When so many are submitted the client stands still: half of what the limit admits.
HALF = LIMIT // TASK_BYTES // 2
LEAST_RATIO = 0.8

FLOOD = f"""
import os, sys
import work
from scaler import Client

data = os.urandom({TASK_BYTES})
with Client(sys.argv[1]) as client:
    futures = []
    for i in range({TASKS}):
        futures.append(client.submit_verbose(work.noop, (data,), {{}}, capabilities={{sys.argv[2]: -1}}))
        if i == {HALF}:
            print("flowing", flush=True)
    print(sum(future.result() == data for future in futures), flush=True)
"""


def rates(client: Client) -> dict[str, float]:
    start = time.perf_counter()
    assert client.map(work.noop, range(200_000)).results() == list(range(200_000))
    mapped = time.perf_counter()
    assert all(client.submit(work.noop, x).result() == x for x in range(1_000))
    submitted = time.perf_counter()
    futures = [client.submit(work.noop, x) for x in range(20_000)]
    assert [future.result() for future in futures] == list(range(20_000))
    end = time.perf_counter()
    return {
        "map, elements/s": 200_000 / (mapped - start),
        "one after the other, tasks/s": 1_000 / (submitted - mapped),
        "submit, tasks/s": 20_000 / (end - submitted),
    }


def peak_memory(pid: int) -> int:
    """Bytes that the process had resident at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


@contextlib.contextmanager
def flood(address: str, capability: str) -> Iterator[subprocess.Popen[str]]:
    """A client in the middle of its submissions. Afterwards it must have all its results."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path_for_parts())}
    command = [sys.executable, "-c", FLOOD, address, capability]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "flowing\n"
            yield process
            assert process.stdout.readline() == f"{TASKS}\n", "every result, once"
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 0


def beside_one_that_stands_still(address: str, client: Client) -> dict[str, float]:
    with flood(address, "early") as process:
        process.send_signal(signal.SIGSTOP)
        rates(client)  # meanwhile its results come up to its budget, and its tasks are held back
        measured = rates(client)
        process.send_signal(signal.SIGCONT)
    return measured


def start_workers(address: str, capability: str) -> Part:
    node = {"slots": 2, "capabilities": {capability: -1}, "executor": {"path": path_for_parts()}}
    return start_part("scaler.node", {"scheduler": address, "node": node})


def run(rounds: int, scheduler: Part, address: str) -> bool:
    """Whether the bars hold."""
    empty = peak_memory(scheduler.pid)
    alone: list[dict[str, float]] = []
    beside: list[dict[str, float]] = []
    with Client(address) as client:
        rates(client)
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            alone.append(rates(client))
            beside.append(beside_one_that_stands_still(address, client))
    with flood(address, "late"):
        late = start_workers(address, "late")
    late.end()
    grown = peak_memory(scheduler.pid) - empty

    print("| the other client | alone | beside one that stands still | ratio | wanted |\n|---|---|---|---|---|")
    holds = grown <= LIMIT
    for row in alone[0]:
        before, after = (statistics.median(each[row] for each in measured) for measured in (alone, beside))
        holds = holds and after / before >= LEAST_RATIO
        print(f"| {row} | {before:,.0f} | {after:,.0f} | {after / before:.2f} | {LEAST_RATIO} |")
    print(
        f"\nMedians of {rounds} interleaved rounds. The scheduler took {grown / MIB:.0f} MiB at most beyond what it"
        f" starts with; its limit is {LIMIT // MIB} MiB, and {TASKS * TASK_BYTES // MIB} MiB were submitted"
        " a round."
    )
    return holds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-bars", action="store_true", help="exit 0 whatever was reached")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="scaler-") as folder:
        address = f"ipc://{folder}/scheduler.sock"
        limits = {"memory_limit": LIMIT, "result_budget": RESULT_BUDGET, "resync": 0.0}
        scheduler = start_part("scaler.scheduler", {"address": address, **limits})
        agent = start_workers(address, "early")
        try:
            holds = run(arguments.rounds, scheduler, address)
        finally:
            agent.end()
            scheduler.end()
    if not (holds or arguments.no_bars):
        sys.exit(1)


if __name__ == "__main__":
    main()
