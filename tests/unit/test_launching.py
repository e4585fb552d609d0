"""Every option of workers reaches their agents."""

import os
from typing import Any

from scaler.config.models import WorkerManagerOptions
from scaler.managers.launching import Names, launch

# Each unlike its default.
GIVEN: dict[str, Any] = {
    "scheduler_address": "tcp://10.0.0.1:1",
    "worker_scheduler_address": "tcp://10.0.0.2:2",
    "object_storage_address": "tcp://10.0.0.3:3",
    "per_worker_capabilities": "linux,gpu=2",
    "per_worker_task_queue_size": 11,
    "heartbeat_interval_seconds": 12,
    "task_timeout_seconds": 13,
    "death_timeout_seconds": 14,
    "connect_timeout_seconds": 15,
    "per_worker_memory_limit": "16MiB",
    "garbage_collect_interval_seconds": 17,
    "trim_memory_threshold_bytes": "18MiB",
    "tasks_per_process": 19,
    "preload": "pkg:load",
    "key_file": "/k",
    "insecure": True,
    "compression": "zstd",
    "logging_level": "DEBUG",
    "logging_paths": ["/log"],
    "logging_config_file": "/log.conf",
}
# The manager's own business.
NOT_FOR_AGENTS = {
    *("worker_manager_id", "max_task_concurrency", "shutdown_timeout_seconds", "scale_down_cooldown_seconds"),
}


def test_every_option_of_workers_arrives() -> None:
    assert set(GIVEN) | NOT_FOR_AGENTS == set(WorkerManagerOptions.model_fields)
    options = WorkerManagerOptions.model_validate(GIVEN)
    settings = launch(options, 5, Names("name", "manager", "group")).settings
    assert settings["scheduler"] == "tcp://10.0.0.2:2"
    assert settings["object_storage"] == "tcp://10.0.0.3:3"
    assert (settings["key_file"], settings["insecure"], settings["compression"]) == ("/k", True, "zstd")
    assert settings["connect_timeout"] == 15
    assert settings["logging"] == {"level": "DEBUG", "paths": ["/log"], "config_file": "/log.conf"}
    node = settings["node"]
    assert (node["slots"], node["name"], node["manager"], node["group"]) == (5, "name", "manager", "group")
    assert node["capabilities"] == {"linux": -1, "gpu": 2}
    assert (node["queue_size"], node["heartbeat"], node["task_timeout"], node["death_timeout"]) == (11, 12, 13, 14)
    assert (node["memory_limit"], node["recycle"]) == (16 << 20, 19)
    executor = node["executor"]
    assert (executor["collect_interval"], executor["trim_threshold"], executor["preload"]) == (17, 18 << 20, "pkg:load")
    assert executor["path"] == [os.getcwd()]


def test_workers_take_the_managers_address_unless_they_have_their_own() -> None:
    options = WorkerManagerOptions.model_validate({"scheduler_address": "tcp://10.0.0.1:1"})
    assert launch(options, 1, Names()).settings["scheduler"] == "tcp://10.0.0.1:1"
