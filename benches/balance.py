"""How well work is spread over slots: what nobody can beat, over what it took.

    python benches/balance.py [--rounds 5] [--nodes 2] [--slots 4] [--spin] [--cases WORDS] [--json FILE] [--bars]

A scheduler and nodes of their own processes; tasks sleep, so that a machine's few cores do not decide, and say when
they began and ended. `bound` is `max(total / slots, longest)`; `list` what slots need that take the next task, by
priority and in the order of submission, at the very moment at which they are free: the best that there is for who does
not know how long tasks take. Both are of the times that tasks really took: what a sleep oversleeps is nobody's balance.
A node that comes late counts from its first task on (`late`: from when it is there until it has that), a slow one as
the slots that it is worth. `inversions`: of pairs of tasks of different priority, those whose lesser one began first.
`idle`: what slots waited at the beginning, between two tasks, and at the end, in thousandths.
--spin: one node of two slots whose tasks keep a core busy, and bound and list of the times that they were to take: for
a machine that has nothing else to do, with two cores for them. --bars: exit 1 where a bar is missed.
"""

import argparse
import contextlib
import heapq
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import work
from scaler import Client
from scaler.process import Part, path_for_parts, start_part

# (began, ended, process, slowness), times since the submission.
Run = tuple[float, float, int, float]


@dataclass(frozen=True)
class Case:
    name: str
    # Seconds of each task, by slots.
    durations: Callable[[int], list[float]]
    map: bool
    priorities: bool = False
    # The last node comes in the middle, or is half as fast.
    late: bool = False
    slow: bool = False
    # Bound over makespan, and list over makespan, where these are wanted.
    bar: float | None = None


@dataclass
class Figures:
    bound: list[float] = field(default_factory=list)
    listed: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    inversions: list[float] = field(default_factory=list)
    idle: list[tuple[float, float, float]] = field(default_factory=list)
    late_by: list[float] = field(default_factory=list)


def uniform(seconds: float, lasts: float) -> Callable[[int], list[float]]:
    return lambda slots: [seconds] * int(slots * lasts / seconds)


def pareto(slots: int) -> list[float]:
    return work.heavy_tail(300 * slots)


def one_of_hundred(slots: int) -> list[float]:
    rng = random.Random(1)
    return [0.2 if rng.random() < 0.01 else 0.002 for _ in range(500 * slots)]


def longest_last(slots: int) -> list[float]:
    """The longest, a tenth of what each slot has to do, is submitted after all others."""
    times = [min(0.15, seconds) for seconds in work.heavy_tail(300 * slots)]
    return [*times, 0.1 * sum(times) / slots]


def mixed(slots: int) -> list[float]:
    rng = random.Random(2)
    return [rng.uniform(0.001, 0.009) for _ in range(300 * slots)]


def liars(slots: int) -> list[float]:
    """Short for a long time, then long: what was measured tells nothing."""
    return [0.0005] * (1_000 * slots) + [0.1] * (8 * slots)


def both(name: str, durations: Callable[[int], list[float]], bar: float | None = None, **more: bool) -> list[Case]:
    return [Case(f"{name}, {how}", durations, how == "map", bar=bar, **more) for how in ("submit", "map")]


CASES = [
    *both("1 ms", uniform(0.001, 1.5), 0.95),
    *both("10 ms", uniform(0.01, 1.5), 0.99),
    *both("Pareto", pareto, 0.97),
    *both("1 % x 100", one_of_hundred, 0.97),
    *both("longest last", longest_last, 0.97),
    *both("priorities", mixed, 0.97, priorities=True),
    *both("late node", uniform(0.005, 1.5), 0.97, late=True),
    *both("slow node", uniform(0.005, 1.5), 0.97, slow=True),
    *both("liars", liars, 0.97),
]


@contextlib.contextmanager
def cluster(address: str, nodes: int, slots: int, case: Case) -> Iterator[Callable[[], None]]:
    """Gives what starts the node that comes late, if there is one."""
    parts: list[Part] = []

    def start(slowness: float) -> None:
        os.environ["BENCH_SLOWNESS"] = str(slowness)  # executors inherit it
        node = {"slots": slots, "executor": {"path": path_for_parts()}}
        parts.append(start_part("scaler.node", {"scheduler": address, "node": node}))

    parts.append(start_part("scaler.scheduler", {"address": address, "resync": 0.0}))
    try:
        for number in range(nodes):
            last = number == nodes - 1
            if not (last and case.late):
                start(2.0 if last and case.slow else 1.0)
        yield lambda: start(1.0)
    finally:
        for part in reversed(parts):
            part.end()


def warm_up(address: str, slots: int) -> None:
    """All slots have run something, which was not the function that is measured."""
    with Client(address) as client:
        seen: set[int] = set()
        while len(seen) < slots:
            seen |= set(client.map(work.whereabouts, [0.01] * slots * 4).results())


def submit(client: Client, case: Case, function: Any, durations: list[float]) -> tuple[list[int], Callable[[], Any]]:
    """Priorities of the tasks, and what waits for their results."""
    rng = random.Random(3)
    if not case.priorities:
        if case.map:
            return [0] * len(durations), client.map(function, durations).results
        futures = [client.submit(function, seconds) for seconds in durations]
        return [0] * len(durations), lambda: [future.result() for future in futures]
    priorities: list[int] = []
    waits: list[Callable[[], Any]] = []
    per_call = 100 if case.map else 1
    for at in range(0, len(durations), per_call):
        some, priority = durations[at : at + per_call], rng.randrange(3)
        priorities += [priority] * len(some)
        if case.map:
            waits.append(client.map(function, some, priority=priority).results)
        else:
            future: Future[Any] = client.submit_verbose(function, (some[0],), {}, priority=priority)
            waits.append(lambda future=future: [future.result()])
    return priorities, lambda: [run for wait in waits for run in wait()]


def one_round(case: Case, nodes: int, slots: int, spin: bool, figures: Figures) -> None:
    function = work.timed_spin if spin else work.timed_sleep
    durations = case.durations(nodes * slots)
    with tempfile.TemporaryDirectory(prefix="scaler-") as folder:
        address = f"ipc://{folder}/scheduler.sock"
        with cluster(address, nodes, slots, case) as start_late:
            warm_up(address, (nodes - case.late) * slots)
            with Client(address) as client:
                start = time.monotonic()
                priorities, wait = submit(client, case, function, durations)
                joined = 0.0
                if case.late:
                    start_late()
                    joined = time.monotonic() - start
                results: list[Run] = wait()
                makespan = time.monotonic() - start
    runs = [(began - start, ended - start, pid, slowness) for began, ended, pid, slowness in results]
    costs = durations if spin else [(ended - began) / slowness for began, ended, _, slowness in runs]
    there = slots_of(runs)
    if case.late:
        late = sorted(there, key=lambda slot: slot[0])[-slots:]
        figures.late_by.append(min(began for began, _ in late) - joined)
    there = [(began if case.late and began >= joined else 0.0, slowness) for began, slowness in there]
    figures.seconds.append(makespan)
    figures.bound.append(bound(there, costs) / makespan)
    figures.listed.append(list_of(there, costs, priorities) / makespan)
    figures.inversions.append(inversions(runs, priorities))
    figures.idle.append(idle(runs, makespan))


def slots_of(runs: list[Run]) -> list[tuple[float, float]]:
    """(its first task's beginning, slowness) of each slot."""
    first: dict[int, tuple[float, float]] = {}
    for began, _, pid, slowness in runs:
        first[pid] = min(first.get(pid, (began, slowness)), (began, slowness))
    return list(first.values())


def bound(slots: list[tuple[float, float]], costs: list[float]) -> float:
    """slots: since when each is there, and how slow it is."""
    left, rate, now = sum(costs), 0.0, 0.0
    for at, slowness in sorted(slots):
        if rate * (at - now) >= left:
            break
        left, rate, now = left - rate * (at - now), rate + 1 / slowness, at
    return max(now + left / rate, max(costs))


def list_of(slots: list[tuple[float, float]], costs: list[float], priorities: list[int]) -> float:
    free = list(slots)
    heapq.heapify(free)
    last = 0.0
    for index in sorted(range(len(costs)), key=lambda index: -priorities[index]):
        at, slowness = free[0]
        end = at + costs[index] * slowness
        heapq.heapreplace(free, (end, slowness))
        last = max(last, end)
    return last


def inversions(runs: list[Run], priorities: list[int]) -> float:
    so_far = dict.fromkeys(sorted(set(priorities)), 0)
    wrong = pairs = 0
    for _, priority in sorted((run[0], priority) for run, priority in zip(runs, priorities, strict=True)):
        wrong += sum(count for other, count in so_far.items() if other < priority)
        pairs += sum(count for other, count in so_far.items() if other != priority)
        so_far[priority] += 1
    return wrong / max(1, pairs)


def idle(runs: list[Run], makespan: float) -> tuple[float, float, float]:
    """Before the first task of a slot, between two, after the last: shares of the time of all slots."""
    by_slot: dict[int, list[Run]] = {}
    for run in sorted(runs):
        by_slot.setdefault(run[2], []).append(run)
    whole = makespan * len(by_slot)
    start = sum(its[0][0] for its in by_slot.values())
    end = sum(makespan - its[-1][1] for its in by_slot.values())
    busy = sum(ended - began for began, ended, *_ in runs)
    return start / whole, (whole - start - end - busy) / whole, end / whole


def report(all_figures: dict[str, Figures], rounds: int) -> str:
    lines = [
        "| | makespan ms | bound / makespan | list / makespan | inversions | idle ‰: start, between, end | late ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, its in all_figures.items():
        spread = f"{statistics.median(its.bound):.3f} ({min(its.bound):.3f} to {max(its.bound):.3f})"
        lists = f"{statistics.median(its.listed):.3f} ({min(its.listed):.3f} to {max(its.listed):.3f})"
        waits = ", ".join(f"{1e3 * statistics.median(column):.0f}" for column in zip(*its.idle, strict=True))
        late = f"{1e3 * statistics.median(its.late_by):.0f}" if its.late_by else ""
        lines.append(
            f"| {name} | {1e3 * statistics.median(its.seconds):,.0f} | {spread} | {lists}"
            f" | {statistics.median(its.inversions):.3f} | {waits} | {late} |"
        )
    return "\n".join([*lines, "", f"Medians of {rounds} rounds, and their spread."])


def missed(cases: list[Case], all_figures: dict[str, Figures]) -> list[str]:
    """Bars are of the bound, or of the list where nobody without foresight can reach the bound."""
    found = []
    for case in cases:
        its = all_figures[case.name]
        reached = max(statistics.median(its.bound), statistics.median(its.listed))
        if case.bar is not None and reached < case.bar:
            found.append(f"{case.name}: {reached:.3f}, wanted {case.bar}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--slots", type=int, default=4, help="of each node")
    parser.add_argument("--spin", action="store_true", help="one node of two slots, tasks that keep a core busy")
    parser.add_argument("--cases", default="", help="words of the cases' names, separated by commas; default: all")
    parser.add_argument("--json", type=Path, help="where the figures of all rounds go")
    parser.add_argument("--bars", action="store_true", help="exit 1 where a bar is missed")
    arguments = parser.parse_args()
    nodes, slots = (1, 2) if arguments.spin else (arguments.nodes, arguments.slots)
    words = arguments.cases.split(",")
    cases = [
        case
        for case in CASES
        if any(word in case.name for word in words) and not (nodes == 1 and (case.late or case.slow))
    ]
    figures = {case.name: Figures() for case in cases}
    for number in range(arguments.rounds):
        for case in cases:
            print(f"round {number + 1} of {arguments.rounds}: {case.name}", file=sys.stderr)
            one_round(case, nodes, slots, arguments.spin, figures[case.name])
    print(report(figures, arguments.rounds))
    if arguments.json:
        arguments.json.write_text(json.dumps({name: vars(its) for name, its in figures.items()}, indent=2))
    if arguments.bars and (short := missed(cases, figures)):
        print("\n".join(["", *short]))
        sys.exit(1)


if __name__ == "__main__":
    main()
