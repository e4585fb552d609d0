"""The host of a driver in fixed mode: what it does when its group dies, ends in peace, or is told to end."""

import logging
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from scaler.drivers import baremetal_native
from scaler.managers.api import Context, Launch, Owner, Unit, UnitState, WorkerGroup
from scaler.managers.fixed import FixedManager
from scaler.managers.loading import Driver

PATIENCE = 20.0

pytestmark = pytest.mark.timeout(60)


class FakeEnding:
    """Stands in for `scaler.part.Ending`: the test is the signal."""

    def __init__(self) -> None:
        self.stop: Callable[[], None] = lambda: None
        self.drain: Callable[[], None] = lambda: None

    def watch(self, on_stop: Callable[[], None], on_drain: Callable[[], None]) -> None:
        self.stop, self.drain = on_stop, on_drain


class FakeDriver:
    """A driver whose units are as the test says."""

    def __init__(self) -> None:
        self.units: dict[str, Unit] = {}
        self.started: list[str] = []
        self.ended: list[tuple[str, float]] = []
        self.first = UnitState.RUNNING

    def start(self, context: Context, requests: Sequence[WorkerGroup]) -> list[Unit]:
        made = [Unit(group.id, "x", self.first, "as the test wants it") for group in requests]
        for unit in made:
            self.started.append(unit.id)
            self.units[unit.id] = unit
        return made

    def heartbeat(self, context: Context) -> list[Unit]:
        return list(self.units.values())

    def shutdown(self, context: Context, ids: Sequence[str]) -> None:
        for each in ids:
            self.ended.append((each, context.shutdown_seconds))
            self.units.pop(each, None)

    def becomes(self, state: UnitState) -> None:
        name = self.started[-1]
        self.units[name] = Unit(name, "x", state, "as the test wants it")


def group(number: int) -> WorkerGroup:
    return WorkerGroup(f"group-{number}", 2, {}, Launch({}))


def run(driver: FakeDriver, ending: FakeEnding, on_ready: Callable[[Unit], None]) -> int:
    context = Context(Owner("", "m"), None, logging.getLogger("test"), shutdown_seconds=9.0)
    manager = FixedManager(
        Driver(None, driver),  # type: ignore[arg-type]
        context,
        group,
        0.01,
        on_ready,
        first_pause=0.01,
        longest_pause=0.02,
    )
    return manager.run(ending)  # type: ignore[arg-type]


def test_group_that_dies_is_replaced_under_a_new_name() -> None:
    driver, ending = FakeDriver(), FakeEnding()

    def ready(unit: Unit) -> None:
        if len(driver.started) < 3:
            driver.becomes(UnitState.FAILED)
        else:
            ending.drain()

    assert run(driver, ending, ready) == 0
    assert driver.started == ["group-1", "group-2", "group-3"]
    assert [name for name, _ in driver.ended] == driver.started


def test_group_that_the_infrastructure_forgot_is_replaced() -> None:
    driver, ending = FakeDriver(), FakeEnding()

    def ready(unit: Unit) -> None:
        if len(driver.started) == 1:
            driver.units.clear()
        else:
            ending.drain()

    assert run(driver, ending, ready) == 0
    assert driver.started == ["group-1", "group-2"]


def test_group_that_ends_in_peace_ends_the_manager() -> None:
    driver = FakeDriver()
    assert run(driver, FakeEnding(), lambda unit: driver.becomes(UnitState.SUCCEEDED)) == 0
    assert driver.started == ["group-1"]


def test_group_that_never_came_up_ends_the_manager_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    driver = FakeDriver()
    driver.first = UnitState.FAILED
    assert run(driver, FakeEnding(), lambda unit: None) == 1
    assert "as the test wants it" in caplog.text


def test_drain_gives_running_tasks_the_time_that_was_asked_for() -> None:
    driver, ending = FakeDriver(), FakeEnding()
    assert run(driver, ending, lambda unit: ending.drain()) == 0
    assert driver.ended == [("group-1", 9.0)]


def test_interrupt_gives_running_tasks_little_time() -> None:
    driver, ending = FakeDriver(), FakeEnding()
    assert run(driver, ending, lambda unit: ending.stop()) == 0
    assert driver.ended[0][1] < 5


def test_driver_that_raises_is_a_group_that_did_not_start(caplog: pytest.LogCaptureFixture) -> None:
    driver = FakeDriver()

    def start(context: Context, requests: object) -> list[Unit]:
        raise RuntimeError("no such cloud")

    driver.start = start  # type: ignore[method-assign, assignment]
    assert run(driver, FakeEnding(), lambda unit: None) == 1
    assert "no such cloud" in caplog.text


AGENT = """
import signal, sys, threading
from scaler.part import serve_part
from scaler.transport.errors import NobodyThereError

def run(settings, ending, ready):
    if settings.get("fails"):
        raise NobodyThereError("Nobody answers.", "there", "start it")
    ended = threading.Event()
    ending.watch(on_stop=ended.set, on_drain=ended.set)
    ready({"name": "x"})
    ended.wait()
    return settings.get("status", 0)

serve_part(run)
"""


@pytest.fixture
def native(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    """The native driver with a stand-in for the agent's program."""
    (tmp_path / "stand_in_agent.py").write_text(AGENT)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setattr(baremetal_native, "_MODULE", "stand_in_agent")
    context = Context(
        Owner("", "m"), baremetal_native.BaremetalOptions(), logging.getLogger("test"), shutdown_seconds=PATIENCE
    )
    baremetal_native.open(context)
    yield context
    baremetal_native.shutdown(context, list(context.state.parts))


def wanted(name: str, **settings: Any) -> WorkerGroup:
    return WorkerGroup(name, 1, {}, Launch(settings))


def states(context: Context) -> dict[str, UnitState]:
    return {unit.id: unit.state for unit in baremetal_native.heartbeat(context)}


def test_native_group_is_a_process_that_ends_when_told(native: Context) -> None:
    (unit,) = baremetal_native.start(native, [wanted("a")])
    assert unit.state is UnitState.RUNNING
    (again,) = baremetal_native.start(native, [wanted("a")])
    assert again.infrastructure_id == unit.infrastructure_id
    assert states(native) == {"a": UnitState.RUNNING}
    process = os.pidfd_open(int(unit.infrastructure_id))
    baremetal_native.shutdown(native, ["a", "unknown"])
    assert select.select([process], [], [], 0)[0], "it still runs"
    os.close(process)
    assert states(native) == {}


def test_native_group_that_is_killed_is_seen_with_the_signal(native: Context) -> None:
    (unit,) = baremetal_native.start(native, [wanted("a")])
    process = os.pidfd_open(int(unit.infrastructure_id))
    os.kill(int(unit.infrastructure_id), signal.SIGKILL)
    select.select([process], [], [])
    os.close(process)
    (seen,) = baremetal_native.heartbeat(native)
    assert seen.state is UnitState.FAILED
    assert "SIGKILL" in seen.detail


def test_native_group_that_cannot_start_says_why_and_others_do(native: Context) -> None:
    bad, good = baremetal_native.start(native, [wanted("bad", fails=True), wanted("good")])
    assert bad.state is UnitState.FAILED
    assert "Nobody answers." in bad.detail
    assert good.state is UnitState.RUNNING


def test_two_contexts_know_nothing_of_each_other(native: Context) -> None:
    other = Context(Owner("", "n"), native.options, native.log, state=None)
    baremetal_native.open(other)
    baremetal_native.start(native, [wanted("a")])
    assert baremetal_native.heartbeat(other) == []
    assert baremetal_native.cleanup(other, None, False) == []  # type: ignore[arg-type]
