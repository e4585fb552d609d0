"""Policies with real managers and workers: who starts, who is left alone, who goes.

A worker of `baremetal_native` is an agent of its own, so agents are told apart by their process.
"""

import os
import select
import time
from collections.abc import Callable, Iterable

import pytest
from commands import PATIENCE, Command, Run
from scaler import Client

pytestmark = pytest.mark.timeout(180)

Cluster = Callable[..., str]


@pytest.fixture
def scheduler(run: Run) -> Cluster:
    """Starts a scheduler with a policy; its address."""

    def start(*arguments: str) -> str:
        command = run("scheduler", "tcp://127.0.0.1:0", "--resync-seconds", "0", *arguments)
        return command.read_until("scheduler listens at").split("listens at ")[1].split(",")[0]

    return start


def manager(run: Run, address: str, name: str, most: int, *arguments: str) -> Command:
    command = run("worker_manager", "native", address, "-wmi", name, "-mtc", str(most), "-his", "0.2", *arguments)
    command.read_until("workers serve")
    return command


def agent(seconds: float = 0.0) -> int:
    """The process id of the agent that it runs at."""
    time.sleep(seconds)
    return os.getppid()


def whose(agent: int) -> str:
    """The manager of an agent that is there."""
    with open(f"/proc/{agent}/environ") as file:
        (unit,) = [each for each in file.read().split("\0") if each.startswith("SCALER_UNIT=")]
    return unit.split("/")[1]


def wait_for_the_end(agents: Iterable[int]) -> None:
    for process in agents:
        try:
            descriptor = os.pidfd_open(process)
        except ProcessLookupError:
            continue
        try:
            assert select.select([descriptor], [], [], PATIENCE)[0], f"agent {process} is still there"
        finally:
            os.close(descriptor)


def test_workers_come_with_tasks_and_go_with_them_and_no_task_is_ended(run: Run, scheduler: Cluster) -> None:
    address = scheduler("-pc", "allocate=even_load; scaling=vanilla", "-sdc", "0.5")
    manager(run, address, "native", 3)
    with Client(address) as client:
        agents = set(client.map(agent, [0.2] * 40).results())
        assert 2 <= len(agents) <= 3
        # One goes on for longer than the others are kept.
        last = client.submit(agent, 2.5).result(PATIENCE)
        wait_for_the_end(agents | {last})
        # From none again.
        again = client.submit(agent).result(PATIENCE)
        assert again not in agents
        wait_for_the_end([again])


def test_wound_1_a_load_that_comes_and_goes_starts_each_worker_once(run: Run, scheduler: Cluster) -> None:
    address = scheduler("-pc", "scaling=vanilla", "-sdc", "8")
    manager(run, address, "native", 3)
    with Client(address) as client:
        agents: set[int] = set()
        for _ in range(3):
            agents |= set(client.map(agent, [0.05] * 60).results())
            # Low, for half of the cool-down.
            agents.add(client.submit(agent, 4.0).result(PATIENCE))
        assert len(agents) <= 3
        wait_for_the_end(agents)


def test_a_waterfall_fills_one_manager_before_the_other(run: Run, scheduler: Cluster) -> None:
    address = scheduler("-et", "waterfall_v1", "-pc", "# the nearest first\n1, near, 1\n2, far")
    manager(run, address, "far", 2)
    manager(run, address, "near", 3)
    manager(run, address, "wild", 3)
    with Client(address) as client:
        first = client.submit(agent).result(PATIENCE)
        assert whose(first) == "near"
        agents = set(client.map(agent, [0.2] * 60).results())
        assert {whose(each) for each in agents} == {"near", "far"}
        assert len([each for each in agents if whose(each) == "near"]) == 1


def test_a_set_of_capabilities_starts_the_manager_that_offers_it(run: Run, scheduler: Cluster) -> None:
    address = scheduler("-pc", "allocate=capability; scaling=capability")
    manager(run, address, "plain", 2)
    manager(run, address, "gpus", 2, "--per-worker-capabilities", "gpu=2")
    with Client(address) as client:
        for asked, started in (({}, "plain"), ({"gpu": 2}, "gpus"), ({"gpu": -1}, "gpus")):
            found = client.submit_verbose(agent, (), {}, capabilities=asked).result(PATIENCE)
            assert whose(found) == started, asked


def test_a_managers_own_cooldown_is_its_workers(run: Run, scheduler: Cluster) -> None:
    address = scheduler("-pc", "scaling=capability", "-sdc", "600")
    manager(run, address, "patient", 1)
    manager(run, address, "hasty", 1, "--per-worker-capabilities", "now", "-sdc", "0")
    with Client(address) as client:
        patient = client.submit(agent).result(PATIENCE)
        hasty = client.submit_verbose(agent, (), {}, capabilities={"now": -1}).result(PATIENCE)
        wait_for_the_end([hasty])
        assert whose(patient) == "patient"
