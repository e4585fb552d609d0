"""What users of other systems of this kind ran into with machines in a cloud, by number, on Fargate tasks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chores import nap, tell_and_wait, wait_for_file
from commands import PATIENCE, Command, Run
from dynamic import kill
from fargate import PYTHON, Fargate, ends_well
from working import works

pytestmark = pytest.mark.timeout(240)


def pipes(home: Path) -> list[str]:
    found = [str(home / name) for name in ("began", "go-on")]
    for each in found:
        os.mkfifo(each)
    return found


def opened(pipe: str, mode: str = "r") -> None:
    with open(pipe, mode):
        pass


def container(task: dict[str, Any]) -> dict[str, str]:
    """What its environment was overridden with."""
    (override,) = task["more"]["overrides"]["containerOverrides"]
    return {each["name"]: each["value"] for each in override["environment"]}


def cleaned(fleet: Fargate, *arguments: str) -> str:
    command = fleet.run(
        *("worker_manager", "aws_raw_ecs", "cleanup", fleet.address, "--worker-manager-id", "wm-ecs"),
        *("--ecs-subnets", fleet.cloud.subnet, *arguments),
        **fleet.cloud.environment,
    )
    code, output = command.finish()
    assert code == 0, output
    return output


def test_wound_4_a_busy_task_is_not_stopped(fargate: Callable[..., Fargate], home: Path) -> None:
    fleet = fargate()
    manager = fleet.manager(most=3, cpu="1", memory="2")
    began, go_on = pipes(home)
    with fleet.client() as client:
        slow = client.submit(tell_and_wait, began, go_on)
        opened(began)
        (busy,) = fleet.tasks("RUNNING")
        futures = client.map(nap, range(1500))
        fleet.wait_until(lambda: len(fleet.tasks("RUNNING")) == 3, "three tasks run")
        assert futures.results(4 * PATIENCE) == list(range(1500))
        fleet.wait_until(lambda: len(fleet.tasks()) == 1, "one task is left")
        (left,) = fleet.tasks()
        assert left["id"] == busy["id"]
        opened(go_on, "w")
        assert slow.result(PATIENCE)
        fleet.wait_until(lambda: not fleet.tasks(), "all are gone")
    ends_well(manager)


def test_wound_5_a_task_that_never_connects_is_stopped_and_replaced_and_said(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    options = ["--ecs-startup-timeout-seconds", "1.5", "--worker-scheduler-address", "tcp://127.0.0.1:9"]
    manager = fleet.manager(*options, most=1)
    with fleet.client() as client:
        future = client.submit(nap, 1)
        fleet.scheduler.read_until("--worker-scheduler-address")
        assert "--worker-scheduler-address" in client.explain(future)
        fleet.wait_until(lambda: len(fleet.cloud.calls("ecs:RunTask")) >= 2, "it was replaced")
    ends_well(manager)


@pytest.mark.parametrize("operation", ["RunTask", "CreateCluster", "RegisterTaskDefinition", "CreateRole", "StopTask"])
def test_wound_6_a_create_whose_answer_is_lost_leaks_nothing(operation: str, fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    with fleet.cloud.fault(f"drop:operation={operation},count=1"):
        manager = fleet.manager(most=1)
        with fleet.client() as client:
            works(client)
        fleet.wait_until(lambda: not fleet.tasks(), "all are gone")
    # A task for each worker group, whatever became of the first answer.
    tokens = {call["parameters"]["clientToken"] for call in fleet.cloud.calls("ecs:RunTask")}
    assert len(fleet.cloud.resources("ecs task")) == len(tokens)
    ends_well(manager)


def test_wound_7_tasks_end_by_themselves_when_manager_and_scheduler_are_gone(
    fargate: Callable[..., Fargate], home: Path
) -> None:
    fleet = fargate()
    manager = fleet.manager("--death-timeout-seconds", "2", most=1)
    began, _ = pipes(home)
    with fleet.client() as client:
        client.submit(tell_and_wait, began, began)
        opened(began)
        kill(manager)
        kill(fleet.scheduler)
    deadline = time.monotonic() + 2 * PATIENCE
    while fleet.tasks():
        assert time.monotonic() < deadline, fleet.tasks()
    cleaned(fleet)


def test_wound_8_the_lifetime_travels_in_the_creating_call(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    manager = fleet.manager("--death-timeout-seconds", "77", most=1)
    with fleet.client() as client:
        works(client)
    (call,) = [each for each in fleet.cloud.calls("ecs:RunTask") if each["outcome"] == "ok"]
    assert "--death-timeout-seconds=77" in str(call["parameters"]["overrides"])
    ends_well(manager)


def test_wound_9_an_image_that_cannot_be_pulled_is_said_and_tried_again(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    with fleet.client() as client:
        with fleet.cloud.fault("pull:image=*"):
            manager = fleet.manager(most=1)
            future = client.submit(nap, 7)
            fleet.scheduler.read_until("CannotPullContainerError")
            fleet.wait_until(lambda: "CannotPullContainerError" in client.explain(future), "the waiting task says why")
            assert "--ecs-task-image" in client.explain(future)
        assert future.result(4 * PATIENCE) == 7
    ends_well(manager)


def test_wound_13_an_interrupted_spot_task_drains_and_burns_no_attempt(
    fargate: Callable[..., Fargate], home: Path
) -> None:
    fleet = fargate("--max-attempts", "1")
    manager = fleet.manager("--capacity-provider", "FARGATE_SPOT", most=2, cpu="1", memory="2")
    began, go_on = pipes(home)
    with fleet.client() as client:
        running = client.submit(tell_and_wait, began, go_on)
        opened(began)
        (task,) = fleet.tasks("RUNNING")
        assert task["more"]["capacityProviderName"] == "FARGATE_SPOT"
        fleet.cloud.do("interrupt", task=task["id"])
        # What comes now runs elsewhere; what runs is finished there.
        assert client.submit(nap, 3).result(4 * PATIENCE) == 3
        opened(go_on, "w")
        assert running.result(PATIENCE)
        fleet.wait_until(lambda: task["id"] not in {each["id"] for each in fleet.tasks()}, "the spot task is gone")
    ends_well(manager)


def test_wound_13_where_there_is_no_spot_capacity_on_demand_is_taken(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    with fleet.cloud.fault("capacity:operation=RunTask,match=FARGATE_SPOT"):
        manager = fleet.manager("--capacity-provider", "FARGATE_SPOT", most=1)
        with fleet.client() as client:
            assert client.submit(nap, 3).result(4 * PATIENCE) == 3
        manager.read_until("is started on demand")
    (task,) = fleet.cloud.resources("ecs task")
    assert task["more"].get("capacityProviderName") != "FARGATE_SPOT"
    ends_well(manager)


def test_wound_29_too_many_requests_slow_a_start_down_and_nothing_more(
    fargate: Callable[..., Fargate], home: Path
) -> None:
    fleet = fargate()
    with fleet.cloud.fault("throttle:operation=RunTask,rate=0.5"):
        manager = fleet.manager(most=4, cpu="1", memory="2")
        with fleet.client() as client:
            futures = [client.submit(wait_for_file, str(home / "go-on")) for _ in range(50)]
            fleet.wait_until(lambda: len(fleet.tasks("RUNNING")) == 4, "four tasks run", 120)
            (home / "go-on").touch()
            assert all(future.result(PATIENCE) for future in futures)
    # One that was throttled is not replaced by another.
    assert len({call["parameters"]["clientToken"] for call in fleet.cloud.calls("ecs:RunTask")}) == 4
    ends_well(manager)


def test_wound_29_a_start_asks_for_what_it_names_alone(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    ecs = fleet.cloud.client("ecs")
    for number in range(20):
        container = {"name": "c", "image": "i", "memory": 512}
        ecs.register_task_definition(family=f"somebody-{number}", containerDefinitions=[container])
    fleet.cloud.baseline()
    manager = fleet.manager(most=1)
    with fleet.client() as client:
        works(client)
    asked = fleet.cloud.calls("ecs:DescribeTaskDefinition")
    assert {call["parameters"]["taskDefinition"].split(":")[0] for call in asked} == {"scaler-task-definition"}
    assert fleet.cloud.calls("ecs:ListTaskDefinitionFamilies") == []
    ends_well(manager)


def test_wound_29_cleanup_ends_tasks_that_are_pending(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    fleet.cloud.do("route", open=False)
    manager = fleet.manager(most=1)
    with fleet.client() as client:
        client.submit(nap, 1)
        fleet.wait_until(lambda: fleet.tasks("PENDING", "PROVISIONING"), "a task is pending")
        kill(manager)
        cleaned(fleet)
    fleet.wait_until(lambda: not fleet.tasks(), "all are gone")


# What opengris-scaler's users ran into with it.


def test_every_option_of_workers_is_understood_in_the_container(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    options = [
        "-wtqs",
        "7",
        "-tts",
        "60",
        "-gc",
        "5",
        "-dts",
        "50",
        "-tm",
        "1GiB",
        "-wml",
        "2GiB",
        "-pwc",
        "linux,gpu=2",
    ]
    options += ["--tasks-per-process", "100", "--compression", "lz4", "--preload", "os:getpid"]
    options += ["--event-loop", "builtin", "--io-threads", "2", "--hard-processor-suspend"]
    manager = fleet.manager(*options, most=1)
    with fleet.client() as client:
        works(client)
    (task,) = fleet.cloud.resources("ecs task")
    command = container(task)["COMMAND"]
    assert "--io-threads" not in command
    assert "--preload=os:getpid" in command
    ends_well(manager)


def test_a_task_that_dies_is_replaced_and_does_not_count(fargate: Callable[..., Fargate], home: Path) -> None:
    fleet = fargate()
    manager = fleet.manager(most=1, cpu="1", memory="2")
    began, go_on = pipes(home)
    with fleet.client() as client:
        held = client.submit(tell_and_wait, began, go_on)
        opened(began)
        (task,) = fleet.tasks("RUNNING")
        fleet.cloud.do("kill_task", task=task["id"])
        opened(began)
        opened(go_on, "w")
        assert held.result(PATIENCE)
        fleet.scheduler.read_until("137")
    ends_well(manager)


def test_tasks_end_with_their_manager(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    manager = fleet.manager(most=2)
    with fleet.client() as client:
        client.map(nap, range(500)).results(PATIENCE)
        assert fleet.tasks()
        ends_well(manager)
        assert fleet.tasks() == []


def existing(fleet: Fargate, **changes: Any) -> None:
    definition = {
        "family": "scaler-task-definition",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "1024",
        "memory": "2048",
        "containerDefinitions": [{"name": "scaler-container", "image": "old", "essential": True}],
    }
    fleet.cloud.client("ecs").register_task_definition(**definition, **changes)
    fleet.cloud.baseline()


def test_options_are_not_ignored_where_somebody_elses_task_definition_differs(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    existing(fleet)
    command: Command = fleet.manager(until="")
    code, output = command.finish()
    assert code == 2, output
    assert "--ecs-task-definition" in output
    assert "--ecs-task-image" in output
    assert fleet.cloud.resources("ecs cluster") == []


def test_our_own_task_definition_gets_a_new_revision_for_new_options(fargate: Callable[..., Fargate]) -> None:
    fleet = fargate()
    first = fleet.manager(most=1)
    with fleet.client() as client:
        works(client)
    kill(first)
    second = fleet.manager("--ecs-task-image", "example.org/other:2", most=1)
    with fleet.client() as client:
        fleet.wait_until(lambda: not fleet.tasks(), "the first one's are gone")
        works(client)
    images = {each["image"] for task in fleet.cloud.resources("ecs task") for each in task["more"]["containers"]}
    assert images == {"public.ecr.aws/v4u8j8r6/scaler:latest", "example.org/other:2"}
    ends_well(second)


def test_units_get_this_software_or_a_line_says_that_they_must_have_it(
    fargate: Callable[..., Fargate], run: Run
) -> None:
    fleet = fargate()
    manager = fleet.manager(most=1)
    assert "--worker-package" in manager.output.decode()
    given = fleet.run(
        *fleet.typed("--worker-package", "scaler-py==0.1.0", "--worker-manager-id", "other", most=1),
        **fleet.cloud.environment,
    )
    given.read_until("workers serve")
    assert "--worker-package" not in given.output.decode()
    ends_well(manager)
    with fleet.client() as client:
        works(client)
    (task,) = fleet.cloud.resources("ecs task")
    assert "scaler-py==0.1.0" in container(task)["PYTHON_REQUIREMENTS"].splitlines()
    assert container(task)["PYTHON_VERSION"] == PYTHON
    ends_well(given)
