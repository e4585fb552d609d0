"""Why a task has ended or waits, as people read it."""

from typing import Any

import pytest
from scaler.managers.api import UnitState
from scaler_plugin_ecs.reasons import state_of, what_it_waits_for, why_it_ended


def task(status: str = "STOPPED", reason: str = "", code: int | None = None, **more: Any) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "scaler-container", "lastStatus": "STOPPED", "image": "scaler:1"}
    if code is not None:
        container["exitCode"] = code
    container |= more.pop("container", {})
    return {"lastStatus": status, "stoppedReason": reason, "containers": [container], **more}


ENDED = "Essential container in task exited"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("PROVISIONING", UnitState.PENDING),
        ("PENDING", UnitState.PENDING),
        ("ACTIVATING", UnitState.PENDING),
        ("RUNNING", UnitState.RUNNING),
        ("SOMETHING_NEW", UnitState.RUNNING),
    ],
)
def test_states_of_aws_are_those_of_the_interface(status: str, expected: UnitState) -> None:
    assert state_of(task(status)) is expected


def test_task_that_stopped_is_judged_by_its_exit_code() -> None:
    assert state_of(task(reason=ENDED, code=0)) is UnitState.SUCCEEDED
    assert state_of(task(reason=ENDED, code=1)) is UnitState.FAILED
    assert state_of(task(reason="CannotPullContainerError: x")) is UnitState.FAILED


def test_interrupted_task_is_gone_whatever_its_exit_code() -> None:
    interrupted = task(reason="Your Spot Task was interrupted.", code=0, stopCode="SpotInterruption")
    assert state_of(interrupted) is UnitState.GONE
    assert "--capacity-provider FARGATE" in why_it_ended(interrupted)


@pytest.mark.parametrize("status", ["DEACTIVATING", "STOPPING", "DEPROVISIONING"])
def test_task_whose_container_has_ended_has_ended_before_aws_takes_it_down(status: str) -> None:
    ending = task(status, ENDED, 1)
    assert state_of(ending) is UnitState.FAILED
    assert state_of(ending, asked_to_stop=True) is UnitState.RUNNING
    assert state_of(task(status, ENDED, container={"lastStatus": "RUNNING"})) is UnitState.RUNNING


@pytest.mark.parametrize(
    ("reason", "code", "said", "told"),
    [
        (
            "CannotPullContainerError: pull image manifest has been retried: failed to resolve ref x: not found",
            None,
            "",
            "--ecs-task-image",
        ),
        ("CannotPullContainerError: ref x: dial tcp 1.2.3.4:443: i/o timeout", None, "", "NAT gateway"),
        ("CannotPullContainerError: denied: User is not authorized", None, "", "AmazonECSTaskExecutionRolePolicy"),
        ("CannotPullContainerError: image Manifest does not contain descriptor matching platform", None, "", "amd64"),
        (
            "ResourceInitializationError: unable to pull secrets or registry auth: connection issue: i/o timeout",
            None,
            "",
            "NAT gateway",
        ),
        (
            "ResourceInitializationError: failed to validate logger args: The specified log group does not exist.",
            None,
            "",
            "--ecs-log-group",
        ),
        ("ResourceInitializationError: AccessDeniedException: x", None, "", "AmazonECSTaskExecutionRolePolicy"),
        (ENDED, 2, "error: Nobody answers at this address. where: tcp://10.0.0.1:8516", "--worker-scheduler-address"),
        (ENDED, 2, "cannot connect to tcp://10.0.0.1:8516", "security group"),
        (ENDED, 127, "sh: 1: exec: scaler_cluster: not found", "--worker-package"),
        (ENDED, 127, "", "--ecs-task-image"),
        (ENDED, 2, "scaler_cluster: error: unrecognized arguments: --drain-limit-seconds=110", "--ecs-task-image"),
        (ENDED, 2, "scaler_cluster: error: the following arguments are required: -n", "--worker-package"),
        (ENDED, 69, "worker image: error: Python 3.99 (PYTHON_VERSION) cannot be had, see", "--ecs-python-version"),
        (ENDED, 69, "worker image: error: the packages of x cannot be installed: a", "--ecs-python-requirements"),
        (ENDED, 1, "x No solution found when resolving dependencies", "--ecs-python-requirements"),
        (ENDED, 137, "", "--ecs-task-memory"),
    ],
)
def test_reason_is_told_with_its_mend(reason: str, code: int | None, said: str, told: str) -> None:
    words = why_it_ended(task(reason=reason, code=code), [said])
    assert words.startswith(reason.rstrip("."))
    assert told in words.partition("To do: ")[2]
    if code is not None:
        assert f"exit code {code}" in words
    if said:
        assert said in words
    assert "\n" not in words


def test_mend_that_the_image_tells_itself_is_told_once() -> None:
    said = "worker image: error: Python 9 cannot be had, see above. To do: name a version that uv knows."
    words = why_it_ended(task(reason=ENDED, code=69), ["x No solution found", said])
    assert words.endswith(said)
    assert words.count("To do:") == 1


def test_containers_own_reason_is_told() -> None:
    killed = task(
        reason=ENDED, code=137, container={"reason": "OutOfMemoryError: Container killed due to memory usage"}
    )
    assert "OutOfMemoryError" in why_it_ended(killed)
    assert "it needs more memory: --ecs-task-memory" in why_it_ended(killed)


def test_user_who_stops_a_task_is_told_nothing_to_do() -> None:
    assert why_it_ended(task(reason="Task stopped by user", code=137, stopCode="UserInitiated")) == (
        "Task stopped by user; exit code 137 (killed)"
    )


def test_only_the_last_words_are_told() -> None:
    words = why_it_ended(task(reason=ENDED, code=1), [f"line {each}" for each in range(100)] + ["x" * 1000])
    assert "line 99 | " in words
    assert "line 90" not in words
    assert len(words) < 1500


def test_task_without_any_reason_says_so() -> None:
    assert why_it_ended({"lastStatus": "STOPPED"}) == "AWS does not say why it stopped"


def test_task_in_its_time_says_nothing_and_late_one_what_it_waits_for() -> None:
    assert what_it_waits_for(task("PROVISIONING"), 59.0) == ""
    assert "--ecs-subnets" in what_it_waits_for(task("PROVISIONING"), 61.0)
    pulling = what_it_waits_for(task("PENDING"), 75.0)
    assert pulling.startswith("PENDING for 75 s: its image is being pulled (scaler:1)")
    assert "--ecs-assign-public-ip" in pulling
    assert "start its container" in what_it_waits_for(task("PENDING", pullStoppedAt=1), 75.0)
