"""What the host asks a driver for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Launch:
    """How the agent of a worker group is started: the same in two forms.

    settings: of `python -m scaler.node`, JSON-able, for who starts it on this machine. arguments: of `scaler_cluster`,
    for everybody else; the two say the same, but that arguments leave out what only this machine has (a key's file).
    environment: what must be in the agent's environment and never on a command line, in a tag or in a log: the join
    token of the group among it.
    """

    settings: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    arguments: Sequence[str] = ()

    def command(self, program: Sequence[str] = ("scaler_cluster",)) -> list[str]:
        """The command that runs the agent, to be started with `environment`.

        program: where `scaler_cluster` is not on the path, ("python3", "-m", "scaler.cli.cluster").
        """
        return [*program, *self.arguments]


@dataclass(frozen=True)
class WorkerGroup:
    """Worker slots to start under one name; `id` is never used again for another group."""

    id: str
    slots: int
    capabilities: Mapping[str, int]
    launch: Launch


@dataclass(frozen=True)
class Job:
    """A task to run as a job.

    id: of the task. attempt: from 1. function: packed, as `run_job` unpacks it. arguments: packed likewise, (positional
    ones, named ones). references: the objects that stand among the positional arguments, as `context.objects.open` and
    `run_job` take them. python: the client's version, like "3.12": a function that was pickled by value needs it.
    timeout: in seconds, 0 for none.
    """

    id: str
    attempt: int
    name: str
    function: bytes = field(repr=False)
    arguments: bytes = field(repr=False)
    references: Sequence[str]
    python: str
    timeout: float
    priority: int
    capabilities: Mapping[str, int]
