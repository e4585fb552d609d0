"""Configuration files and commands of other versions' published pages, as they are there, up to their placeholders."""

import re
import shlex
from pathlib import Path

import pytest
from scaler.cli import command, object_storage_server, older, scheduler, stack, worker_manager
from scaler.config import load
from scaler.config.command_line import CommandLine
from scaler.config.fields import component_of
from scaler.config.models import ObjectStorageOptions, SchedulerOptions, WorkerManagerOptions
from scaler.config.options import Component
from scaler.config.sources import read_document
from scaler.config.table import OBJECT_STORAGE, SCHEDULER, WORKER_MANAGER
from scaler.drivers.baremetal_native import BaremetalOptions
from scaler.managers import tables
from scaler.managers.api import OptionModel
from scaler.stack.plan import read_plan
from scaler.transport.errors import ConfigurationError
from scaler_plugin_ecs.options import EcsOptions

PUBLISHED = Path(__file__).parents[1] / "published"
COMMANDS = (PUBLISHED / "commands.txt").read_text().splitlines()
# Whose drivers are there, and the line that names the driver where it is not.
HERE = ("ecs.toml", "ecs-manager.toml")
ELSEWHERE = {
    "batch.toml": (2, "pip install scaler-plugin-batch"),
    "batch-elsewhere.toml": (2, "pip install scaler-plugin-batch"),
    "orb-requirements.toml": (2, "pip install scaler-plugin-orb"),
    "orb-image.toml": (2, "pip install scaler-plugin-orb"),
    "orb-adapter.toml": (1, "pip install scaler-plugin-orb"),
}


FILES = (*HERE, *ELSEWHERE)


class BatchOptions(OptionModel):
    """Of the options that the driver has, those that the pages use; likewise below."""

    job_queue: str
    job_definition: str
    s3_bucket: str
    aws_region: str = "us-east-1"
    max_concurrent_jobs: int = 100
    job_timeout_minutes: int = 60


class OrbOptions(OptionModel):
    image_id: str | None = None
    python_version: str | None = None
    requirements_txt: str | None = None
    instance_type: str = "t2.micro"
    aws_region: str = "us-east-1"


MODELS = {
    "aws_raw_ecs": EcsOptions,
    "aws_hpc": BatchOptions,
    "orb_aws_ec2": OrbOptions,
    "baremetal_native": BaremetalOptions,
}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    components = [SCHEDULER, OBJECT_STORAGE, WORKER_MANAGER, *(_components(driver)[0] for driver in MODELS)]
    for option in (option for component in components for option in component.options):
        monkeypatch.delenv(option.variable, raising=False)


def _components(driver: str) -> list[Component]:
    return [component_of(MODELS[driver], "worker_manager"), WORKER_MANAGER]


def filled(text: str) -> str:
    """With an address for what the reader is told to fill in, and what their shell puts in."""
    return re.sub(r"\$SCALER_\w+", "mine", re.sub(r"<\w+>", "192.0.2.1", text))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files, filled in, in the working directory."""
    for name in FILES:
        (tmp_path / name).write_text(filled((PUBLISHED / name).read_text()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_files_are_here() -> None:
    assert {path.name for path in PUBLISHED.glob("*.toml")} == set(FILES)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_file_says_what_to_install(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    line, mend = ELSEWHERE[name]
    file = str(PUBLISHED / name)
    assert command.run_command(stack._main, [file]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].startswith(f"  where: {file}, line {line}, [")
    assert lines[2] == f"  to do: {mend}"
    assert command.run_command(worker_manager._main, ["-c", file]) == 2
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.parametrize("name", FILES)
def test_all_keys_of_a_file_load_once_the_driver_is_there(name: str, folder: Path) -> None:
    (table,) = tables.manager_tables(read_document(name))
    components = _components(table.driver)
    given = table.values(components)
    if name == "orb-adapter.toml":
        # On those pages it is typed.
        given.values["scheduler_address"] = "tcp://192.0.2.1:8516"
    options = load.validate(WorkerManagerOptions, given, components)
    own = load.validate(MODELS[table.driver], given, components)
    assert set(given.values) == options.model_fields_set | own.model_fields_set


def test_older_table_and_its_options_without_meaning_are_told(folder: Path) -> None:
    (table,) = tables.manager_tables(read_document("orb-adapter.toml"))
    words = table.values(_components(table.driver)).words
    assert words[0] == (
        '[orb_worker_adapter] is [[worker_manager]] with type = "orb_aws_ec2" now (orb-adapter.toml, line 1)'
    )
    assert [word.split()[0] for word in words[1:]] == ["adapter_web_host", "adapter_web_port"]


def test_scheduler_and_storage_of_a_file_are_planned(tmp_path: Path) -> None:
    text = (PUBLISHED / "ecs.toml").read_text()
    file = tmp_path / "config.toml"
    file.write_text(text[: text.index("[[worker_manager]]")])
    storage, scheduler = read_plan(str(file)).parts
    assert storage.settings["address"] == "tcp://127.0.0.1:8517"
    assert scheduler.settings["address"] == "tcp://0.0.0.0:8516"
    assert scheduler.settings["object_storage"] == "tcp://127.0.0.1:8517"


@pytest.mark.parametrize("line", COMMANDS)
def test_command_is_read(line: str, folder: Path) -> None:
    program, *arguments = shlex.split(filled(line))
    if program == "scaler_scheduler":
        typed = scheduler.COMMAND.read(arguments)
        given = load.gather(typed, [SCHEDULER])
        load.validate(SchedulerOptions, given, [SCHEDULER])
    elif program == "scaler_object_storage_server":
        typed = object_storage_server.COMMAND.read(arguments)
        given = load.gather(typed, [OBJECT_STORAGE])
        load.validate(ObjectStorageOptions, given, [OBJECT_STORAGE])
    else:
        driver, *rest = [*older.MANAGERS.get(program, ()), *arguments]
        components = _components(driver)
        given = tables.gather(CommandLine(program, "", components).read(rest), driver, components)
        load.validate(WorkerManagerOptions, given, components)
        load.validate(MODELS[driver], given, components)
    assert all("adapter_web" in word or "orb_worker_adapter" in word for word in given.words)


def test_unfilled_placeholder_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="is no host name"):
        load.validate(
            SchedulerOptions,
            load.gather(scheduler.COMMAND.read(["tcp://<SCHEDULER_IP>:8516"]), [SCHEDULER]),
            [SCHEDULER],
        )
