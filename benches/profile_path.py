"""Where the time of small tasks goes: the CPU time that each hop takes a task, by the clocks of its threads.

    python benches/profile_path.py [--rounds 5] [--loads submit,map,…] [--tcp] [--against FOLDER] [--limits]

Hops are threads: the caller, the client's other threads, those of the cluster in the order in which they started (the
loop of scheduler and agent, the bridge of remote peers, storage), libzmq's own, the executors. Columns are microseconds
of CPU a task, the median of the rounds, and how often a thread was scheduled a task (`wakes`): on a machine with few
cores a wake-up is what a single task costs.
--tcp: the same over loopback tcp with CURVE. --against: a folder with another version of the package `scaler` (as
built, with its core), measured in turn with this one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import work

HERE = Path(__file__).parent
LOADS = ("submit", "map", "round_trip", "spin_1ms", "spin_10ms")
COUNTS = {"submit": 20_000, "map": 1_000_000, "round_trip": 2_000, "spin_1ms": 2_000, "spin_10ms": 300}

# hop -> (seconds of CPU, times scheduled)
Clocks = dict[str, tuple[float, int]]


def processes() -> list[int]:
    """This process and all below it."""
    pids = [os.getpid()]
    for pid in pids:  # which grows meanwhile
        for task in os.listdir(f"/proc/{pid}/task"):
            pids += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return pids


def hop_of(pid: int, tid: int, command: str) -> str:
    if pid == os.getpid():
        if tid == threading.get_native_id():
            return "caller"
        return "client: libzmq" if is_libzmqs(pid, tid) else "client's threads"
    if "scaler.node.executor" in command:
        return "executors" if tid == pid else "executors' flusher"
    return "cluster: libzmq" if is_libzmqs(pid, tid) else f"cluster, thread {order_of(pid, tid)}"


def is_libzmqs(pid: int, tid: int) -> bool:
    return Path(f"/proc/{pid}/task/{tid}/comm").read_text().startswith("ZMQ")


def order_of(pid: int, tid: int) -> int:
    """Which of the threads of Python it is, in the order in which they started."""
    threads = sorted(map(int, os.listdir(f"/proc/{pid}/task")))
    return [thread for thread in threads if not is_libzmqs(pid, thread)].index(tid)


def read_clocks() -> Clocks:
    clocks: Clocks = {}
    for pid in processes():
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        for tid in map(int, os.listdir(f"/proc/{pid}/task")):
            ran, _, times = Path(f"/proc/{pid}/task/{tid}/schedstat").read_text().split()
            hop = hop_of(pid, tid, command)
            seconds, wakes = clocks.get(hop, (0.0, 0))
            clocks[hop] = (seconds + int(ran) / 1e9, wakes + int(times))
    return clocks


def loads(client: Any) -> dict[str, Callable[[int], None]]:
    def submit(count: int) -> None:
        futures = [client.submit(work.noop, x) for x in range(count)]
        assert [future.result() for future in futures] == list(range(count))

    def map_(count: int) -> None:
        assert client.map(work.noop, range(count)).results() == list(range(count))

    def round_trip(count: int) -> None:
        for x in range(count):
            assert client.submit(work.noop, x).result() == x

    def spin(seconds: float) -> Callable[[int], None]:
        return lambda count: [future.result() for future in [client.submit(work.spin, seconds) for _ in range(count)]]

    return {"submit": submit, "map": map_, "round_trip": round_trip, "spin_1ms": spin(1e-3), "spin_10ms": spin(1e-2)}


def measure(names: list[str], tcp: bool) -> dict[str, dict[str, Any]]:
    """load -> {"hops": {hop: (µs a task, wakes a task)}, "seconds": …}, once, in this process."""
    import adapters

    system = (adapters.ScalerTcp if tcp else adapters.Scaler)()
    figures: dict[str, dict[str, Any]] = {}
    try:
        for name, run in loads(system.client).items():
            if name not in names:
                continue
            run(200)
            count = COUNTS[name]
            before, start = read_clocks(), time.perf_counter()
            run(count)
            seconds, after = time.perf_counter() - start, read_clocks()
            hops = {
                hop: ((ran - before.get(hop, (0.0, 0))[0]) / count * 1e6, (times - before.get(hop, (0, 0))[1]) / count)
                for hop, (ran, times) in after.items()
            }
            figures[name] = {"hops": hops, "seconds": seconds, "count": count}
    finally:
        system.close()
    return figures


def one_round(folder: str, names: list[str], tcp: bool) -> dict[str, dict[str, Any]]:
    """folder: where the package is; empty for the one of this interpreter."""
    command = [sys.executable, __file__, "--one-round", "--loads", ",".join(names), *(["--tcp"] if tcp else [])]
    environment = {**os.environ, "PYTHONPATH": folder} if folder else None
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=600, check=True, env=environment)
    return dict(json.loads(run.stdout.strip().splitlines()[-1]))


def report(rounds: list[dict[str, dict[str, Any]]], names: list[str]) -> None:
    for name in names:
        hops = sorted({hop for one in rounds for hop in one[name]["hops"]})
        rows = []
        for hop in hops:
            pairs = [one[name]["hops"].get(hop, (0.0, 0.0)) for one in rounds]
            rows.append((hop, statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)))
        total = statistics.median(sum(us for us, _ in one[name]["hops"].values()) for one in rounds)
        elapsed = statistics.median(one[name]["seconds"] / one[name]["count"] * 1e6 for one in rounds)
        print(f"\n{name} x{rounds[0][name]['count']:,}: {elapsed:.3f} µs a task by the wall, {total:.3f} µs of CPU")
        for hop, us, wakes in sorted(rows, key=lambda row: -row[1]):
            if us >= 0.001 * total:
                print(f"    {hop:28} {us:10.3f} µs {100 * us / total:5.1f} % {wakes:9.4f} wakes")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loads", default=",".join(LOADS), help="some of " + ",".join(LOADS))
    parser.add_argument("--tcp", action="store_true", help="over loopback tcp with CURVE")
    parser.add_argument("--limits", action="store_true", help="also what the machine can do at best")
    parser.add_argument("--against", action="append", default=[], help="a folder with another version")
    parser.add_argument("--one-round", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = [name for name in LOADS if name in arguments.loads.split(",")]
    if arguments.one_round:
        print("\n" + json.dumps(measure(names, arguments.tcp)))
        return
    rounds: dict[str, list[dict[str, dict[str, Any]]]] = {folder: [] for folder in ["", *arguments.against]}
    for _ in range(arguments.rounds):
        for folder, its in rounds.items():
            its.append(one_round(folder, names, arguments.tcp))
    for folder, its in rounds.items():
        if len(rounds) > 1:
            print(f"\n== {folder or 'this one'}")
        report(its, names)
    if arguments.limits:
        import limits

        print("\nlimits of this machine")
        for what, value in limits.measure().items():
            print(f"    {what}: {value}")


if __name__ == "__main__":
    main()
