"""What a driver says of itself: who it is, and what it can start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scaler.config.fields import OptionModel
from scaler.managers.api.version import API_VERSION


class Family(StrEnum):
    """What a driver's units are."""

    # Starts worker groups, whose agents connect to the scheduler themselves.
    CAPACITY = "capacity"
    # Runs each task as a job of the infrastructure.
    OFFLOAD = "offload"


@dataclass(frozen=True)
class DriverInfo:
    """Who a driver is.

    name: that of its entry point. options: a model of its own options, from which its flags, keys in files, variables
    in the environment, errors and reference are made; unknown ones are errors. api_version: the `API_VERSION` that it
    was written against, as a literal: a host with another one lists it as incompatible and does not run it.
    """

    name: str
    family: Family
    options: type[OptionModel]
    api_version: int = API_VERSION
    doc_url: str = ""


@dataclass(frozen=True)
class Offer:
    """What a manager can start with these options: what the host announces to the scheduler, and how it calls.

    slots: workers of one group. most_workers: where the user gave no number, or -1; 0 for the CPUs of this machine; of
    offload drivers jobs at a time, 0 for 100.
    limits_groups: the user's --max-task-concurrency, and most_workers, count groups: machines or containers that cost
    the same whatever runs in them.
    fixed: one group of all workers, from the start to the end, whatever scaling says.
    startup_seconds: from the command until the workers have connected; one that takes longer is replaced.
    settle_seconds: how long the infrastructure may not yet show what it started.
    batch: most groups in one call of `start` and `shutdown`. calls: most calls at a time, `heartbeat` aside.
    deadline_seconds: of `start`, `heartbeat` and `shutdown`. shutdown_seconds: what the end may take, tasks that finish
    included, where the user said nothing.
    capabilities: what every worker has besides `--per-worker-capabilities`, -1 without an amount.
    python: of the workers, like "3.12"; empty for this host's.
    """

    slots: int = 1
    most_workers: int = 0
    limits_groups: bool = False
    fixed: bool = False
    startup_seconds: float = 300.0
    settle_seconds: float = 60.0
    batch: int = 10
    calls: int = 4
    deadline_seconds: float = 60.0
    shutdown_seconds: float = 120.0
    capabilities: Mapping[str, int] = field(default_factory=dict)
    python: str = ""
