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
from scaler.errors import ProcessorDiedError, WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conftest import Starter
    from scaler import ScalerFuture

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


def count_deliveries(futures: Sequence[ScalerFuture]) -> collections.Counter[int]:
    """How often each future was told that it is done."""
    delivered: collections.Counter[int] = collections.Counter()
    for i, future in enumerate(futures):
        future.add_done_callback(lambda _, i=i: delivered.update([i]))
    return delivered


def test_a_scheduler_killed_with_a_hundred_thousand_tasks_comes_back(start: Starter, tmp_path: Path) -> None:
    """Both workers are in the middle of the map, and all that was submitted after it waits, when it dies."""
    scheduler = start.scheduler()
    start.node(slots=2)
    gates = [work.Gate.new(str(tmp_path), name) for name in ("one", "other")]
    stations = {5_000: gates[0], 5_001: gates[1]}
    with Client(start.path(), timeout_seconds=60) as client:
        running = client.map(work.pass_gates, [(i, stations.get(i)) for i in range(20_000)])
        for gate in gates:
            gate.wait_for_arrival()
        queued = [client.submit(work.deadly, i % 500) for i in range(100_000)]
        delivered = count_deliveries(queued)
        while client._conversation.channel.backlog:  # the scheduler has not accepted all of it
            os.sched_yield()
        assert not any(future.done() for future in queued)
        start.kill(scheduler)
        start.scheduler(resync=1.0)
        for gate in gates:
            gate.open()
        assert running.results() == list(range(20_000))
        assert [future.result(PATIENCE) for future in queued] == [i % 500 for i in range(100_000)]
        assert running.done_count == 20_000
        assert len(set(map(id, running.as_completed()))) == 20_000
    assert delivered == dict.fromkeys(range(100_000), 1)


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
    scheduler = start.scheduler()
    start.node(slots=2)
    with Client(start.path()) as client:
        futures = [client.submit(work.short, (i, 0.0005)) for i in range(2000)]
        delivered = count_deliveries(futures)
        futures[200].result(PATIENCE)
        start.kill(scheduler)
        start.scheduler(resync=0.5)
        assert [future.result(PATIENCE) for future in futures] == list(range(2000))
    assert delivered == dict.fromkeys(range(2000), 1)


def test_one_element_of_a_map_is_cancelled_while_the_rest_runs_in_chunks(start: Starter, tmp_path: Path) -> None:
    start.scheduler()
    start.node(slots=2)
    gate = work.Gate.new(str(tmp_path), "gate")
    special = 70_000
    with Client(start.path()) as client:
        futures = client.map(work.pass_gates, [(i, gate if i == special else None) for i in range(100_000)])
        gate.wait_for_arrival()
        assert futures[special].cancel()
        others = [i for i in range(100_000) if i != special]
        assert [futures[i].result(PATIENCE) for i in others] == others
        assert futures[special].cancelled()


CANCELLED, VICTIM, LAST, DEADLY = 70_000, 80_000, 85_000, 95_000


def survive_everything(start: Starter, folder: str, max_attempts: int) -> dict[int, BaseException]:
    """A map of 100,000: one element is cancelled while it runs, the executor under another chunk is killed, then the
    agent, and one element is deadly wherever it runs. What failed, and how.

    Checked here: all others have their own value, everything was delivered once, and of what failed nothing but what
    had begun counted an attempt.
    """
    start.scheduler(max_attempts=max_attempts)
    # Often enough that the scheduler knows what runs there when it dies.
    doomed = start.node(slots=2, name="doomed", heartbeat=0.05)
    gates = {at: work.Gate.new(folder, str(at)) for at in (CANCELLED, VICTIM, LAST)}
    log = os.path.join(folder, "starts")
    with Client(start.path()) as client:
        futures = client.map(work.log_and_pass, [(log, i, gates.get(i), i == DEADLY) for i in range(100_000)])
        gates[CANCELLED].wait_for_arrival()
        executor = gates[VICTIM].wait_for_arrival()
        assert futures[CANCELLED].cancel()
        assert executor in children(doomed.pid)
        kill(executor)
        gates[LAST].wait_for_arrival()
        while not futures[LAST].running():
            os.sched_yield()
        start.kill(doomed)
        begun = set(starts(log))
        start.node(slots=2, name="other")
        assert futures.wait(PATIENCE)
        assert futures.done_count == 100_000
        assert len(set(map(id, futures.as_completed()))) == 100_000
        assert futures[CANCELLED].cancelled()
        others = [(i, future) for i, future in enumerate(futures) if i != CANCELLED]
        errors = {i: error for i, future in others if (error := future.exception()) is not None}
        assert all(future.result() == i for i, future in others if i not in errors)
    # The agent's other executor may have been about to call one more.
    called = {i for i in errors if i != DEADLY and i not in begun}
    assert len(called) <= 1
    assert set(starts(log)) | called == set(range(100_000)), "all have been begun"
    return errors


def test_a_map_survives_a_cancel_a_killed_executor_a_killed_agent_and_a_deadly_element(
    start: Starter, tmp_path: Path
) -> None:
    errors = survive_everything(start, str(tmp_path), max_attempts=3)
    assert set(errors) == {DEADLY}
    error = errors[DEADLY]
    assert isinstance(error, ProcessorDiedError)
    assert (error.status, error.attempts) == (9, 3)


def test_of_all_that_died_with_them_only_what_ran_counts_an_attempt(start: Starter, tmp_path: Path) -> None:
    """With a single attempt each, whatever counts one fails."""
    errors = survive_everything(start, str(tmp_path), max_attempts=1)
    assert {type(errors[at]) for at in (VICTIM, DEADLY)} == {ProcessorDiedError}
    assert isinstance(errors[LAST], WorkerDiedError)
    assert {error.attempts for error in errors.values()} == {1}
    assert len(errors) <= 4, "three by design; the agent's other executor may have been in one more when it died"


@pytest.mark.parametrize("returns", ["before", "after"])
def test_a_task_that_waits_for_its_own_survives_a_killed_scheduler(
    start: Starter, tmp_path: Path, returns: str
) -> None:
    """It comes back before the child has its value, or after."""
    scheduler = start.scheduler()
    start.node(slots=1)
    log, gate = str(tmp_path / "starts"), work.Gate.new(str(tmp_path), "gate")
    with Client(start.path(), timeout_seconds=60) as client:
        parent = client.submit(work.with_children, (log, 0, gate))
        gate.wait_for_arrival()
        start.kill(scheduler)
        if returns == "after":
            gate.open()
        start.scheduler(resync=0.5)
        if returns == "before":
            assert "done" not in client.explain(parent)
            gate.open()
        assert parent.result(PATIENCE) == 6
    assert starts(log) == dict.fromkeys(range(4), 1)


def test_many_tasks_within_tasks_survive_schedulers_that_are_killed(start: Starter, tmp_path: Path) -> None:
    scheduler = start.scheduler()
    start.node(slots=2)
    log = str(tmp_path / "starts")
    with Client(start.path(), timeout_seconds=60) as client:
        futures = [client.submit(work.with_children, (log, i, None)) for i in range(60)]
        delivered = count_deliveries(futures)
        for count in (40, 120, 200):
            wait_for_starts(log, count)
            start.kill(scheduler)
            scheduler = start.scheduler(resync=0.5)
        assert [future.result(PATIENCE) for future in futures] == [12 * i + 6 for i in range(60)]
    assert delivered == dict.fromkeys(range(60), 1)
    assert sorted(starts(log)) == list(range(240))
