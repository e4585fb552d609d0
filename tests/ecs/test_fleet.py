"""Fargate tasks by need, from none to twenty and back, and what that costs in calls."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable

import pytest
from fargate import Fargate, ends_well
from working import works

pytestmark = pytest.mark.timeout(300)


def nap(number: int) -> int:
    time.sleep(0.02)
    return number


def test_twenty_fargate_tasks_come_run_ten_thousand_tasks_and_go(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    manager = fleet.manager(most=20)
    began = time.time()
    with fleet.client() as client:
        futures = client.map(nap, range(10_000))
        fleet.wait_until(lambda: len(fleet.tasks("RUNNING")) == 20, "twenty tasks run")
        assert futures.results(200) == list(range(10_000))
        fleet.wait_until(lambda: not fleet.tasks(), "all tasks are gone")
    heartbeats = (time.time() - began) / 0.2
    calls = Counter(f"{call['service']}:{call['operation']}" for call in fleet.cloud.calls())
    started = calls["ecs:RunTask"]
    # One describe for a hundred units at each heartbeat, and one for what a list has found.
    described = calls.pop("ecs:DescribeTasks")
    assert described <= math.ceil(started / 100) * (heartbeats + 1) + calls["ecs:ListTasks"]
    about_units = sum(calls[f"ecs:{name}"] for name in ("RunTask", "StopTask"))
    assert started == 20
    assert about_units <= 2 * started
    assert calls["ecs:ListTasks"] <= heartbeats / 10 + 2
    ends_well(manager)


def test_workers_are_those_of_the_options(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    manager = fleet.manager(most=1, cpu="2")
    with fleet.client() as client:
        works(client)
    assert "with 2 slots joined" in fleet.scheduler.read_until("joined")
    ends_well(manager)
