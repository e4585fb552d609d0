"""What tests ask a local cloud, past the driver."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from scaler.testing.localcloud import LocalCloud

Result = TypeVar("Result")

_PATIENCE = 60.0
# An image whose agent does nothing but live.
STAND_IN = "stand-in:latest"


def options_of(subnet: str) -> dict[str, Any]:
    """Of a driver whose tasks are small."""
    return {"ecs_subnets": subnet, "ecs_task_image": STAND_IN, "ecs_task_cpu": 0.25, "ecs_task_memory": 0.5}


def until(look: Callable[[], Result]) -> Result:
    """What `look` gives once that is true."""
    deadline = time.monotonic() + _PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, f"it never came: {look}"
        time.sleep(0.01)
    return found


def tasks(cloud: LocalCloud) -> list[dict[str, Any]]:
    """As DescribeTasks has them."""
    found: list[dict[str, Any]] = cloud.do("tasks")
    return found


def wait_for_task(cloud: LocalCloud, arn: str, *states: str) -> dict[str, Any]:
    """The task, once its state is one of these."""
    return until(
        lambda: next((each for each in tasks(cloud) if each["taskArn"] == arn and each["lastStatus"] in states), {})
    )
