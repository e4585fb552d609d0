"""A cloud that shows its tasks only a while after it has started them, as ECS may: nothing is started twice or left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from chores import wait_for_file
from commands import PATIENCE
from dynamic import kill
from fargate import Fargate, ends_well
from scaler.testing.localcloud import LocalCloud
from working import works

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def whole_cloud() -> Iterator[LocalCloud]:
    with LocalCloud(ecs_seconds=1.5) as cloud:
        yield cloud


def test_tasks_that_are_seen_late_are_one_a_group_and_none_is_left(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    with fleet.cloud.fault("drop:operation=RunTask,count=1"):
        manager = fleet.manager(most=2)
        with fleet.client() as client:
            works(client)
    groups = {call["parameters"]["clientToken"] for call in fleet.cloud.calls("ecs:RunTask")}
    assert len(fleet.cloud.resources("ecs task")) == len(groups)
    ends_well(manager)
    assert fleet.tasks() == []


def test_a_manager_that_was_killed_finds_those_that_were_not_seen_yet(
    fargate: Callable[..., Fargate], home: object
) -> None:
    fleet = fargate()
    first = fleet.manager(most=2)
    with fleet.client() as client:
        futures = [client.submit(wait_for_file, f"{home}/go-on") for _ in range(30)]
        fleet.wait_until(fleet.tasks, "a task was started")
        kill(first)
        second = fleet.manager(most=2)
        fleet.wait_until(lambda: len(fleet.tasks("RUNNING")) == 2, "two tasks run")
        with open(f"{home}/go-on", "w"):
            pass
        assert all(future.result(2 * PATIENCE) for future in futures)
        fleet.wait_until(lambda: not fleet.tasks(), "all are gone")
    ends_well(second)
