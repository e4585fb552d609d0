"""From a manager's options to what its agents are started with."""

import dataclasses
import os
from dataclasses import dataclass
from typing import Any

from scaler.config.models import WorkerManagerOptions, WorkerOptions
from scaler.managers.api import Launch
from scaler.node.settings import AgentSettings, NodeSettings, available_cpus
from scaler.node.starting import ExecutorSettings


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


def launch(options: WorkerManagerOptions, slots: int | None, names: Names) -> Launch:
    """How a manager's agents are started, as plain values."""
    scheduler = options.worker_scheduler_address or options.scheduler_address
    settings: dict[str, Any] = dataclasses.asdict(agent_settings(options, scheduler, slots, names))
    settings["logging"] = {
        "level": options.logging_level,
        "paths": options.logging_paths,
        "config_file": options.logging_config_file,
    }
    return Launch(settings)
