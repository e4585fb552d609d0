"""Agents and schedulers that are killed with -9 under a load."""

from __future__ import annotations

import collections
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import work
from processes import children, kill
from scaler import Client

if TYPE_CHECKING:
    from conftest import Starter

PATIENCE = 100


def starts(path: str) -> collections.Counter[int]:
    """How often each element was started, by the file that `work.log_and_spin` writes."""
    data = Path(path).read_bytes()
    return collections.Counter(int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8))


def wait_for_starts(path: str, count: int) -> None:
    while not os.path.exists(path) or os.path.getsize(path) < 8 * count:
        os.sched_yield()


def test_a_killed_agents_tasks_are_finished_by_another(start: Starter, tmp_path: Path) -> None:
    start.scheduler()
    doomed = start.node(slots=2, name="doomed")
    start.node(slots=2, name="other")
    log = str(tmp_path / "starts")
    with Client(start.path()) as client:
        futures = client.map(work.log_and_spin, [(log, i, 0.0005) for i in range(4000)])
        wait_for_starts(log, 500)
        start.kill(doomed)
        assert futures.results() == list(range(4000))
    counts = starts(log)
    assert sorted(counts) == list(range(4000))
    assert max(counts.values()) <= 2, "what had not started was given to the other one, once"


def test_a_killed_agents_only_started_elements_count_an_attempt(start: Starter, tmp_path: Path) -> None:
    """With one attempt each, all that fail had started; what only waited there is run elsewhere."""
    start.scheduler(max_attempts=1)
    doomed = start.node(slots=1)
    log = str(tmp_path / "starts")
    with Client(start.path()) as client:
        futures = client.map(work.log_and_spin, [(log, i, 0.001) for i in range(2000)])
        wait_for_starts(log, 100)
        start.kill(doomed)
        started = set(starts(log))
        start.node(slots=1)
        failed = {i for i, future in enumerate(futures) if future.exception(PATIENCE) is not None}
        assert failed <= started
        assert len(failed) <= 1 * 2, "one ran; the next may have begun while we looked"


def test_a_scheduler_killed_with_a_hundred_thousand_tasks_comes_back(start: Starter) -> None:
    scheduler = start.scheduler()
    start.node(slots=2)
    with Client(start.path(), timeout_seconds=60) as client:
        running = client.map(work.short, [(i, 0.0001) for i in range(20_000)])
        queued = [client.submit(work.deadly, i % 500) for i in range(100_000)]
        while not running[100].done():
            running[100].result(PATIENCE)
        start.kill(scheduler)
        start.scheduler(resync=1.0)
        assert running.results() == list(range(20_000))
        assert [future.result(PATIENCE) for future in queued] == [i % 500 for i in range(100_000)]


def test_large_arguments_survive_scheduler_and_storage(start: Starter) -> None:
    storage = start.part("scaler.storage", {"address": start.path("objects")})
    scheduler = start.scheduler(object_storage=start.path("objects"))
    start.node(slots=2)
    with Client(start.path(), timeout_seconds=60) as client:
        futures = [client.submit(work.spin_and_measure, bytes(100_000 + i), 0.01) for i in range(200)]
        mapped = client.map(len, [bytes(200_000 + i) for i in range(50)])
        futures[10].result(PATIENCE)
        start.kill(scheduler)
        start.kill(storage)
        start.part("scaler.storage", {"address": start.path("objects")})
        start.scheduler(object_storage=start.path("objects"), resync=0.5)
        assert [future.result(PATIENCE) for future in futures] == [100_000 + i for i in range(200)]
        assert mapped.results() == [200_000 + i for i in range(50)]


def test_results_of_a_scheduler_that_came_back_are_delivered_once(start: Starter) -> None:
    delivered: collections.Counter[int] = collections.Counter()
    scheduler = start.scheduler()
    start.node(slots=2)
    with Client(start.path()) as client:
        futures = [client.submit(work.short, (i, 0.0005)) for i in range(2000)]
        for i, future in enumerate(futures):
            future.add_done_callback(lambda _, i=i: delivered.update([i]))
        futures[200].result(PATIENCE)
        start.kill(scheduler)
        start.scheduler(resync=0.5)
        assert [future.result(PATIENCE) for future in futures] == list(range(2000))
    assert set(delivered.values()) == {1}
    assert len(delivered) == 2000


def test_one_element_of_a_map_is_cancelled_while_the_rest_runs_in_chunks(start: Starter, tmp_path: Path) -> None:
    start.scheduler()
    start.node(slots=2)
    begun, gate = str(tmp_path / "begun"), str(tmp_path / "gate")
    os.mkfifo(begun)
    os.mkfifo(gate)
    special = 70_000
    with Client(start.path()) as client:
        futures = client.map(work.wait_at_gate, [(i, special, begun, gate) for i in range(100_000)])
        Path(begun).read_text()
        assert futures[special].cancel()
        others = [i for i in range(100_000) if i != special]
        assert [futures[i].result(PATIENCE) for i in others] == others
        assert futures[special].cancelled()


@pytest.mark.slow
def test_a_map_survives_a_cancel_a_killed_executor_and_a_killed_agent(start: Starter, tmp_path: Path) -> None:
    start.scheduler()
    doomed = start.node(slots=2, name="doomed")
    begun, gate = str(tmp_path / "begun"), str(tmp_path / "gate")
    os.mkfifo(begun)
    os.mkfifo(gate)
    special = 70_000
    with Client(start.path()) as client:
        futures = client.map(work.wait_at_gate, [(i, special, begun, gate) for i in range(100_000)])
        Path(begun).read_text()
        assert futures[special].cancel()
        kill(children(doomed.pid)[0])
        start.kill(doomed)
        start.node(slots=2, name="other")
        others = [i for i in range(100_000) if i != special]
        assert [futures[i].result(PATIENCE) for i in others] == others
        assert futures[special].cancelled()
