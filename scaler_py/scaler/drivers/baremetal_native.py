"""Workers on this machine: a worker group is an agent process of this manager's, with its executors."""

import json
import os
import select
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from scaler.managers.api import (
    Context,
    DriverInfo,
    Family,
    OptionModel,
    Resource,
    Scope,
    Unit,
    UnitState,
    WorkerGroup,
    option,
)
from scaler.process import Part, start_part
from scaler.transport.errors import ThreeLineError

_MODULE = "scaler.node"
# From being told to end at once until it is killed.
_END_SECONDS = 3.0


class BaremetalOptions(OptionModel):
    group: ClassVar[str] = "driver baremetal_native"

    mode: Literal["fixed", "dynamic"] = option(
        "dynamic", "fixed: so many workers from the start; dynamic, as many as are needed, is not in this version"
    )
    worker_type: str = option("", "prefix of the workers' names", metavar="NAME")


@dataclass
class Agents:
    """The agents of one manager. A lock, for hooks run in threads."""

    parts: dict[str, Part] = field(default_factory=dict)
    # Groups that never came up: what is known of them.
    failed: dict[str, Unit] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


def describe() -> DriverInfo:
    return DriverInfo("baremetal_native", Family.CAPACITY, BaremetalOptions)


def open(context: Context) -> None:
    context.state = Agents()


def start(context: Context, requests: Sequence[WorkerGroup]) -> list[Unit]:
    return [_start(context.state, group) for group in requests]


def _start(agents: Agents, group: WorkerGroup) -> Unit:
    with agents.lock:
        if group.id in agents.parts:
            return _unit(group.id, agents.parts[group.id])
        if group.id in agents.failed:
            return agents.failed[group.id]
    settings = json.loads(json.dumps(dict(group.launch.settings)))
    try:
        part = start_part(_MODULE, settings)
    except (ThreeLineError, RuntimeError, OSError) as error:
        unit = Unit(group.id, "", UnitState.FAILED, str(error))
        with agents.lock:
            agents.failed[group.id] = unit
        return unit
    with agents.lock:
        agents.parts[group.id] = part
    return _unit(group.id, part)


def heartbeat(context: Context) -> list[Unit]:
    agents: Agents = context.state
    with agents.lock:
        units = [_unit(name, part) for name, part in agents.parts.items()]
        return [*units, *agents.failed.values()]


def _unit(name: str, part: Part) -> Unit:
    if part.alive:
        return Unit(name, str(part.pid), UnitState.RUNNING)
    status = part.wait()
    if status == 0:
        return Unit(name, str(part.pid), UnitState.SUCCEEDED)
    how = f"exit code {status}" if status > 0 else f"signal {signal.Signals(-status).name}"
    return Unit(name, str(part.pid), UnitState.FAILED, f"the agent ended with {how}")


def shutdown(context: Context, ids: Sequence[str]) -> None:
    agents: Agents = context.state
    with agents.lock:
        ending = [agents.parts.pop(name) for name in ids if name in agents.parts]
        for name in ids:
            agents.failed.pop(name, None)
    for part in ending:
        if part.alive:
            os.kill(part.pid, signal.SIGTERM)
    deadline = time.monotonic() + context.shutdown_seconds
    for part in ending:
        _wait_until(part, deadline)
    for part in ending:
        part.end(_END_SECONDS)


def _wait_until(part: Part, deadline: float) -> None:
    if not part.alive:
        return
    process = os.pidfd_open(part.pid)
    try:
        select.select([process], [], [], max(0.0, deadline - time.monotonic()))
    finally:
        os.close(process)


def cleanup(context: Context, scope: Scope, dry_run: bool) -> list[Resource]:
    """Agents end with their manager, whose pipe they watch: there is nothing else."""
    return []
