"""What a driver tells of the infrastructure."""

from dataclasses import dataclass
from enum import StrEnum


class UnitState(StrEnum):
    """How far a unit is."""

    # Asked for, not running yet.
    PENDING = "pending"
    RUNNING = "running"
    # Ended by itself, in peace.
    SUCCEEDED = "succeeded"
    # Ended otherwise, or could not be started: `detail` says why.
    FAILED = "failed"
    # Known once, and not there any more.
    GONE = "gone"


@dataclass(frozen=True)
class Unit:
    """A worker group or a job as the infrastructure sees it. `detail` is for people: why it failed or waits.

    id: the group's or job's. infrastructure_id: the infrastructure's own name for it, empty while it has none.
    timed_out: of a job that FAILED because it ran out of its time.
    """

    id: str
    infrastructure_id: str
    state: UnitState
    detail: str = ""
    timed_out: bool = False


class Scope(StrEnum):
    """What `cleanup` is about: made by this run, by this manager ever, or by any of the cluster's managers."""

    RUN = "run"
    MANAGER = "manager"
    CLUSTER = "cluster"


@dataclass(frozen=True)
class Resource:
    """Something that a driver made besides units, and what became of it ("deleted", "would be deleted", an error)."""

    kind: str
    id: str
    outcome: str
