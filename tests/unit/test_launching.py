"""Every option of workers reaches their agents, by settings and by a command line alike."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import pytest
from scaler.cli import cluster
from scaler.config import load
from scaler.config.models import ClusterOptions, WorkerManagerOptions, WorkerOptions
from scaler.config.table import CLUSTER
from scaler.managers.api import Launch
from scaler.managers.launching import Names, agent_settings, launch
from scaler.node.settings import AgentSettings

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
    "preload": "pkg:load(-1, a='b c')",
    "key_file": "/k",
    "insecure": True,
    "compression": "zstd",
    "logging_level": "DEBUG",
    "logging_paths": ["/log", "-"],
    "logging_config_file": "/log.conf",
}
# The manager's own business.
NOT_FOR_AGENTS = {
    *("worker_manager_id", "max_task_concurrency", "shutdown_timeout_seconds", "state_directory"),
    "scale_down_cooldown_seconds",
}
NAMES = Names("name", "manager", "group")


def launched(given: dict[str, Any], token: str = "") -> Launch:
    options = WorkerManagerOptions.model_validate(given)
    return launch(options, 5, dict(options.per_worker_capabilities), NAMES, token)


def test_every_option_of_workers_is_known_here() -> None:
    assert set(GIVEN) | NOT_FOR_AGENTS == set(WorkerManagerOptions.model_fields)
    assert set(WorkerOptions.model_fields) <= set(GIVEN)
    options = WorkerManagerOptions.model_validate(GIVEN)
    for name, field in WorkerOptions.model_fields.items():
        assert getattr(options, name) != field.default, name


def test_every_option_of_workers_arrives_as_a_setting() -> None:
    settings = launched(GIVEN).settings
    assert settings["scheduler"] == "tcp://10.0.0.2:2"
    assert settings["object_storage"] == "tcp://10.0.0.3:3"
    assert (settings["key_file"], settings["insecure"], settings["compression"]) == ("/k", True, "zstd")
    assert settings["connect_timeout"] == 15
    assert settings["logging"] == {"level": "DEBUG", "paths": ["/log", "-"], "config_file": "/log.conf"}
    node = settings["node"]
    assert (node["slots"], node["name"], node["manager"], node["group"]) == (5, "name", "manager", "group")
    assert node["capabilities"] == {"linux": -1, "gpu": 2}
    assert (node["queue_size"], node["heartbeat"], node["task_timeout"], node["death_timeout"]) == (11, 12, 13, 14)
    assert (node["memory_limit"], node["recycle"]) == (16 << 20, 19)
    executor = node["executor"]
    assert (executor["collect_interval"], executor["trim_threshold"]) == (17, 18 << 20)
    assert executor["preload"] == "pkg:load(-1, a='b c')"
    assert executor["path"] == [os.getcwd()]


def by_command(arguments: list[str]) -> tuple[AgentSettings, ClusterOptions]:
    """What `scaler_cluster` makes of them."""
    given = load.gather(cluster.COMMAND.read(arguments), [CLUSTER])
    assert given.words == []
    options = load.validate(ClusterOptions, given, [CLUSTER])
    names = Names(options.worker_name, options.worker_manager_id, options.worker_group_id)
    return agent_settings(options, options.scheduler_address, options.num_of_workers, names), options


@pytest.mark.parametrize("left_out", [None, *WorkerOptions.model_fields])
def test_every_option_of_workers_arrives_by_the_command(left_out: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SCALER_")]:
        monkeypatch.delenv(name)
    given = {name: value for name, value in GIVEN.items() if name != left_out}
    started = launched(given)
    program, *arguments = started.command()
    assert program == "scaler_cluster"
    settings, options = by_command(arguments)
    told = dict(started.settings)
    logging = told.pop("logging")
    assert dataclasses.asdict(settings) == {**told, "key_file": ""}
    assert [options.logging_level, options.logging_paths, options.logging_config_file] == list(logging.values())


def test_what_is_not_given_is_not_typed() -> None:
    started = launched({"scheduler_address": "tcp://10.0.0.1:1"})
    expected = ["tcp://10.0.0.1:1", "--num-of-workers", "5"]
    expected += ["--worker-manager-id=manager", "--worker-group-id=group", "--worker-name=name"]
    assert list(started.arguments) == expected
    assert launched({"scheduler_address": "tcp://10.0.0.1:1"}).settings["scheduler"] == "tcp://10.0.0.1:1"


def test_secrets_are_in_the_environment_and_nowhere_else() -> None:
    started = launched({"scheduler_address": "tcp://10.0.0.1:1", "key_file": "/k"}, "scaler1:secret")
    assert started.environment == {"SCALER_KEY": "scaler1:secret"}
    assert "secret" not in repr(started) + repr(started.settings)
    assert "/k" not in started.command()
    assert launched({"scheduler_address": "tcp://10.0.0.1:1", "insecure": True}).environment == {"SCALER_INSECURE": "1"}
    assert launched({"scheduler_address": "tcp://10.0.0.1:1"}).environment == {}


def test_capabilities_are_the_groups() -> None:
    options = WorkerManagerOptions.model_validate({**GIVEN, "per_worker_capabilities": "linux"})
    started = launch(options, 5, {"linux": -1, "region": 3}, NAMES)
    assert started.settings["node"]["capabilities"] == {"linux": -1, "region": 3}
    assert started.command()[4:6] == ["--per-worker-capabilities", "linux,region=3"]
