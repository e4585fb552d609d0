"""`kill -9` to each part of `scaler FILE` in turn, at random moments under a running load: only time is lost."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import queue
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import work
from commands import PATIENCE, Run
from scaler import Client
from scaler.stack.kept import DEATHS, WITHIN_SECONDS
from stacks import MANAGER, SCHEDULER, STORAGE, Stack, all_gone
from working import works

# In the order of their turns, and what they run as.
PARTS = {
    "scheduler": "scaler.scheduler",
    "storage": "scaler.storage",
    "agent": "scaler.node",
    "executor": "scaler.node.executor",
    "manager": "scaler.managers",
}
# `scaler FILE` itself starts these again, and gives up a part that dies too often.
SUPERVISED = ("scheduler", "storage", "manager")
MIB = 1 << 20
# Heaps are not given back to the last byte: the client had 100,000 results, in pieces of all sizes.
SLACK_BYTES = {"client": 96 * MIB}
USUAL_SLACK_BYTES = 16 * MIB
# Some links are made when they are first needed.
SLACK_DESCRIPTORS = 2
# For a whole load, with all that is killed under it.
LOAD_SECONDS = 900.0

# Runs to its end, and checks each result.
Load = Callable[[Client], None]


def map_of(count: int, seconds: float) -> Load:
    """Elements that take so long each; some go to and from the workers by way of object storage."""

    def run(client: Client) -> None:
        values = [i.to_bytes(8, "little") * (12_500 if i % 1000 == 500 else 1) for i in range(count)]
        futures = client.map(work.sleep_and_give_back, ((seconds, value) for value in values))
        assert futures.results(LOAD_SECONDS) == values
        completed = list(futures.as_completed())
        assert futures.done_count == len(completed) == len(set(map(id, completed))) == count

    return run


def graph_of(count: int, seconds: float) -> Load:
    """A tree, each node of which takes so long and adds up those below it."""

    def run(client: Client) -> None:
        below = [[each for each in (2 * i + 1, 2 * i + 2) if each < count] for i in range(count)]
        graph = {f"n{i}": (work.sleep_and_add, seconds, i, *[f"n{each}" for each in below[i]]) for i in range(count)}
        sums = list(range(count))
        for i in reversed(range(count)):
            sums[i] += sum(sums[each] for each in below[i])
        futures = client.get(graph, list(graph), block=False)
        delivered: queue.SimpleQueue[str] = queue.SimpleQueue()
        for key, future in futures.items():
            future.add_done_callback(lambda _, key=key: delivered.put(key))
        assert [future.result(LOAD_SECONDS) for future in futures.values()] == sums
        assert {delivered.get(timeout=PATIENCE) for _ in graph} == graph.keys()
        # The other load was there before.
        works(client, LOAD_SECONDS)
        assert delivered.empty()

    return run


class Killer(threading.Thread):
    """Kills one part after the other, each at a random moment."""

    def __init__(self, stack: Stack, kills: int, pause: float) -> None:
        """pause: seconds between two kills, in the mean."""
        super().__init__(daemon=True)
        self._stack = stack
        self._kills = kills
        self._pause = pause
        seed = int(os.environ.get("KILLS_SEED") or time.time_ns() % 1_000_000)
        print(f"KILLS_SEED={seed}")
        self._random = random.Random(seed)
        self._enough = threading.Event()
        # When each died of it.
        self.killed: dict[str, list[float]] = defaultdict(list)

    def run(self) -> None:
        for name in itertools.islice(itertools.cycle(PARTS), self._kills):
            moment = time.monotonic() + self._random.uniform(0, 2 * self._pause)
            if name in SUPERVISED and len(self.killed[name]) >= DEATHS - 1:
                # One more in this minute would be the last that is allowed.
                moment = max(moment, self.killed[name][1 - DEATHS] + WITHIN_SECONDS + 1)
            while (left := moment - time.monotonic()) > 0 or not self._kill_one(name):
                if self._enough.wait(max(left, 0.01)):
                    return

    def _kill_one(self, name: str) -> bool:
        found = processes_of(self._stack, PARTS[name])
        if not found:
            return False
        try:
            self._random.choice(found).kill()
        except psutil.NoSuchProcess:
            return False
        self.killed[name].append(time.monotonic())
        return True

    def end(self) -> None:
        self._enough.set()
        self.join()


def processes_of(stack: Stack, module: str) -> list[psutil.Process]:
    found = []
    for each in stack.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            if module in each.cmdline() and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


@contextlib.contextmanager
def output_is_told(stack: Stack) -> Iterator[None]:
    """If something fails. It is read meanwhile: what is not would hold up whoever writes it."""
    enough = threading.Event()

    def read() -> None:
        while not enough.is_set():
            stack.command.read_more(0.1)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    except BaseException:
        print(stack.command.output.decode())
        raise
    finally:
        enough.set()
        thread.join()


Use = dict[str, tuple[int, int]]


def use_of(stack: Stack) -> Use:
    """Descriptors and bytes of each part, of `scaler FILE` itself, and of the client: this process.

    Bytes that are resident and not shared: objects are kept for a while in memory that agent and executors share.
    """
    gc.collect()
    processes = {"client": [psutil.Process()], "supervisor": [psutil.Process(stack.command.process.pid)]}
    processes |= {name: processes_of(stack, module) for name, module in PARTS.items()}
    use = {}
    for name, found in processes.items():
        with contextlib.suppress(psutil.NoSuchProcess, ValueError):
            memory = [each.memory_info() for each in found]
            use[name] = (max(each.num_fds() for each in found), max(each.rss - each.shared for each in memory))
    return use


def is_flat(before: Use, after: Use) -> bool:
    """False, too, while a part is missing."""
    return before.keys() == after.keys() and all(
        after[name][0] <= descriptors + SLACK_DESCRIPTORS
        and after[name][1] <= memory + SLACK_BYTES.get(name, USUAL_SLACK_BYTES)
        for name, (descriptors, memory) in before.items()
    )


def processes_with(variable: str, value: str) -> list[str]:
    """All that run anywhere with this in their environment."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if each.environ().get(variable) == value:
                found.append(f"{each.pid} {' '.join(each.cmdline())}")
    return found


def start(run: Run, home: Path) -> Stack:
    for name in ("run", "tmp"):
        (home / name).mkdir(mode=0o700)
    address = f"ipc://{home}/run/s"
    tables = (STORAGE + SCHEDULER + MANAGER).format(scheduler=address, objects=f"ipc://{home}/run/o")
    (home / "config.toml").write_text(tables)
    path = os.pathsep.join([str(Path(work.__file__).parent), os.environ["PYTHONPATH"]])
    stack = Stack(run("stack", str(home / "config.toml"), PYTHONPATH=path, TMPDIR=str(home / "tmp")), address)
    stack.command.read_until("2 workers serve")
    return stack


def survive(stack: Stack, kills: int, pause: float, loads: Sequence[Load], warm_ups: Sequence[Load]) -> None:
    """All loads side by side, each again and again until the last kill: they say themselves what they miss.

    warm_ups: likewise, once before anything is measured; nothing is killed meanwhile.
    """
    with output_is_told(stack), stack.client() as client, ThreadPoolExecutor(len(loads)) as threads:
        # Threads have heaps of their own, and these have them from now on.
        list(threads.map(lambda load: load(client), warm_ups))
        works(client)
        before = use_of(stack)
        killer = Killer(stack, kills, pause)

        def keep_up(load: Load) -> int:
            rounds = 0
            while not rounds or killer.is_alive():
                load(client)
                rounds += 1
            return rounds

        killer.start()
        began = time.monotonic()
        try:
            rounds = list(threads.map(keep_up, loads))
        finally:
            killer.end()
        print(f"{kills} kills and {rounds} loads in {time.monotonic() - began:.0f} s")
        assert sum(map(len, killer.killed.values())) == kills
        works(client)
        deadline = time.monotonic() + PATIENCE
        while not is_flat(before, after := use_of(stack)):
            assert time.monotonic() < deadline, f"before {before}, after {after}"
            assert client.submit(abs, -1).result(PATIENCE) == 1
        for name in after:
            told = [f"{use[name][0]} descriptors, {use[name][1] / MIB:.1f} MiB" for use in (before, after)]
            print(f"{name}: {' → '.join(told)}")
    deaths = stack.command.output.decode().count(" died: ")
    assert deaths == sum(len(killer.killed[name]) for name in SUPERVISED), "nothing died but what was killed"


def end(stack: Stack, home: Path) -> None:
    with all_gone(stack, home):
        code, output = stack.command.end(signal.SIGINT)
    assert code == 0, output
    assert "Traceback" not in output, output
    assert list((home / "tmp").iterdir()) == []
    assert processes_with("TMPDIR", str(home / "tmp")) == []


@pytest.mark.timeout(180)
def test_each_part_is_killed_once(run: Run, home: Path) -> None:
    stack = start(run, home)
    survive(stack, len(PARTS), 0.5, [map_of(4000, 0.002), graph_of(200, 0.02)], [map_of(4000, 0.0), graph_of(200, 0.0)])
    end(stack, home)


@pytest.mark.slow
@pytest.mark.timeout(LOAD_SECONDS)
def test_fifty_kills(run: Run, home: Path) -> None:
    stack = start(run, home)
    loads = [map_of(100_000, 0.002), graph_of(5000, 0.02)]
    survive(stack, 50, 3.2, loads, [map_of(100_000, 0.0), graph_of(5000, 0.0)])
    end(stack, home)
