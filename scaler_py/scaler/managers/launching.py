"""From options of workers to what their agents are started with, as settings and as a command line."""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from scaler.config.models import WorkerManagerOptions, WorkerOptions
from scaler.managers.api import Launch
from scaler.node.settings import AgentSettings, NodeSettings, available_cpus
from scaler.node.starting import ExecutorSettings

# Files of this machine, and what has an argument of its own.
_NOT_ARGUMENTS = {"key_file", "per_worker_capabilities"}


@dataclass(frozen=True)
class Names:
    """How an agent is called, and which manager's group it is; empty for one started by hand."""

    name: str = ""
    manager: str = ""
    group: str = ""


NO_NAMES = Names()


def agent_settings(options: WorkerOptions, scheduler: str, slots: int | None, names: Names = NO_NAMES) -> AgentSettings:
    """Settings of one agent of `slots` workers, one a CPU where None."""
    executor = ExecutorSettings(
        collect_interval=options.garbage_collect_interval_seconds,
        trim_threshold=int(options.trim_memory_threshold_bytes),
        preload=options.preload or "",
        path=[os.getcwd()],
    )
    node = NodeSettings(
        slots=slots or available_cpus(),
        capabilities=dict(options.per_worker_capabilities),
        queue_size=options.per_worker_task_queue_size,
        memory_limit=int(options.per_worker_memory_limit),
        task_timeout=options.task_timeout_seconds,
        death_timeout=options.death_timeout_seconds,
        recycle=options.tasks_per_process,
        heartbeat=options.heartbeat_interval_seconds,
        executor=executor,
        name=names.name,
        manager=names.manager,
        group=names.group,
    )
    return AgentSettings(
        scheduler,
        object_storage=options.object_storage_address or "",
        key_file=options.key_file or "",
        insecure=options.insecure,
        compression=options.compression,
        connect_timeout=options.connect_timeout_seconds,
        node=node,
    )


def launch(
    options: WorkerManagerOptions, slots: int, capabilities: Mapping[str, int], names: Names, token: str = ""
) -> Launch:
    """How the agent of a group is started. token: what lets it in; empty without keys."""
    scheduler = options.worker_scheduler_address or options.scheduler_address
    chosen = agent_settings(options, scheduler, slots, names)
    node = dataclasses.replace(chosen.node, capabilities=dict(capabilities))
    settings: dict[str, Any] = dataclasses.asdict(dataclasses.replace(chosen, node=node))
    settings["logging"] = {
        "level": options.logging_level,
        "paths": options.logging_paths,
        "config_file": options.logging_config_file,
    }
    environment = {"SCALER_INSECURE": "1"} if options.insecure else {"SCALER_KEY": token} if token else {}
    return Launch(settings, environment, tuple(_arguments(options, scheduler, slots, capabilities, names)))


def _arguments(
    options: WorkerManagerOptions, scheduler: str, slots: int, capabilities: Mapping[str, int], names: Names
) -> Iterator[str]:
    """Of `scaler_cluster`. What is the default there is left out."""
    yield scheduler
    yield from ("--num-of-workers", str(slots))
    if capabilities:
        yield from ("--per-worker-capabilities", capability_text(capabilities))
    for flag, value in (("manager-id", names.manager), ("group-id", names.group), ("name", names.name)):
        if value:
            yield f"--worker-{flag}={value}"
    for name, field in WorkerOptions.model_fields.items():
        value = getattr(options, name)
        if name in _NOT_ARGUMENTS or value is None or value == field.default:
            continue
        yield from typed(name, value)


def typed(name: str, value: object) -> list[str]:
    """An option as it is typed; nothing for one that is off."""
    flag = "--" + name.replace("_", "-")
    if value is None or value is False:
        return []
    if value is True:
        return [flag]
    if isinstance(value, list):
        return [flag, *map(str, value)]
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    elif isinstance(value, Enum):
        value = value.value
    # In one piece: a value may begin with a dash.
    return [f"{flag}={value:d}" if isinstance(value, int) else f"{flag}={value}"]


def capability_text(capabilities: Mapping[str, int]) -> str:
    """As `--per-worker-capabilities` takes it."""
    return ",".join(name if amount == -1 else f"{name}={amount}" for name, amount in sorted(capabilities.items()))
