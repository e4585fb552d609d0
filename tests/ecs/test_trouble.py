"""A cloud in which a tenth of all calls fail, and a manager that is killed again and again."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from chores import nap
from dynamic import kill
from fargate import Fargate, ends_well

pytestmark = pytest.mark.timeout(400)

KILLS = 10
TASKS = 6000


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_a_tenth_of_all_calls_fail_and_the_manager_is_killed_ten_times(
    seed: int, fargate: Callable[..., Fargate]
) -> None:
    """Nothing is lost and nothing is left: throttled, failed, and done with the answer lost, in turn."""
    chance = random.Random(seed)
    fleet = fargate()
    with fleet.cloud.fault("any:rate=0.1"):
        manager = fleet.manager(most=8, until="")
        with fleet.client() as client:
            futures = client.map(nap, range(TASKS))
            for number in range(KILLS):
                done = TASKS * (number + 1) // (KILLS + 2) - chance.randrange(200)
                fleet.wait_until(lambda done=done: futures.done_count >= done, f"{done} tasks are done")  # type: ignore[misc]
                kill(manager)
                manager = fleet.manager(most=8, until="")
            assert futures.results(300) == list(range(TASKS))
            fleet.wait_until(lambda: not fleet.tasks(), "all tasks are gone", 120)
        manager.read_until("workers serve")
        ends_well(manager)
