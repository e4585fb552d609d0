"""What a driver is written against. A driver imports this module and nothing else of the host.

A driver is a module of plain functions with the names and arguments of the hooks below, named by an entry point of the
group `scaler.drivers`. `describe`, `start`, `heartbeat`, `shutdown` and `cleanup` make a whole one; the others default
to nothing. Hooks run in threads and may block. A module has no state of its own: what it needs from call to call is in
`context.state`, for two managers may live in one process.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pluggy

from scaler.config.fields import AddressText, Capabilities, OptionModel, option
from scaler.transport.errors import ConfigurationError

__all__ = [
    "API_VERSION",
    "AddressText",
    "Capabilities",
    "Command",
    "ConfigurationError",
    "Context",
    "DriverInfo",
    "Family",
    "HookSpec",
    "Job",
    "Launch",
    "OptionModel",
    "Owner",
    "Resource",
    "Scope",
    "Unit",
    "UnitState",
    "WorkerGroup",
    "option",
]

# Raised when a hook or a class changes so that drivers must change with it.
API_VERSION = 1

hookspec = pluggy.HookspecMarker("scaler")


class Family(StrEnum):
    # Starts worker groups, whose agents connect to the scheduler themselves.
    CAPACITY = "capacity"
    # Runs each task as a job of the infrastructure.
    OFFLOAD = "offload"


@dataclass(frozen=True)
class DriverInfo:
    """What a driver says of itself. `options`: a model of its own options; unknown ones are errors."""

    name: str
    family: Family
    options: type[OptionModel]
    api_version: int = API_VERSION
    doc_url: str = ""


@dataclass(frozen=True)
class Launch:
    """How an agent of a worker group is started: `settings` are those of `python -m scaler.node`, JSON-able.

    `environment` holds what must not be seen on command lines or in tags, the key among it.
    """

    settings: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class WorkerGroup:
    """Worker slots to start under one name; `id` is never used again for another group."""

    id: str
    slots: int
    capabilities: Mapping[str, int]
    launch: Launch


@dataclass(frozen=True)
class Job:
    """A task to run as a job. `function` and `arguments` are pickles, `timeout` is in seconds, 0 for none."""

    id: str
    attempt: int
    name: str
    function: bytes
    arguments: bytes
    references: Sequence[str]
    python: str
    timeout: float
    priority: int
    capabilities: Mapping[str, int]


class UnitState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True)
class Unit:
    """A worker group or a job as the infrastructure sees it. `detail` is for people: why it failed or waits."""

    id: str
    infrastructure_id: str
    state: UnitState
    detail: str = ""


@dataclass(frozen=True)
class Owner:
    """Whose units these are: every one carries it as a tag, and nothing without it is ever touched."""

    cluster: str
    manager: str
    # Counts the starts of this manager.
    generation: int = 1


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


@dataclass
class Context:
    """What a driver has from call to call. `state` is the driver's own; `open` makes it."""

    owner: Owner
    options: Any
    log: logging.Logger
    # How long `shutdown` lets running tasks go on before it ends them.
    shutdown_seconds: float = 10.0
    state: Any = None


# A subcommand of a driver: (arguments after its name, context) → exit code.
Command = Callable[[Sequence[str], Context], int]


class HookSpec:
    """The hooks, as a driver's module defines them (without `self`)."""

    @hookspec(firstresult=True)
    def describe(self) -> DriverInfo:
        """Who the driver is. Called before anything else, without a context; must be quick and import no SDK."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def open(self, context: Context) -> None:
        """Makes `context.state`: sessions, clients. Called once, before `validate`."""

    @hookspec(firstresult=True)
    def validate(self, context: Context) -> None:
        """Raises ConfigurationError, naming the option and the mend, when the options cannot work. Changes nothing."""

    @hookspec(firstresult=True)
    def start(self, context: Context, requests: Sequence[WorkerGroup] | Sequence[Job]) -> Sequence[Unit]:
        """Starts them and returns a unit each, failed ones too. What is there already under its id is left alone."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def heartbeat(self, context: Context) -> Sequence[Unit]:
        """Every unit with the owner's tag, as the infrastructure sees it now; ended ones as long as it knows them."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def shutdown(self, context: Context, ids: Sequence[str]) -> None:
        """Ends units. Unknown and ended ids are fine. A worker group gets the chance to finish what it runs."""

    @hookspec(firstresult=True)
    def cleanup(self, context: Context, scope: Scope, dry_run: bool) -> Sequence[Resource]:
        """Deletes what the driver made besides units, and reports each resource; `dry_run` only reports."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def collect(self, context: Context, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Offload only: outcomes of ended jobs, by id."""
        raise NotImplementedError

    @hookspec(firstresult=True)
    def commands(self) -> Mapping[str, Command]:
        """Subcommands of `scaler_worker_manager <driver>`, by name."""
        raise NotImplementedError
