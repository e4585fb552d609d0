"""Command line before environment before file before default: every option of every command, and of `scaler FILE`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from scaler.config import load, models
from scaler.config.command_line import CommandLine, Typed
from scaler.config.options import Component, Option
from scaler.config.retired import RETIRED
from scaler.config.sources import Given
from scaler.config.table import BAREMETAL_NATIVE, CLUSTER, OBJECT_STORAGE, SCHEDULER, WORKER_MANAGER
from scaler.drivers.baremetal_native import BaremetalOptions
from scaler.managers import tables
from scaler.stack.plan import Plan, read_plan

MANAGER = [BAREMETAL_NATIVE, WORKER_MANAGER]
TABLE = '[[worker_manager]]\ntype = "native"\n'
# What a file, the environment and a command line say, where numbers will not do.
SAID = {
    "bind_address": ("tcp://127.0.0.1:1001", "tcp://127.0.0.1:1002", "tcp://127.0.0.1:1003"),
    "scheduler_address": ("tcp://127.0.0.1:1001", "tcp://127.0.0.1:1002", "tcp://127.0.0.1:1003"),
    "object_storage_address": ("tcp://127.0.0.1:1001", "tcp://127.0.0.1:1002", "tcp://127.0.0.1:1003"),
    "advertised_object_storage_address": ("tcp://127.0.0.1:1001", "tcp://127.0.0.1:1002", "tcp://127.0.0.1:1003"),
    "worker_scheduler_address": ("tcp://127.0.0.1:1001", "tcp://127.0.0.1:1002", "tcp://127.0.0.1:1003"),
    "policy_content": ("allocate=capability", "allocate=even_load", "allocate=capability; scaling=no"),
    "per_worker_capabilities": ("a=1", "b=2", "c=3"),
}


class Command:
    """How a command gets from its sources to its options."""

    def __init__(self, components: list[Component], own: list[type[BaseModel]], title: str) -> None:
        self.components = components
        self.models = own
        self.title = title

    def options(self) -> list[Option]:
        return [option for component in self.components for option in component.options]

    def gather(self, typed: Typed) -> Given:
        if WORKER_MANAGER in self.components:
            return tables.gather(typed, "baremetal_native", self.components)
        return load.gather(typed, self.components)

    def value(self, given: Given, name: str) -> Any:
        """As the command uses it, checked."""
        given.values.setdefault("bind_address", "tcp://127.0.0.1:9")
        given.values.setdefault("scheduler_address", "tcp://127.0.0.1:9")
        model = next(each for each in self.models if name in each.model_fields)
        return getattr(load.validate(model, given, self.components), name)


COMMANDS = {
    "scaler_scheduler": Command([SCHEDULER], [models.SchedulerOptions], "[scheduler]\n"),
    "scaler_object_storage_server": Command(
        [OBJECT_STORAGE], [models.ObjectStorageOptions], "[object_storage_server]\n"
    ),
    "scaler_cluster": Command([CLUSTER], [models.ClusterOptions], "[cluster]\n"),
    "scaler_worker_manager": Command(MANAGER, [BaremetalOptions, models.WorkerManagerOptions], TABLE),
}
EVERY = [
    pytest.param(command, option, id=f"{name}-{option.name}")
    for name, command in COMMANDS.items()
    for option in command.options()
]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each.variable for command in COMMANDS.values() for each in command.options()]:
        monkeypatch.delenv(name, raising=False)
    for each in RETIRED:
        monkeypatch.delenv(each.variable, raising=False)
    monkeypatch.delenv("SCALER_KEY", raising=False)


def said(option: Option) -> tuple[str, str, str]:
    """What the file, the environment and the command line say. Each is a text: a file's number may be one."""
    if option.kind == "flag":
        return "false", "true", "true"
    if option.name == "write_through":
        return "auto", "off", "on"  # under `scaler FILE` auto is on
    if option.choices:
        return option.choices[0], option.choices[1], option.choices[-1]
    return SAID.get(option.name, ("7", "8", "9"))


def typed_as(option: Option, text: str) -> list[str]:
    if option.kind == "positional":
        return [text]
    return [option.flag] if option.kind == "flag" else [option.flag, text]


@pytest.mark.parametrize(("command", "option"), EVERY)
def test_of_four_sources_the_first_that_says_something_counts(
    command: Command, option: Option, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file, in_environment, on_line = said(option)
    path = tmp_path / "config.toml"
    path.write_text(f'{command.title}{option.name} = "{in_file}"\n')
    line = command.title.count("\n") + 1

    def read(*arguments: str) -> tuple[Any, list[str]]:
        given = command.gather(CommandLine("x", "", command.components).read(arguments))
        return command.value(given, option.name), given.words

    alone, words = read(*typed_as(option, in_file)) if option.kind != "flag" else (False, [])
    assert read("-c", str(path)) == (alone, words)

    monkeypatch.setenv(option.variable, in_environment)
    second, words = read("-c", str(path))
    expected, _ = read(*typed_as(option, in_environment))
    assert second == expected
    assert second != alone
    (word,) = words
    assert word.startswith(f"{option.variable} overrides {option.name} in {path}, line {line}, [")

    third, words = read("-c", str(path), *typed_as(option, on_line))
    monkeypatch.delenv(option.variable)
    assert (third, words) == read(*typed_as(option, on_line))


def plan_of(path: Path, text: str) -> Plan:
    path.write_text(text)
    return read_plan(str(path))


PARTS: dict[str, tuple[list[Component], Callable[[str], str]]] = {
    "scheduler": ([SCHEDULER], lambda line: f"[scheduler]\n{line}"),
    "object_storage_server": ([OBJECT_STORAGE], lambda line: f"[object_storage_server]\n{line}"),
    "worker_manager": (MANAGER, lambda line: f"{TABLE}{line}"),
}


@pytest.mark.parametrize(
    ("part", "option"),
    [
        pytest.param(part, option, id=f"{part}-{option.name}")
        for part, (components, _) in PARTS.items()
        for component in components
        for option in component.options
        # Of the other mode and engine there is nothing to plan.
        if option.name not in ("mode", "policy_engine_type")
    ],
)
def test_in_a_file_for_scaler_the_environment_counts_for_every_option(
    part: str, option: Option, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file, in_environment, _ = said(option)
    _, begin = PARTS[part]
    needed = {"scheduler": "bind_address", "object_storage_server": "bind_address"}.get(part, "scheduler_address")
    rest = "" if option.name == needed else f'{needed} = "tcp://127.0.0.1:9"\n'
    rest += 'mode = "fixed"\n' if part == "worker_manager" else ""
    path = tmp_path / "config.toml"
    before = plan_of(path, begin(f'{rest}{option.name} = "{in_file}"\n'))
    wanted = plan_of(path, begin(f'{rest}{option.name} = "{in_environment}"\n'))
    monkeypatch.setenv(option.variable, in_environment)
    found = plan_of(path, begin(f'{rest}{option.name} = "{in_file}"\n'))
    assert _plain(found) == _plain(wanted)
    assert _plain(found) != _plain(before)
    line = begin(rest).count("\n") + 1
    (word,) = found.words
    assert word.startswith(f"{option.variable} overrides {option.name} in {path}, line {line}, [{part}]")


def _plain(plan: Plan) -> list[Any]:
    """Lists for tuples, and the environment's list of one for a file's text."""
    found = []
    for part in plan.parts:
        options = part.settings.get("options", {})
        if isinstance(options.get("logging_paths"), str):
            options["logging_paths"] = [options["logging_paths"]]
        found.append((part.name, part.module, part.settings))
    return found


def test_a_key_in_the_environment_goes_before_a_key_file_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SCALER_KEY, which is no option, before SCALER_KEY_FILE, as everywhere."""
    path = tmp_path / "config.toml"
    path.write_text('[scheduler]\nkey_file = "a"\n')
    monkeypatch.setenv("SCALER_KEY", "scaler1:secret")
    monkeypatch.setenv("SCALER_KEY_FILE", "b")
    given = COMMANDS["scaler_scheduler"].gather(Typed({}, str(path)))
    assert "key_file" not in given.values
    assert given.words == [f"SCALER_KEY overrides key_file in {path}, line 2, [scheduler] key_file"]
    given = COMMANDS["scaler_scheduler"].gather(Typed({"key_file": "c"}, str(path)))
    assert given.values["key_file"] == "c"


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_what_a_file_gives_need_not_be_typed(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    (required,) = [option for option in command.options() if option.required]
    path.write_text(f'{command.title}{required.name} = "tcp://127.0.0.1:1001"\n')
    given = command.gather(CommandLine("x", "", command.components).read(["-c", str(path)]))
    for model in command.models:
        load.validate(model, given, command.components)
    assert given.values[required.name] == "tcp://127.0.0.1:1001"


@pytest.mark.parametrize("each", RETIRED, ids=lambda each: each.name)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_option_without_meaning_is_answered_wherever_it_is_given(
    command: Command, each: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'{command.title}{each.name.replace("_", "-")} = "1"\n')
    monkeypatch.setenv(each.variable, "1")
    given = command.gather(Typed({}, str(path)))
    line, variable = given.words
    assert line.startswith(f"{each.name} has no effect: {each.answer} ({path}, line {command.title.count(chr(10)) + 1}")
    assert variable == f"{each.name} has no effect: {each.answer} (the environment variable {each.variable})"
    assert given.values == {}
