"""What one scheduler can carry: a real scheduler process, driven over real sockets by nodes and clients without number.

    python benches/scale.py [--rows headline,nodes,queue,three] [--rounds 5] [--small]

`core_rs/loops/examples/load` holds a socket for each node and client and speaks the protocol; its nodes answer at once.
Prints Markdown tables, medians with the least and the most of all rounds:

- *headline*: 1,000 nodes of 32 slots, 100 clients, 1,000,000 tasks, as single submissions, in blocks, as maps;
- *nodes*, *queue*: what a task costs the scheduler by nodes (10, 100, 1,000) and by tasks that wait (10^3 to 10^6);
- *three*: decisions of the core with no worker, no-op tasks end to end with 1 and with 4 clients, enqueues.

CPU is the scheduler's own, of all its threads; tasks a second of CPU is what it would do with a core to itself. Of a
message's time in the scheduler, `waits` is by the clock, from a question to its answer less the same of an idle one,
and `works` is the CPU that the scheduler spent meanwhile: on a machine that others use only that says something.
`--small` is for trying whether all this works; it holds no figures. Exits 1 where a cost is not flat within 1.5.
"""

import argparse
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scaler.process import Part, path_for_parts, start_part

HERE = Path(__file__).parent
FLAT_WITHIN = 1.5
ROWS = ["headline", "nodes", "queue", "three"]
# Tasks of a submission, and of a block in it.
SHAPES = {"submit, one by one": (1, 1), "submit, gathered": (64, 64), "map": (8_192, 1_024)}
Figures = dict[str, float]


def build(example: str) -> Path:
    command = f"cargo build --quiet --release --locked -p scaler-loops --example {example} --message-format=json"
    run = subprocess.run(command.split(), cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=True)
    built = [json.loads(line) for line in run.stdout.splitlines()]
    return Path(next(one["executable"] for one in built if one.get("executable")))


@contextlib.contextmanager
def scheduler() -> Iterator[tuple[Part, str]]:
    """One of its own, without keys or workers, and the path of its socket."""
    with tempfile.TemporaryDirectory(prefix="scaler-") as folder:
        path = f"{folder}/scheduler.sock"
        part = start_part("scaler.scheduler", {"address": f"ipc://{path}", "resync": 0.0})
        try:
            yield part, path
        finally:
            part.end()


def load(program: Path, **options: int) -> Figures:
    """What the load found of a new scheduler. Raises CalledProcessError where a task had no outcome, or two."""
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    with scheduler() as (part, path):
        run = subprocess.run([program, path, str(part.pid), *words], stdout=subprocess.PIPE, text=True, check=True)
    told: Figures = json.loads(run.stdout)
    if "tasks" in told:
        told["tasks_per_s"] = told["tasks"] / told["run_s"]
        told["cpu_us"] = told["cpu_s"] / told["tasks"] * 1e6
        told["tasks_per_cpu_s"] = told["tasks"] / told["cpu_s"]
        told["tasks_per_frame"] = told["tasks"] / told["frames_to_scheduler"]
        told["waits_p50_us"] = max(told["p50_us"] - told["idle_p50_us"], 0)
        told["waits_p99_us"] = max(told["p99_us"] - told["idle_p50_us"], 0)
        told["most_mib"] = max(told["joined_bytes"], told["held_bytes"], told["filled_bytes"]) / (1 << 20)
    return told


class Rounds:
    """Figures of several rounds of one thing."""

    def __init__(self) -> None:
        self._all: list[Figures] = []

    def add(self, figures: Figures) -> None:
        self._all.append(figures)

    def median(self, name: str) -> float:
        return statistics.median(one[name] for one in self._all)

    def shown(self, name: str, digits: int = 0) -> str:
        """The median, and from where to where."""
        every = [one[name] for one in self._all]
        least, middle, most = (f"{value:,.{digits}f}" for value in (min(every), self.median(name), max(every)))
        return f"{middle} ({least} to {most})"


def interleaved(program: Path, cases: dict[Any, dict[str, int]], rounds: int) -> dict[Any, Rounds]:
    measured = {case: Rounds() for case in cases}
    for number in range(rounds):
        for case, options in cases.items():
            print(f"round {number + 1} of {rounds}: {case}", file=sys.stderr)
            measured[case].add(load(program, **options))
    return measured


COLUMNS = {
    "tasks/s": ("tasks_per_s", 0),
    "tasks per CPU second": ("tasks_per_cpu_s", 0),
    "CPU a task, µs": ("cpu_us", 2),
    "tasks a frame": ("tasks_per_frame", 0),
    "waits p50, µs": ("waits_p50_us", 0),
    "waits p99, µs": ("waits_p99_us", 0),
    "works p50, µs": ("works_p50_us", 0),
    "works p99, µs": ("works_p99_us", 0),
    "memory at most, MiB": ("most_mib", 0),
}


def table(first: str, measured: dict[Any, Rounds]) -> None:
    print(f"\n| {first} | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for case, rounds in measured.items():
        cells = [rounds.shown(name, digits) for name, digits in COLUMNS.values()]
        name = f"{case:,}" if isinstance(case, int) else case
        print(f"| {name} | {' | '.join(cells)} |")


def flat(what: str, measured: dict[Any, Rounds]) -> bool:
    costs = [rounds.median("cpu_us") for rounds in measured.values()]
    ratio = max(costs) / min(costs)
    print(f"\nCPU a task by {what}: within {ratio:.2f} x, wanted {FLAT_WITHIN}")
    return ratio <= FLAT_WITHIN


def headline(program: Path, rounds: int, small: bool) -> bool:
    size = {"nodes": 20, "slots": 4, "clients": 2, "tasks": 5_000, "queue": 1_000}
    if not small:
        size = {"nodes": 1_000, "slots": 32, "clients": 100, "tasks": 1_000_000, "queue": 200_000}
    cases = {
        name: {**size, "array": array, "block": block, "busy_us": 10_000} for name, (array, block) in SHAPES.items()
    }
    # At a tenth of what it can, one answer a frame.
    if not small:
        name = "submit, one by one, 30,000/s"
        cases[name] = {**size, "tasks": 200_000, "array": 1, "block": 1, "busy_us": 10_000, "rate": 30_000}
    measured = interleaved(program, cases, rounds)
    print(f"\n{size['nodes']:,} nodes of {size['slots']} slots, {size['clients']} clients, {size['tasks']:,} tasks")
    table("tasks", measured)
    return True


def nodes(program: Path, rounds: int, small: bool) -> bool:
    """The same tasks wait whatever the number of nodes: 16 and more for each slot."""
    several, tasks, queue = ([2, 20], 5_000, 2_000) if small else ([10, 100, 1_000], 500_000, 1_000_000)
    cases = {
        count: {"nodes": count, "slots": 32, "clients": 10, "tasks": tasks, "queue": queue, "array": 1, "block": 1}
        for count in several
    }
    measured = interleaved(program, {key: {**case, "busy_us": 10_000} for key, case in cases.items()}, rounds)
    table("nodes of 32 slots", measured)
    return flat("nodes", measured) or small


def queue(program: Path, rounds: int, small: bool) -> bool:
    several = [500, 1_000] if small else [1_000, 10_000, 100_000, 1_000_000]
    size = {"nodes": 10, "slots": 16, "clients": 10, "tasks": 5_000 if small else 300_000, "busy_us": 10_000}
    cases = {waiting: {**size, "queue": waiting, "array": 1, "block": 1} for waiting in several}
    measured = interleaved(program, cases, rounds)
    table("tasks that wait", measured)
    return flat("tasks that wait", measured) or small


def decisions(program: Path, count: int, array: int) -> Figures:
    """Tasks accepted, assigned, done and told by the core alone, in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run([program, str(count), str(array)], stdout=subprocess.PIPE, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"per_s": count / float(run.stdout), "per_cpu_s": count / cpu}


def end_to_end(clients: int, count: int) -> Figures:
    """No-op tasks a second, of so many clients in processes of their own, on two workers."""
    with tempfile.TemporaryDirectory(prefix="scaler-") as folder:
        address = f"ipc://{folder}/scheduler.sock"
        part = start_part("scaler.scheduler", {"address": address, "resync": 0.0})
        settings = {"slots": 2, "executor": {"path": path_for_parts()}}
        node = start_part("scaler.node", {"scheduler": address, "node": settings})
        running: list[subprocess.Popen[str]] = []
        try:
            command = [sys.executable, HERE / "scale_client.py", address, str(count // clients)]
            running += [
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                for _ in range(clients)
            ]
            for one in running:
                assert one.stdout is not None
                assert one.stdout.readline() == "ready\n"
            for one in running:
                assert one.stdin is not None
                one.stdin.close()
            stretches = [json.loads(one.stdout.read()) for one in running if one.stdout is not None]
            assert all(one.wait() == 0 for one in running)
        finally:
            for one in running:
                one.kill()
                one.wait()
            node.end()
            part.end()
    # All clocks are the machine's.
    seconds = max(end for _, end in stretches) - min(start for start, _ in stretches)
    return {"per_s": count // clients * clients / seconds}


def enqueues(program: Path, count: int) -> Figures:
    """Single tasks accepted from four clients while there is no worker, and the scheduler's memory a task."""
    told = load(program, nodes=0, clients=4, queue=count, array=1, block=1)
    return {
        "per_s": count / told["enqueue_s"],
        "per_cpu_s": count / told["enqueue_cpu_s"],
        "bytes": (told["filled_bytes"] - told["empty_bytes"]) / count,
    }


def three(program: Path, rounds: int, small: bool) -> bool:
    core = build("decisions")
    count = 10_000 if small else 1_000_000
    tasks = 2_000 if small else 100_000
    figures = {name: Rounds() for name in ("single", "array", "one", "four", "enqueues")}
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}: the three figures", file=sys.stderr)
        figures["single"].add(decisions(core, count, 1))
        figures["array"].add(decisions(core, count, 256))
        figures["one"].add(end_to_end(1, tasks))
        figures["four"].add(end_to_end(4, tasks))
        figures["enqueues"].add(enqueues(program, count))
    print("\n| | a second | per CPU second |\n|---|---|---|")
    queued = figures["enqueues"]
    for name, told in (("single tasks", figures["single"]), ("256 in an array", figures["array"])):
        print(f"| decisions of the core, {name} | {told.shown('per_s')} | {told.shown('per_cpu_s')} |")
    print(f"| no-op tasks end to end, 1 client | {figures['one'].shown('per_s')} | |")
    print(f"| no-op tasks end to end, 4 clients | {figures['four'].shown('per_s')} | |")
    print(f"| enqueues, no worker | {queued.shown('per_s')} | {queued.shown('per_cpu_s')} |")
    print(f"\nA task that waits takes {queued.shown('bytes')} bytes of the scheduler, its arguments included.")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS), help="of " + ", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="a load that shows that it works, and no figures")
    arguments = parser.parse_args()
    chosen = arguments.rows.split(",")
    if unknown := set(chosen) - set(ROWS):
        parser.error(f"no rows: {', '.join(sorted(unknown))}")
    program = build("load")
    run = {"headline": headline, "nodes": nodes, "queue": queue, "three": three}
    failed = [row for row in chosen if not run[row](program, arguments.rounds, arguments.small)]
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
