"""The driver of this machine: its agents outlive it, are found by their environment, and are never mistaken."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scaler.drivers import baremetal_native as driver
from scaler.drivers.baremetal_native import agents, processes
from scaler.drivers.baremetal_native.processes import Found, Tag, end_all, hold, running_agents
from scaler.managers.api import Context, Launch, Owner, Resource, Scope, Unit, UnitState, WorkerGroup

PATIENCE = 20.0
CLUSTER = "c0ffee00c0ffee00"

pytestmark = pytest.mark.timeout(120)

# Drains while `finishes` has no reader; `status` is how it ends then.
AGENT = """
import os, threading
from scaler.part import serve_part
from scaler.transport.errors import NobodyThereError

def run(settings, ending, ready):
    if settings.get("fails"):
        raise NobodyThereError("Nobody answers.", "there", "start it")
    ended, drained = threading.Event(), threading.Event()
    ending.watch(on_stop=ended.set, on_drain=drained.set)
    if not settings.get("silent"):
        ready({"name": "x"})
    if settings.get("told"):
        with open(settings["told"], "w") as file:
            file.write(repr((sorted(name for name in os.environ if name.startswith("SCALER_")), settings["node"])))
    drained.wait()
    if settings.get("never"):
        ended.wait()
    return settings.get("status", 0)

serve_part(run)
"""


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Context]]:
    """Contexts of managers of one cluster, with a stand-in for the agent's program."""
    (tmp_path / "stand_in_agent.py").write_text(AGENT)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setattr(agents, "_MODULE", "stand_in_agent")

    def make(manager: str = "m", cluster: str = CLUSTER, **options: Any) -> Context:
        given = driver.BaremetalOptions(**options)
        context = Context(Owner(cluster, manager), given, logging.getLogger("test"), shutdown_seconds=PATIENCE)
        driver.open(context)
        made.append(context)
        return context

    made: list[Context] = []
    yield make
    for each in made:
        end_all(list(running_agents(each.owner.cluster)), lambda: 0.0)
        driver.heartbeat(each)


@pytest.fixture
def native(make: Callable[..., Context]) -> Context:
    return make()


def wanted(name: str, environment: dict[str, str] | None = None, **settings: Any) -> WorkerGroup:
    return WorkerGroup(name, 1, {}, Launch({"node": {}, **settings}, environment or {}))


def states(context: Context) -> dict[str, UnitState]:
    return {unit.id: unit.state for unit in driver.heartbeat(context)}


def kill(unit: Unit) -> None:
    """And waits until it has ended."""
    process = os.pidfd_open(int(unit.infrastructure_id))
    os.kill(int(unit.infrastructure_id), signal.SIGKILL)
    assert select.select([process], [], [], PATIENCE)[0]
    os.close(process)


def ends(unit: Unit, within: float = PATIENCE) -> bool:
    try:
        process = os.pidfd_open(int(unit.infrastructure_id))
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], within)[0])
    finally:
        os.close(process)


def test_a_group_is_a_process_that_ends_when_told(native: Context) -> None:
    (unit,) = driver.start(native, [wanted("a")])
    assert unit.state is UnitState.RUNNING
    (again,) = driver.start(native, [wanted("a")])
    assert again.infrastructure_id == unit.infrastructure_id
    assert states(native) == {"a": UnitState.RUNNING}
    driver.shutdown(native, ["a", "unknown"])
    assert ends(unit, 0)
    assert states(native) == {}
    driver.shutdown(native, ["a"])


def test_several_groups_start_at_once_and_one_that_cannot_says_why(native: Context) -> None:
    bad, good, late = driver.start(native, [wanted("bad", fails=True), wanted("good"), wanted("late")])
    assert (bad.state, good.state, late.state) == (UnitState.FAILED, UnitState.RUNNING, UnitState.RUNNING)
    assert bad.detail == "Nobody answers. there start it"
    assert states(native)["bad"] is UnitState.FAILED
    driver.shutdown(native, ["bad"])
    assert set(states(native)) == {"good", "late"}


def test_one_that_is_not_up_yet_is_pending(native: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "_READY_SECONDS", 0.0)
    (unit,) = driver.start(native, [wanted("a", silent=True)])
    assert unit.state is UnitState.PENDING
    assert states(native) == {"a": UnitState.PENDING}


def test_one_that_is_killed_is_seen_with_the_signal_until_it_is_let_go(native: Context) -> None:
    (unit,) = driver.start(native, [wanted("a")])
    kill(unit)
    (seen,) = driver.heartbeat(native)
    assert seen.state is UnitState.FAILED
    assert "SIGKILL" in seen.detail
    driver.shutdown(native, ["a"])
    assert driver.heartbeat(native) == []


@pytest.mark.parametrize(
    ("status", "state", "detail"),
    [(0, UnitState.SUCCEEDED, ""), (7, UnitState.FAILED, "the agent ended with exit code 7")],
)
def test_one_that_ends_by_itself_is_told_with_its_exit_code(
    status: int, state: UnitState, detail: str, native: Context
) -> None:
    (unit,) = driver.start(native, [wanted("a", status=status)])
    os.kill(int(unit.infrastructure_id), signal.SIGTERM)
    assert ends(unit)
    (seen,) = driver.heartbeat(native)
    assert (seen.state, seen.detail) == (state, detail)


def test_agents_are_found_again_by_a_manager_that_comes_back(native: Context, make: Callable[..., Context]) -> None:
    started = driver.start(native, [wanted("a"), wanted("b")])
    later = make()
    assert {unit.id: unit.infrastructure_id for unit in driver.heartbeat(later)} == {
        unit.id: unit.infrastructure_id for unit in started
    }
    (again,) = driver.start(later, [wanted("a")])
    assert again.infrastructure_id == started[0].infrastructure_id
    driver.shutdown(later, ["a"])
    assert ends(started[0], 0)
    assert states(later) == {"b": UnitState.RUNNING}


def test_one_that_an_earlier_image_of_the_process_had_started_is_waited_for(
    native: Context, make: Callable[..., Context]
) -> None:
    """The child of this process, in a context that knows nothing of it."""
    (unit,) = driver.start(native, [wanted("a")])
    later = make()
    assert states(later) == {"a": UnitState.RUNNING}
    kill(unit)
    (seen,) = driver.heartbeat(later)
    assert (seen.state, seen.detail) == (UnitState.FAILED, "the agent ended with signal SIGKILL")
    with pytest.raises(ChildProcessError):
        os.waitpid(int(unit.infrastructure_id), os.WNOHANG)


STARTER = """
import logging, sys
from scaler.drivers import baremetal_native as driver
from scaler.drivers.baremetal_native import agents
from scaler.managers.api import *
agents._MODULE = "stand_in_agent"
context = Context(Owner(sys.argv[1], "m"), driver.BaremetalOptions(), logging.getLogger("x"))
driver.open(context)
(unit,) = driver.start(context, [WorkerGroup("a", 1, {}, Launch({"node": {}}))])
print(unit.infrastructure_id, flush=True)
sys.stdin.read()
"""


def test_agents_outlive_a_killed_manager_and_write_into_no_pipe_of_its(native: Context, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, CLUSTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.wait(PATIENCE)
    (unit,) = driver.heartbeat(native)
    assert (unit.id, unit.infrastructure_id, unit.state) == ("a", str(pid), UnitState.RUNNING)
    driver.shutdown(native, ["a"])
    assert ends(unit, 0)
    starter.communicate()


def test_two_contexts_know_nothing_of_each_other(native: Context, make: Callable[..., Context]) -> None:
    others = [make(manager="n"), make(cluster="deadbeefdeadbeef"), make(manager="")]
    (unit,) = driver.start(native, [wanted("a")])
    for other in others:
        assert driver.heartbeat(other) == []
        driver.shutdown(other, ["a"])
        assert driver.cleanup(other, Scope.MANAGER, False) == []
    assert states(native) == {"a": UnitState.RUNNING}
    assert not ends(unit, 0)


def test_cleanup_of_the_cluster_ends_agents_of_its_other_managers(
    native: Context, make: Callable[..., Context]
) -> None:
    (mine,) = driver.start(native, [wanted("a")])
    (theirs,) = driver.start(make(manager="n"), [wanted("b")])
    (foreign,) = driver.start(make(cluster="deadbeefdeadbeef"), [wanted("c")])
    name = f"n/b (process {theirs.infrastructure_id})"
    assert driver.cleanup(native, Scope.CLUSTER, True) == [Resource("agent", name, "would be ended")]
    assert not ends(theirs, 0)
    assert driver.cleanup(native, Scope.CLUSTER, False) == [Resource("agent", name, "ended")]
    assert ends(theirs, 0)
    assert not ends(mine, 0)
    assert not ends(foreign, 0)


def test_a_number_that_is_another_process_by_now_is_not_signalled(native: Context) -> None:
    (unit,) = driver.start(native, [wanted("a")])
    (found,) = running_agents(CLUSTER)
    assert found == Found(int(unit.infrastructure_id), CLUSTER, "m", "a")
    for stale in (replace(found, group="b"), replace(found, manager="n"), replace(found, cluster="d")):
        assert hold(stale) is None
        end_all([stale], lambda: 0.0)
    end_all([Found(os.getppid(), CLUSTER, "m", "a"), Found(2**22 + 1, CLUSTER, "m", "a")], lambda: 0.0)
    assert states(native) == {"a": UnitState.RUNNING}


def test_one_that_does_not_finish_in_time_is_killed_and_the_time_may_become_shorter(native: Context) -> None:
    (unit,) = driver.start(native, [wanted("a", never=True)])
    done = threading.Thread(target=driver.shutdown, args=(native, ["a"]))
    native.shutdown_seconds = 600.0
    done.start()
    assert not ends(unit, 0.3)
    native.shutdown_seconds = 0.0
    done.join(PATIENCE)
    assert not done.is_alive()
    assert states(native) == {}


def test_an_agent_has_its_groups_environment_and_name(make: Callable[..., Context], tmp_path: Path) -> None:
    context = make(worker_type="NAT")
    os.mkfifo(tmp_path / "told")
    started = threading.Thread(
        target=driver.start,
        args=(context, [wanted("g-1", {"SCALER_KEY": "token"}, told=str(tmp_path / "told"), silent=True)]),
    )
    started.start()
    names, node = eval((tmp_path / "told").read_text())
    assert {"SCALER_KEY", "SCALER_UNIT"} <= set(names)
    assert node["name"].startswith("NAT-")
    assert node["name"].endswith("-g-1")
    (found,) = running_agents(CLUSTER)
    assert found.group == "g-1"
    assert "token" not in Path(f"/proc/{found.pid}/cmdline").read_text()
    end_all([found], lambda: 0.0)
    started.join(PATIENCE)


@pytest.mark.parametrize("value", ["", "a", "a/b", "a/b/c/d", "//", "a//c"])
def test_an_environment_of_another_form_is_no_agents(value: str) -> None:
    process = subprocess.Popen(["sleep", "60"], env={"PATH": os.environ["PATH"], processes.VARIABLE: value})
    try:
        assert [found for cluster in ("", "a") for found in running_agents(cluster)] == []
    finally:
        process.kill()
        process.wait()


def test_its_offer_is_a_worker_a_group_or_all_in_one(make: Callable[..., Context]) -> None:
    dynamic, fixed = driver.offer(make()), driver.offer(make(mode="fixed"))
    assert (dynamic.slots, dynamic.fixed, fixed.fixed) == (1, False, True)
    assert dynamic.startup_seconds == 30


def test_a_tag_is_what_an_agent_says() -> None:
    assert Tag("c", "m").of("g") == "c/m/g"
