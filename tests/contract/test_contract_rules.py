"""Every rule is kept by a sound driver, and is seen to fail: a twin that breaks it fails that rule and no other."""

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy_groups
import toy_jobs
import twins
from scaler.testing.contract import reference
from scaler.testing.driver_contract import RULES, Broken, DriverCase, NotApplicable
from toy_case import toy_case

HERE = Path(__file__).parent
WRONG = {"toy_groups": "zone", "toy_jobs": "queue"}


def broken(case: DriverCase, *names: str) -> dict[str, str]:
    """Of these rules those that the driver breaks, and what is said of it."""
    found = {}
    for name in names:
        try:
            RULES[name].apply(case)
        except NotApplicable:
            continue
        except Broken as error:
            found[name] = str(error)
    return found


def not_tried(case: DriverCase) -> dict[str, str]:
    found = {}
    for name, rule in RULES.items():
        try:
            rule.apply(case)
        except NotApplicable as reason:
            found[name] = str(reason)
    return found


def test_sound_capacity_driver_keeps_every_rule() -> None:
    case = toy_case(toy_groups, WRONG["toy_groups"])
    assert set(not_tried(case).values()) == {"it is about offload drivers"}


def test_sound_offload_driver_keeps_every_rule() -> None:
    case = toy_case(toy_jobs, WRONG["toy_jobs"])
    assert set(not_tried(case).values()) == {"it is about capacity drivers", "the driver has no subcommands"}


@pytest.fixture
def nothing_of_twins_stays() -> Iterator[None]:
    """Ends processes and closes descriptors that a twin has left."""
    yield
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            if "memfd:left-by-twin" in os.readlink(f"/proc/self/fd/{entry}"):
                os.close(int(entry))
    for task in Path("/proc/self/task").iterdir():
        # A twin's thread may end just now.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in (task / "children").read_text().split():
                os.kill(int(child), signal.SIGKILL)
                os.waitpid(int(child), 0)


@pytest.fixture
def twin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that modules can be imported from, until the test ends; with an SDK in it."""
    (tmp_path / "boto3.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("sound", "number"),
    [pytest.param(sound, number, id=f"{sound}-{number}-{twin.rule}")
     for sound, family in (("toy_groups", twins.GROUPS), ("toy_jobs", twins.JOBS))
     for number, twin in enumerate(family)],
)  # fmt: skip
@pytest.mark.usefixtures("nothing_of_twins_stays")
def test_twin_breaks_its_rule_and_no_other(sound: str, number: int, twin_folder: Path) -> None:
    twin = {"toy_groups": twins.GROUPS, "toy_jobs": twins.JOBS}[sound][number]
    text = (HERE / f"{sound}.py").read_text()
    for old, new in twin.changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    name = f"{sound}_twin_{number}"
    (twin_folder / f"{name}.py").write_text(text)
    case = toy_case(importlib.import_module(name), WRONG[sound])
    # It starts an interpreter, and can only fail where something is imported.
    imports = any("import" in new for _, new in twin.changes)
    found = broken(case, *(name for name in RULES if imports or name != "describe_imports_no_sdk"))
    assert set(found) == {twin.rule}, found
    (told,) = found.values()
    rule = RULES[twin.rule]
    assert all(words in told for words in (rule.name, "seen: ", rule.text, rule.mend))


def test_every_rule_has_a_twin() -> None:
    assert {twin.rule for twin in [*twins.GROUPS, *twins.JOBS]} == set(RULES)


def test_the_page_of_rules_is_what_they_say() -> None:
    assert reference.path().read_text() == reference.source(), "run: python -m scaler.testing.contract.reference"


def test_rules_say_what_must_hold_and_what_to_do() -> None:
    for rule in RULES.values():
        assert rule.text.endswith((".", ".)")), rule.name
        assert rule.mend.endswith("."), rule.name
