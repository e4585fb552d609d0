"""Options, short flags and defaults of opengris-scaler, row by row: each works here, or is answered by one line."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from scaler.cli import older
from scaler.config import load, models, retired
from scaler.config.command_line import CommandLine
from scaler.config.options import Component
from scaler.config.sources import OLDER_TABLES, TABLES
from scaler.config.table import BAREMETAL_NATIVE, CLUSTER, OBJECT_STORAGE, SCHEDULER, WORKER_MANAGER
from scaler.drivers.baremetal_native import BaremetalOptions
from scaler.node.settings import available_cpus

ROOT = Path(__file__).parents[2]
ADDRESS = "tcp://127.0.0.1:8516"
# In place of a default: the option is accepted and has no effect.
ANSWERED = object()

Row = tuple[str, str, Any]

LOGGING: list[Row] = [
    ("logging_level", "-ll", "INFO"),
    ("logging_paths", "-lp", ["/dev/stdout"]),
    ("logging_config_file", "-lcf", None),
]
TLS: list[Row] = [("tls_cert", "-tc", ANSWERED), ("tls_key", "-tk", ANSWERED)]

# None where there is no value of its own: the scheduler starts a storage, tells its address, and so on.
SCHEDULER_ROWS: list[Row] = [
    ("object_storage_address", "-osa", None),
    ("advertised_object_storage_address", "-aosa", None),
    ("monitor_address", "-ma", ANSWERED),
    ("protected", "-p", False),
    ("max_number_of_tasks_waiting", "-mt", ANSWERED),
    ("client_timeout_seconds", "-ct", 60),
    ("worker_timeout_seconds", "-wt", 60),
    ("object_retention_seconds", "-ot", ANSWERED),
    ("load_balance_seconds", "-ls", ANSWERED),
    ("load_balance_trigger_times", "-lbt", ANSWERED),
    ("event_loop", "-el", ANSWERED),
    ("io_threads", "-it", ANSWERED),
    ("policy_engine_type", "-et", "simple"),
    # Of old, and here, nothing scales that was not told to.
    ("policy_content", "-pc", "allocate=even_load; scaling=no"),
    ("scale_down_cooldown_seconds", "-sdc", 30),
    ("status_report_interval_seconds", "-sri", ANSWERED),
    ("object_report_limit", "-orl", ANSWERED),
    ("adapter_webhook_urls", "-awu", ANSWERED),
    ("worker_io_threads", "-wit", ANSWERED),
    *TLS,
    *LOGGING,
]
STORAGE_ROWS: list[Row] = [("identity", "", ANSWERED), *TLS, *LOGGING]
WORKER_ROWS: list[Row] = [
    ("object_storage_address", "-osa", None),
    ("per_worker_capabilities", "-pwc", []),
    ("per_worker_task_queue_size", "-wtqs", 1000),
    ("heartbeat_interval_seconds", "-his", 2),
    ("task_timeout_seconds", "-tts", 0),
    ("death_timeout_seconds", "-dts", 300),
    ("garbage_collect_interval_seconds", "-gc", 30),
    ("trim_memory_threshold_bytes", "-tm", 1 << 30),
    ("hard_processor_suspend", "-hps", ANSWERED),
    ("io_threads", "-it", ANSWERED),
    ("worker_io_threads", "-wit", ANSWERED),
    ("event_loop", "-el", ANSWERED),
    ("preload", "", None),
    *TLS,
    *LOGGING,
]
MANAGER_ROWS: list[Row] = [
    ("worker_scheduler_address", "-wsa", None),
    # There, it is required; here, the driver's name is the default.
    ("worker_manager_id", "-wmi", None),
    ("max_task_concurrency", "-mtc", None),
    # Without one of its own, the scheduler's 30 count.
    ("scale_down_cooldown_seconds", "-sdc", None),
    ("adapter_web_host", "", ANSWERED),
    ("adapter_web_port", "-p", ANSWERED),
    ("mode", "", "dynamic"),
    ("worker_type", "", ""),
    *WORKER_ROWS,
]
CLUSTER_ROWS: list[Row] = [
    ("num_of_workers", "-n", None),
    ("worker_names", "-wn", ANSWERED),
    ("no_random_worker_ids", "-nrwi", ANSWERED),
    *WORKER_ROWS,
]
# Option, its short flag, and the option that it is now.
MANAGER_RENAMED = [
    ("public_scheduler_address", "-psa", "worker_scheduler_address"),
    ("max_workers", "-mw", "max_task_concurrency"),
    ("num_of_workers", "-n", "max_task_concurrency"),
]

MANAGER = [BAREMETAL_NATIVE, WORKER_MANAGER]
COMMANDS: dict[str, tuple[list[Component], list[type], list[Row]]] = {
    "scaler_scheduler": ([SCHEDULER], [models.SchedulerOptions], SCHEDULER_ROWS),
    "scaler_object_storage_server": ([OBJECT_STORAGE], [models.ObjectStorageOptions], STORAGE_ROWS),
    "scaler_worker_manager": (MANAGER, [BaremetalOptions, models.WorkerManagerOptions], MANAGER_ROWS),
    "scaler_cluster": ([CLUSTER], [models.ClusterOptions], CLUSTER_ROWS),
}
ROWS = [
    pytest.param(command, *row, id=f"{command}-{row[0]}") for command, (_, _, rows) in COMMANDS.items() for row in rows
]
VALUES = {
    "logging_level": "DEBUG",
    "policy_content": "allocate=capability",
    "policy_engine_type": "waterfall_v1",
    "mode": "fixed",
    "per_worker_capabilities": "linux,cpu=4",
}


def value_of(name: str) -> str:
    return VALUES.get(name, ADDRESS if name.endswith("_address") else "7")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        option.variable for components, _, _ in COMMANDS.values() for each in components for option in each.options
    ]
    for name in [*names, *(each.variable for each in retired.RETIRED)]:
        monkeypatch.delenv(name, raising=False)


def read(command: str, *arguments: str) -> tuple[dict[str, Any], list[str]]:
    """All values of a command's options, and what it says."""
    components, own, _ = COMMANDS[command]
    given = load.gather(CommandLine(command, "", components).read([ADDRESS, *arguments]), components)
    values: dict[str, Any] = {}
    for model in own:
        values |= dict(load.validate(model, given, components))
    return values, given.words


@pytest.mark.parametrize(("command", "name", "short", "default"), ROWS)
def test_row(command: str, name: str, short: str, default: Any) -> None:
    flag = "--" + name.replace("_", "-")
    values, words = read(command)
    assert words == []
    is_flag = default is False or (name in retired.BY_NAME and not retired.BY_NAME[name].takes_value)
    for each in filter(None, (flag, short)):
        found, words = read(command, each) if is_flag else read(command, each, value_of(name))
        if default is ANSWERED:
            assert words == [retired.answer(name)]
            assert found == values
            continue
        assert words == []
        assert values[name] == default
        assert found[name] != default
        assert {key: value for key, value in found.items() if key != name} == {
            key: value for key, value in values.items() if key != name
        }


@pytest.mark.parametrize(("name", "short", "now"), MANAGER_RENAMED)
def test_renamed_option_works_and_tells_the_new_one(name: str, short: str, now: str) -> None:
    value = value_of(now)
    wanted, _ = read("scaler_worker_manager", "--" + now.replace("_", "-"), value)
    for flag in ("--" + name.replace("_", "-"), short):
        found, words = read("scaler_worker_manager", flag, value)
        assert found == wanted
        assert words == [f"--{name.replace('_', '-')} is called --{now.replace('_', '-')} now"]


@pytest.mark.parametrize(
    ("components", "name", "now"),
    [
        ([SCHEDULER], "scheduler_address", "bind_address"),
        ([OBJECT_STORAGE], "object_storage_address", "bind_address"),
        *((MANAGER, name, now) for name, _, now in MANAGER_RENAMED),
        ([CLUSTER], "max_task_concurrency", "num_of_workers"),
    ],
)
def test_renamed_key_works_and_tells_the_new_one(
    components: list[Component], name: str, now: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[{components[0].table}]\n{name} = "{value_of(now)}"\n')
    given = load.gather(CommandLine("x", "", components).read(["-c", str(path)]), components)
    assert given.values == {now: value_of(now)}
    assert given.words == [f"{name} is called {now} now ({path}, line 2, [{components[0].table}] {name})"]
    path.write_text(f'[{components[0].table}]\n{name} = "1"\n{now} = "2"\n')
    given = load.gather(CommandLine("x", "", components).read(["-c", str(path)]), components)
    assert given.values == {now: "2"}
    assert given.words == [f"{name} means nothing beside {now} ({path}, line 2, [{components[0].table}] {name})"]


def test_number_of_workers_is_that_of_the_cpus() -> None:
    help_text = CommandLine("x", "", MANAGER).help()
    told = r"--max-task-concurrency N +most workers at a time; .* \(default:\s+number\s+of\s+CPUs"
    assert re.search(told, help_text)
    assert available_cpus() >= 1


@pytest.mark.parametrize("typed", [["-mtc", "-1"], ["--max-task-concurrency=-1"], ["-mw", "-1"], []])
def test_no_number_of_workers_is_the_drivers_own(typed: list[str]) -> None:
    values, _ = read("scaler_worker_manager", *typed)
    assert values["max_task_concurrency"] is None


def test_network_backend_in_the_environment_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALER_NETWORK_BACKEND", "tcp_zmq")
    for command in COMMANDS:
        _, words = read(command)
        assert words == [
            f"{retired.answer('network_backend')} (the environment variable SCALER_NETWORK_BACKEND)",
        ]


def test_every_table_is_known() -> None:
    assert {"object_storage_server", "scheduler", "worker_manager", "gui", "top", "cluster"} <= set(TABLES)
    assert set(OLDER_TABLES) == {
        *("ui", "webui"),
        *(f"{name}_worker_adapter" for name in ("native", "fixed_native", "ecs", "symphony", "orb")),
        *(f"{name}_worker_manager" for name in ("native", "ecs", "symphony", "aws_hpc")),
    }


COMMAND_NAMES = {
    *(f"scaler_worker_adapter_{name}" for name in ("native", "fixed_native", "symphony", "ecs", "orb")),
    *(f"scaler_worker_manager_{name}" for name in ("baremetal_native", "symphony", "aws_raw_ecs", "aws_hpc_batch")),
    "scaler_symphony_cluster",
}


def test_every_older_command_is_installed() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert {name for name, target in scripts.items() if target == "scaler.cli.older:main"} == COMMAND_NAMES
    assert set(older.MANAGERS) == COMMAND_NAMES
    assert {"scaler", "scaler_scheduler", "scaler_object_storage_server", "scaler_worker_manager"} <= set(scripts)


@pytest.mark.parametrize(
    ("name", "arguments", "code", "told"),
    [
        ("scaler_worker_adapter_native", ["--help"], 0, "usage: scaler_worker_manager baremetal_native ADDRESS"),
        ("scaler_worker_adapter_fixed_native", [], 2, "ADDRESS is missing"),
        ("scaler_worker_adapter_native", [ADDRESS, "-mtc", "0"], 2, "0 workers will not do"),
        ("scaler_worker_adapter_orb", [ADDRESS, "--image-id", "ami-1"], 2, "pip install scaler-plugin-orb"),
        ("scaler_worker_manager_aws_hpc_batch", [ADDRESS], 2, "pip install scaler-plugin-batch"),
    ],
)
def test_older_command_runs_the_new_one_and_tells_it(name: str, arguments: list[str], code: int, told: str) -> None:
    program = f"import sys; sys.argv[0] = '/usr/bin/{name}'; from scaler.cli.older import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stderr.startswith(f"{name} is called scaler_worker_manager {older.MANAGERS[name][0]}")
    assert told in done.stdout + done.stderr
