"""A million tasks again and again: what each takes of memory where it waits, and whether any of it stays.

    python benches/memory.py [--rounds 10] [--count 1000000] [--kinds queued,single,…] [--keep]

Scheduler, an agent of two workers and a client (this process) on Unix sockets. Each round of
- queued: so many `submit`s that no worker serves, whose futures the client holds; then all are cancelled;
- single: the same of two functions in turn, so that no two of them travel and wait as one;
- mapped: one `map` of so many elements, likewise;
- flowing: so many `submit`s that workers serve, in windows of 10,000, each window's results read and dropped.

Prints for each round what the processes have (Pss, without what is of files) at its fullest and at its end, and
how that grows from round to round: the slope of a line through the ends of all rounds but the first two. What is freed
goes back to the system late or not at all (`malloc` keeps it for the next round), so "end" is not "before", and only
its growth tells of a leak. Of the client even that tells little: one object that lives pins the megabyte around it. So
there count the blocks that Python has in use, and the bytes that `malloc` has (`mallinfo2`). The scheduler's and the
client's own tables are counted too, and must be empty. Exits 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil
import work
from measure import proportional_of
from scaler import Client
from scaler.client.questions import STATUS
from scaler.process import Part, path_for_parts, start_part

MIB = 1 << 20
WINDOW = 10_000
# Elements of a block of a map, at most.
BLOCK = 4_096
# Rounds that are not part of the slope.
FILLING = 2
# Bytes of the scheduler beyond the payload.
MOST_A_TASK, MOST_AN_ELEMENT = 300.0, 8.0
# What a round leaves behind at most: more would be gone after some tens of millions.
MOST_LEFT = 1.0
# Of Python's blocks in the client; one a task would be its future.
MOST_BLOCKS = 0.01
# Of the scheduler: what must be empty after each round.
TABLES = ("queued", "assigned", "arrays", "objects")


@dataclass
class Round:
    """Bytes by process, at the fullest (nothing: not looked at) and at the end; what is left in tables."""

    end: dict[str, int]
    left: dict[str, int]
    full: dict[str, int] = field(default_factory=dict)


class _Mallinfo(ctypes.Structure):
    """What mallinfo2(3) fills in."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks")
    ] + [("keepcost", ctypes.c_size_t)]


def in_use() -> dict[str, int]:
    """Of this process: blocks of Python's, bytes of malloc's where the C library counts them."""
    found = {"python": sys.getallocatedblocks()}
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is not None:
        mallinfo.restype = _Mallinfo
        told = mallinfo()
        found["malloc"] = told.uordblks + told.hblkhd
    return found


def own_memory(pid: int) -> int:
    """Bytes, without what is of files: how much of a library is whose share depends on who else runs."""
    return proportional_of(pid, ("Pss_Anon:", "Pss_Shmem:"))


class Cluster:
    """keeps: what flowed by stays, as a leak would have it."""

    def __init__(self, address: str, keeps: bool = False) -> None:
        settings = {"address": address, "resync": 0.0, "memory_limit": 8 << 30}
        self.address = address
        self.keeps = keeps
        self.kept: list[Any] = []
        self.scheduler = start_part("scaler.scheduler", settings)
        self.agent: Part | None = None
        self.client = Client(address)

    def start_workers(self) -> None:
        node = {"slots": 2, "executor": {"path": path_for_parts()}}
        self.agent = start_part("scaler.node", {"scheduler": self.address, "node": node})

    def end(self) -> None:
        self.client.disconnect()
        if self.agent is not None:
            self.agent.end()
        self.scheduler.end()

    def memory(self) -> dict[str, int]:
        gc.collect()
        found = {"scheduler": own_memory(self.scheduler.pid), "client": own_memory(os.getpid())}
        if self.agent is not None:
            executors = psutil.Process(self.agent.pid).children()
            found["agent"] = own_memory(self.agent.pid)
            found["executors"] = sum(own_memory(each.pid) for each in executors)
        return found

    def tables(self) -> dict[str, int]:
        """How many entries the scheduler's have, and the client's; and the payload that the scheduler counts."""
        conversation = self.client._conversation
        status = json.loads(conversation.questions.ask(STATUS, 0))
        found = {name: int(status[name]) for name in (*TABLES, "bytes")}
        return found | {"client": conversation.book.unfinished}

    def wait_until(self, holds: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        """What is in the tables then, or after a while in which it does not come true."""
        deadline = time.monotonic() + 60
        while not holds(found := self.tables()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return found

    def ended(self, full: dict[str, int]) -> Round:
        left = self.wait_until(lambda tables: not tables["arrays"] and not tables["client"])
        return Round(self.memory(), left | in_use(), full)


def queued(cluster: Cluster, count: int) -> Round:
    submit = cluster.client.submit
    return _cancelled(cluster, count, lambda: [submit(work.noop, x) for x in range(count)])


def single(cluster: Cluster, count: int) -> Round:
    submit, functions = cluster.client.submit, (work.noop, work.pages)
    return _cancelled(cluster, count, lambda: [submit(functions[x % 2], x) for x in range(count)])


def mapped(cluster: Cluster, count: int) -> Round:
    return _cancelled(cluster, count, lambda: cluster.client.map(work.noop, range(count)))


def _cancelled(cluster: Cluster, count: int, submit: Callable[[], Any]) -> Round:
    # Whoever called has no futures: they would live until this returns.
    futures = submit()
    cluster.wait_until(lambda tables: tables["queued"] == count)
    full = cluster.memory()
    cluster.client.clear()
    del futures
    return cluster.ended(full)


def flowing(cluster: Cluster, count: int) -> Round:
    submit = cluster.client.submit
    for start in range(0, count, WINDOW):
        expected = range(start, min(count, start + WINDOW))
        futures = [submit(work.noop, x) for x in expected]
        assert all(future.result() == x for future, x in zip(futures, expected, strict=True))
        if cluster.keeps:
            cluster.kept += futures
    del futures
    return cluster.ended({})


def payload(kind: str, count: int) -> float:
    """Bytes of one task's arguments, or of one element's, as they are pickled."""
    step = BLOCK if kind == "mapped" else 1
    numbers = range(0, count, max(step, count // 1_000 // step * step))
    blobs = [pickle.dumps(list(range(x, x + step)) if kind == "mapped" else (x,), 5) for x in numbers]
    return sum(map(len, blobs)) / len(blobs) / step


def slope(values: list[int]) -> float:
    """Of the line with the least squares through them, a step."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    spread = sum((x - middle) ** 2 for x in range(len(values)))
    return sum((x - middle) * (value - mean) for x, value in enumerate(values)) / spread if spread else 0.0


KINDS: dict[str, Callable[[Cluster, int], Round]] = {
    "queued": queued,
    "single": single,
    "mapped": mapped,
    "flowing": flowing,
}


def told(kind: str, before: dict[str, int], rounds: list[Round], count: int) -> None:
    names = list(before)
    print(f"\n### {kind} x {count:,}, MiB\n")
    print(
        "| round | " + " | ".join(f"{name}, full | end" if rounds[0].full else f"{name}, end" for name in names) + " |"
    )
    print("|---" * (1 + len(names) * (2 if rounds[0].full else 1)) + "|")
    for number, each in enumerate([Round(before, {}, before if rounds[0].full else {}), *rounds]):
        cells = [f"{part[name] / MIB:.1f}" for name in names for part in (each.full, each.end) if part]
        print(f"| {number or 'before'} | " + " | ".join(cells) + " |")


def check(kind: str, before: dict[str, int], rounds: list[Round], count: int, most_left: float, spare: int) -> bool:
    """Prints what was reached beside what is wanted. Whether it is."""
    holds = True

    def bar(what: str, reached: float, wanted: float) -> None:
        nonlocal holds
        holds = holds and reached <= wanted
        print(f"- {what}: {reached:,.2f} (at most {wanted:,g}) {'' if reached <= wanted else '**missed**'}")

    print()
    if rounds[0].full:
        own = payload(kind, count)
        scheduler, client = (rounds[0].full[name] - before[name] - spare for name in ("scheduler", "client"))
        what, most = ("an element", MOST_AN_ELEMENT) if kind == "mapped" else ("a task", MOST_A_TASK)
        bar(f"bytes of the scheduler {what}, beyond {own:.1f} of payload", scheduler / count - own, most)
        print(f"- bytes of the client {what}: {client / count:,.1f}")
    flat = rounds[FILLING:]
    if len(flat) > 1:
        for name in sorted(before.keys() - {"client"}):
            grows = slope([each.end[name] for each in flat]) / count
            bar(f"{name}, growth of what is left, bytes a task", grows, most_left)
        grows = slope([each.left["python"] for each in flat]) / count
        bar("client, growth of Python's blocks in use, a task", grows, MOST_BLOCKS)
        if "malloc" in flat[0].left:
            grows = slope([each.left["malloc"] for each in flat]) / count
            bar("client, growth of malloc's bytes in use, a task", grows, most_left)
    entries = max(each.left[name] for each in rounds for name in (*TABLES, "client"))
    bar("entries left in a table of the scheduler or the client", entries, 0)
    bar(
        "payload that the scheduler counts, growth in bytes",
        max(r.left["bytes"] - rounds[0].left["bytes"] for r in rounds),
        0,
    )
    return holds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--count", type=int, default=1_000_000, help="tasks a round")
    parser.add_argument("--kinds", default=",".join(KINDS), help="some of " + ",".join(KINDS))
    parser.add_argument("--most-left", type=float, default=MOST_LEFT, help="bytes a task that a round may leave behind")
    parser.add_argument("--spare", type=int, default=0, help="bytes that count for no task: in the small they matter")
    parser.add_argument("--keep", action="store_true", help="plants a leak: the futures of what flowed by")
    parser.add_argument("--no-bars", action="store_true", help="exit 0 whatever was reached")
    arguments = parser.parse_args()
    holds = True
    for kind in arguments.kinds.split(","):
        with tempfile.TemporaryDirectory(prefix="scaler-") as folder:
            cluster = Cluster(f"ipc://{folder}/scheduler.sock", arguments.keep)
            try:
                if kind == "flowing":
                    cluster.start_workers()
                    # What is imported and made once.
                    flowing(cluster, WINDOW)
                before = cluster.memory()
                rounds = [KINDS[kind](cluster, arguments.count) for _ in range(arguments.rounds)]
            finally:
                cluster.end()
        told(kind, before, rounds, arguments.count)
        holds = check(kind, before, rounds, arguments.count, arguments.most_left, arguments.spare) and holds
    if not (holds or arguments.no_bars):
        sys.exit(1)


if __name__ == "__main__":
    main()
