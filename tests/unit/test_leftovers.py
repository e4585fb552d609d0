"""`cleanup`: what a manager has left is ended, told one by one, and nobody else's is touched."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fake_plugins
import pytest
from scaler.cli import command, worker_manager
from scaler.config.models import WorkerManagerOptions
from scaler.managers.api import (
    Context,
    CredentialsExpired,
    DriverInfo,
    Family,
    OptionModel,
    Resource,
    Scope,
    TemporaryError,
    Throttled,
    Unit,
    UnitState,
)
from scaler.managers.ledger import Ledger, read_entries
from scaler.managers.leftovers import Leftovers
from scaler.managers.loading import Driver
from scaler.transport.errors import ConfigurationError, ThreeLineError


class Cloud:
    """A driver's hooks; `errors` are raised one after the other, by hook."""

    def __init__(self) -> None:
        self.units = {name: Unit(name, f"i-{name}", UnitState.RUNNING) for name in ("a", "b")}
        self.units["old"] = Unit("old", "i-old", UnitState.FAILED)
        self.stubborn: set[str] = set()
        self.resources = ["key-1"]
        self.errors: dict[str, list[Exception]] = {}
        self.cleaned: list[tuple[Scope, bool]] = []
        self.opened: list[Context] = []

    def _raise(self, hook: str) -> None:
        if self.errors.get(hook):
            raise self.errors[hook].pop(0)

    def open(self, context: Context) -> None:
        self.opened.append(context)

    def heartbeat(self, context: Context) -> list[Unit]:
        self._raise("heartbeat")
        return list(self.units.values())

    def shutdown(self, context: Context, ids: Sequence[str]) -> None:
        self._raise("shutdown")
        for each in set(ids) - self.stubborn:
            self.units.pop(each, None)

    def cleanup(self, context: Context, scope: Scope, dry_run: bool) -> list[Resource]:
        self._raise("cleanup")
        self.cleaned.append((scope, dry_run))
        return [Resource("key", name, "would be deleted" if dry_run else "deleted") for name in self.resources]


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cloud = Cloud()
        self.lines: list[str] = []
        self.slept: list[float] = []
        self.made: list[Leftovers] = []

    def leftovers(self) -> Leftovers:
        info = DriverInfo("cloud", Family.CAPACITY, OptionModel)
        options = WorkerManagerOptions.model_validate(
            {"scheduler_address": "tcp://127.0.0.1:1", "state_directory": str(self.folder), "insecure": True}
        )
        driver = Driver(info, self.cloud, None)  # type: ignore[arg-type]
        made = Leftovers(driver, options, OptionModel(), self.lines.append, self.slept.append)
        self.made.append(made)
        return made


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "state")
    yield rig
    for each in rig.made:
        each.close()


def test_units_are_ended_and_what_the_driver_made_is_deleted(rig: Rig) -> None:
    ledger = Ledger(rig.folder)
    ledger.begin()
    ledger.record([("a", 1, [], "started", "i-a"), ("never", 1, [], "intended", "")])
    ledger.close()
    assert rig.leftovers().end(Scope.MANAGER, dry_run=False) == 0
    assert rig.lines == ["unit a (i-a): ended", "unit b (i-b): ended", "key key-1: deleted"]
    assert rig.cloud.units == {}
    assert rig.cloud.cleaned == [(Scope.MANAGER, False)]
    assert read_entries(rig.folder) == []
    assert rig.cloud.opened[0].owner.generation == 1


def test_a_dry_run_changes_nothing(rig: Rig) -> None:
    ledger = Ledger(rig.folder)
    ledger.record([("a", 1, [], "started", "i-a")])
    ledger.close()
    assert rig.leftovers().end(Scope.MANAGER, dry_run=True) == 0
    assert rig.lines == ["unit a (i-a): would be ended", "unit b (i-b): would be ended", "key key-1: would be deleted"]
    assert set(rig.cloud.units) == {"a", "b", "old"}
    assert rig.cloud.cleaned == [(Scope.MANAGER, True)]
    assert [entry.group for entry in read_entries(rig.folder)] == ["a"]


def test_of_a_run_only_what_it_made_besides_units_is_deleted(rig: Rig) -> None:
    assert rig.leftovers().end(Scope.RUN, dry_run=False) == 0
    assert set(rig.cloud.units) == {"a", "b", "old"}
    assert rig.cloud.cleaned == [(Scope.RUN, False)]


def test_units_that_do_not_end_are_told_and_are_an_error(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaler.managers.leftovers._PATIENCE", -1.0)
    rig.cloud.stubborn = {"b"}
    assert rig.leftovers().end(Scope.MANAGER, dry_run=False) == 1
    assert "unit b (i-b): still there" in rig.lines
    assert rig.lines[-1].startswith("1 units still run: try again")


def test_what_passes_is_waited_for(rig: Rig) -> None:
    rig.cloud.errors = {
        "heartbeat": [Throttled("slow", 7.0), TemporaryError("later")],
        "shutdown": [CredentialsExpired("who")],
        "cleanup": [Throttled("slow")],
    }
    assert rig.leftovers().end(Scope.MANAGER, dry_run=False) == 0
    assert rig.slept == [7.0, 2.0, 1.0, 1.0]
    assert len(rig.cloud.opened) == 2
    assert rig.cloud.units == {}


def test_what_does_not_pass_is_three_lines(rig: Rig) -> None:
    rig.cloud.errors = {"heartbeat": [TemporaryError("later") for _ in range(9)]}
    with pytest.raises(ThreeLineError, match="The driver's heartbeat has failed: TemporaryError: later"):
        rig.leftovers().end(Scope.MANAGER, dry_run=False)
    rig.cloud.errors = {"cleanup": [RuntimeError("odd")]}
    rig.made.pop().close()
    with pytest.raises(ThreeLineError, match="The driver's cleanup has failed: RuntimeError: odd"):
        rig.leftovers().end(Scope.MANAGER, dry_run=False)


def test_units_of_a_manager_that_runs_are_its_own_business(rig: Rig) -> None:
    ledger = Ledger(rig.folder)
    try:
        with pytest.raises(ConfigurationError, match="runs already"):
            rig.leftovers()
    finally:
        ledger.close()
    assert rig.cloud.opened == []


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Callable[..., int]:
    """Runs `scaler_worker_manager mine cleanup …` of a plugin whose `cleanup` says what it was called with."""
    source = fake_plugins.WHOLE.replace(
        "def cleanup(context, scope, dry_run):\n    return []",
        "def cleanup(context, scope, dry_run):\n"
        "    text = f'{scope} {dry_run} {context.options.size} {context.owner.manager} {context.owner.cluster}'\n"
        "    from scaler.managers.api import Resource\n"
        "    return [Resource('call', text, 'done')]",
    )
    fake_plugins.install(tmp_path / "site", "mine", source)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    logging.getLogger("scaler").handlers.clear()
    return lambda *arguments: command.run_command(worker_manager._main, ["mine", "cleanup", *arguments])


def test_the_command_needs_no_address(plugin: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    command.run_command(lambda _: __import__("scaler.cli.keys", fromlist=["x"])._main(["create"]), [])
    capsys.readouterr()
    assert plugin("--size", "5", "--dry-run") == 0
    assert re.search(r"call manager True 5 mine [0-9a-f]{16}: done", capsys.readouterr().out)
    assert plugin("--scope=cluster", "-wmi", "other") == 0
    assert re.search(r"call cluster False 3 other [0-9a-f]{16}: done", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no key of the cluster"),
        (["--scope", "all"], "one of run, manager, cluster"),
        (["--insecure"], "ADDRESS is missing"),
        (["--dry-rnu"], "did you mean --dry-run?"),
        (["--size", "0"], "greater than 0"),
    ],
)
def test_what_is_typed_wrongly_is_three_lines(
    arguments: Sequence[str], told: str, plugin: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert plugin(*arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) <= 3


def test_clusters_without_keys_are_told_apart_by_their_address(
    plugin: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    owners = set()
    for address in ("tcp://127.0.0.1:1", "tcp://127.0.0.1:2"):
        assert plugin(address, "--insecure") == 0
        owners.add(capsys.readouterr().out.split()[-2])
    assert len(owners) == 2


def test_help_names_what_it_takes(plugin: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert plugin("--help") == 0
    text = capsys.readouterr().out
    told: Any = [flag for flag in ("--dry-run", "--scope", "--size", "--worker-manager-id") if flag in text]
    assert told == ["--dry-run", "--scope", "--size", "--worker-manager-id"]
    assert "--preload" not in text


def test_secrets_among_a_drivers_options_are_in_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "from pydantic import SecretStr\n" + fake_plugins.WHOLE.replace(
        'option(3, "how large", short="-sz", gt=0)',
        "3\n    pass_word: SecretStr | None = option(None, 'key', secret=True)",
    ).replace(
        "def cleanup(context, scope, dry_run):\n",
        "def cleanup(context, scope, dry_run):\n"
        "    context.log.error('with %s', context.options.pass_word.get_secret_value())\n",
    )
    fake_plugins.install(tmp_path / "site", "discreet", source)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("SCALER_PASS_WORD", "open sesame")
    arguments = ["discreet", "cleanup", "tcp://127.0.0.1:1", "--insecure"]
    assert command.run_command(worker_manager._main, arguments) == 0
    text = "".join(capsys.readouterr())
    logging.getLogger("scaler").handlers.clear()
    assert "with ***" in text
    assert "sesame" not in text
