"""How a cloud is to be: what AWS decides, made short enough for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any


def _option(default: Any, metavar: str, help: str, flag: str = "") -> Any:
    """flag: for one that can be given several times, what one of them is called."""
    return field(default=default, metadata={"metavar": metavar, "help": help, "flag": flag})


@dataclass(frozen=True)
class Settings:
    """Each is an option of `scaler_localcloud`, which tells what it means."""

    port: int = _option(0, "PORT", "where to listen on 127.0.0.1; 0: any free one")
    step_seconds: float = _option(0.05, "SECONDS", "how long each state of a task, job or instance takes")
    latency_seconds: float = _option(0.0, "SECONDS", "how much longer each call takes")
    iam_seconds: float = _option(0.2, "SECONDS", "until others see the roles, profiles and policies that IAM has made")
    ecs_seconds: float = _option(0.0, "SECONDS", "until ECS finds the tasks that it has started")
    batch_seconds: float = _option(0.0, "SECONDS", "until ListJobs shows the jobs that were submitted")
    ec2_seconds: float = _option(0.0, "SECONDS", "until EC2 finds the instances that it has launched")
    grace_seconds: float = _option(120.0, "SECONDS", "the longest time from SIGTERM to SIGKILL")
    spot_seconds: float = _option(120.0, "SECONDS", "from the notice of an interruption to the end of what is spot")
    stopped_seconds: float = _option(3600.0, "SECONDS", "how long stopped tasks can be described")
    batch_minute_seconds: float = _option(60.0, "SECONDS", "how long a minute of a Batch job's time-out takes")
    faults: Sequence[str] = _option((), "FAULT", "what goes wrong, like throttle:operation=RunTask,rate=0.1", "fault")
    seed: int = _option(0, "N", "of the chances of faults: the same one fails the same calls")
    images: Sequence[str] = _option((), "GLOB=DIR", "images that are a folder here, first in PATH", "image")


def options() -> dict[str, Field[Any]]:
    """Of the command, by flag."""
    return {"--" + (each.metadata["flag"] or each.name.replace("_", "-")): each for each in fields(Settings)}
