"""Workers on this machine: a worker group is an agent process with its executors, found by what its environment says.

An agent outlives its manager: it ends by a signal, by its scheduler's word, or when no scheduler has been there for
`--death-timeout-seconds`. So a manager that was killed finds its agents again, by `SCALER_UNIT` in `/proc`; nothing is
kept of them anywhere else.
"""

import os
import socket
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from scaler.drivers.baremetal_native.agents import Agents, Tag
from scaler.managers.api import (
    Context,
    DriverInfo,
    Family,
    Offer,
    OptionModel,
    Resource,
    Scope,
    Unit,
    WorkerGroup,
    option,
)


class BaremetalOptions(OptionModel):
    group: ClassVar[str] = "driver baremetal_native"

    mode: Literal["fixed", "dynamic"] = option(
        "dynamic",
        "dynamic: a process a worker, as many as tasks need; fixed: so many workers from the start, in one process",
    )
    worker_type: str = option("", "prefix of the workers' names", metavar="NAME")


def describe() -> DriverInfo:
    return DriverInfo("baremetal_native", Family.CAPACITY, BaremetalOptions, api_version=1)


def open(context: Context) -> None:
    context.state = Agents(Tag(context.owner.cluster, context.owner.manager), context.log)


def offer(context: Context) -> Offer:
    fixed = context.options.mode == "fixed"
    return Offer(fixed=fixed, startup_seconds=30.0, settle_seconds=2.0, shutdown_seconds=10.0)


def start(context: Context, requests: Sequence[WorkerGroup]) -> list[Unit]:
    agents: Agents = context.state
    return agents.start({group.id: (_settings(context, group), group.launch.environment) for group in requests})


def _settings(context: Context, group: WorkerGroup) -> dict[str, Any]:
    settings = dict(group.launch.settings)
    if context.options.worker_type:
        name = f"{context.options.worker_type}-{socket.gethostname()}-{os.getpid()}-{group.id}"
        settings["node"] = {**settings["node"], "name": name}
    return settings


def heartbeat(context: Context) -> list[Unit]:
    agents: Agents = context.state
    return agents.units()


def shutdown(context: Context, ids: Sequence[str]) -> None:
    agents: Agents = context.state
    agents.end(ids, lambda: context.shutdown_seconds)


def cleanup(context: Context, scope: Scope, dry_run: bool) -> list[Resource]:
    """There is nothing but agents; of other managers, too, where the whole cluster is meant."""
    if scope is not Scope.CLUSTER:
        return []
    agents: Agents = context.state
    return agents.end_others(dry_run, lambda: context.shutdown_seconds)
