"""A client whose scheduler dies, and comes back or does not."""

from __future__ import annotations

import os
import signal
import time

import pytest
from scaler import Client
from scaler.errors import SchedulerUnreachableError


def count_to(number: int) -> int:
    time.sleep(0.001)
    return number


def test_killed_scheduler_comes_back_and_each_result_comes_once(start):
    scheduler = start.scheduler()
    start.node()
    with Client(start.path(), timeout_seconds=60) as client:
        assert client.submit(abs, -1).result(30) == 1
        called: list[int] = []
        mapped = client.map(count_to, range(2000))
        futures = [client.submit(count_to, i) for i in range(500)]
        for future in futures:
            future.add_done_callback(lambda done: called.append(done.result()))
        assert mapped[10].result(30) == 10
        start.kill(scheduler)
        late = [client.submit(count_to, -i) for i in range(100)]
        start.scheduler(resync=1.0)
        assert mapped.results(60) == list(range(2000))
        assert [future.result(60) for future in futures] == list(range(500))
        assert [future.result(60) for future in late] == [-i for i in range(100)]
    assert sorted(called) == list(range(500))


def test_scheduler_that_stays_away_fails_what_is_pending(start):
    scheduler = start.scheduler()
    with Client(start.path(), timeout_seconds=1) as client:
        futures = [client.submit(abs, i) for i in range(10)]
        start.kill(scheduler)
        for future in futures:
            with pytest.raises(SchedulerUnreachableError, match="did not come back"):
                future.result(30)
        with pytest.raises(SchedulerUnreachableError):
            client.submit(abs, 1)


def test_stopped_scheduler_is_waited_for(start):
    scheduler = start.scheduler()
    start.node()
    with Client(start.path()) as client:
        assert client.submit(abs, -1).result(30) == 1
        os.kill(scheduler.pid, signal.SIGSTOP)
        futures = [client.submit(abs, -i) for i in range(1000)]
        with pytest.raises(TimeoutError):
            futures[0].result(0.1)
        os.kill(scheduler.pid, signal.SIGCONT)
        assert [future.result(30) for future in futures] == list(range(1000))
