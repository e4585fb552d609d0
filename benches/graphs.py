"""Graphs of 20,000 nodes, beside dask's scheduler: a tree of sums and a stencil in two dimensions; two workers each.

    python benches/graphs.py [--rounds 3] [--nodes 20000]

dask lives in the environment of the side-by-side bench (made on first use). Rounds are interleaved, each in a process
of its own; the graph is built before the clock starts, and computed once before that, small, so that workers are up.
Prints medians in nodes/s and the ratio. Exits 1 where it is below 20 (`--no-bars`: only report).
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LEAST_RATIO = 20.0
WORKERS = 2

Graph = dict[Any, Any]


def add(a: float, b: float) -> float:
    return a + b


def leaf(index: float) -> float:
    return index


def mean(*values: float) -> float:
    return sum(values) / len(values)


def tree(nodes: int) -> tuple[Graph, Any]:
    """Half of the nodes are leaves; the rest add pairs."""
    level: list[Any] = [("leaf", i) for i in range((nodes + 1) // 2)]
    graph: Graph = {key: (leaf, 0.5 + i) for i, key in enumerate(level)}
    depth = 0
    while len(level) > 1:
        depth += 1
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        above = [("sum", depth, i) for i in range(len(pairs))]
        graph |= {
            key: (add, *pair) if len(pair) == 2 else (leaf, *pair) for key, pair in zip(above, pairs, strict=True)
        }
        level = above
    return graph, level[0]


def stencil(nodes: int) -> tuple[Graph, Any]:
    """Ten steps of a square grid: each cell the mean of itself and its neighbours."""
    side = max(2, int((nodes / 11) ** 0.5))
    graph: Graph = {("cell", 0, x, y): (leaf, 0.5 + x * y) for x in range(side) for y in range(side)}
    for step in range(1, 11):
        for x in range(side):
            for y in range(side):
                near = [(x, y), (x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)]
                inside = [(a, b) for a, b in near if 0 <= a < side and 0 <= b < side]
                graph["cell", step, x, y] = (mean, *[("cell", step - 1, a, b) for a, b in inside])
    graph["total"] = (mean, *[("cell", 10, x, y) for x in range(side) for y in range(side)])
    return graph, "total"


SHAPES: dict[str, Callable[[int], tuple[Graph, Any]]] = {"tree": tree, "stencil": stencil}


def scaler_get() -> tuple[Callable[[Graph, Any], Any], Callable[[], None]]:
    from scaler import Client, SchedulerClusterCombo

    cluster = SchedulerClusterCombo(n_workers=WORKERS)
    client = Client(cluster.get_address())

    def end() -> None:
        client.disconnect()
        cluster.shutdown()

    return lambda graph, key: client.get(graph, [key])[key], end


def dask_get() -> tuple[Callable[[Graph, Any], Any], Callable[[], None]]:
    from distributed import Client, LocalCluster

    cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None)
    client = Client(cluster)

    def end() -> None:
        client.close()
        cluster.close()

    return client.get, end


def measure(system: str, nodes: int) -> dict[str, float]:
    """Nodes a second, by shape."""
    get, end = {"scaler": scaler_get, "dask": dask_get}[system]()
    try:
        for shape in SHAPES.values():
            get(*shape(200))
        rates = {}
        for name, shape in SHAPES.items():
            graph, key = shape(nodes)
            start = time.perf_counter()
            value = get(graph, key)
            rates[name] = len(graph) / (time.perf_counter() - start)
            assert value > 0
        return rates
    finally:
        end()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=20_000)
    parser.add_argument("--no-bars", action="store_true")
    parser.add_argument("--measure", choices=["scaler", "dask"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.nodes)))
        return 0
    from side_by_side import rivals_python

    pythons = {"scaler": Path(sys.executable), "dask": rivals_python()}
    figures: dict[str, list[dict[str, float]]] = {system: [] for system in pythons}
    for _ in range(options.rounds):
        for system, python in pythons.items():
            command = [python, __file__, "--measure", system, "--nodes", str(options.nodes)]
            run = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
            if run.returncode:
                print(run.stderr, file=sys.stderr)
                return 1
            figures[system].append(json.loads(run.stdout.splitlines()[-1]))
    worst = float("inf")
    for name in SHAPES:
        ours, theirs = (statistics.median(round[name] for round in figures[system]) for system in ("scaler", "dask"))
        worst = min(worst, ours / theirs)
        print(f"{name}: {ours:,.0f} nodes/s, dask {theirs:,.0f}: {ours / theirs:.1f} x (at least {LEAST_RATIO:.0f})")
    return 0 if options.no_bars or worst >= LEAST_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
