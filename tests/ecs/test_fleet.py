"""Fargate tasks by need, from none to twenty and back, and what that costs in calls."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest
from chores import nap
from fargate import Fargate, ends_well
from working import works

pytestmark = pytest.mark.timeout(300)


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
    calls = Counter(call["operation"] for call in fleet.cloud.calls("ecs"))
    assert sum(call["outcome"] == "ok" for call in fleet.cloud.calls("ecs:RunTask")) == 20
    # Those of a unit over its life, ...
    assert calls["RunTask"] + calls["StopTask"] + calls["ListTasks"] <= 3 * 20
    # ... and a look at up to a hundred at each heartbeat. What a list has found is looked at as well.
    assert calls["DescribeTasks"] <= heartbeats + 1 + calls["ListTasks"]
    ends_well(manager)


def test_workers_are_those_of_the_options(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    manager = fleet.manager(most=1, cpu="2")
    with fleet.client() as client:
        works(client)
    assert "with 2 slots joined" in fleet.scheduler.read_until("joined")
    ends_well(manager)
