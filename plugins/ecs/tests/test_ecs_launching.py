"""What refusals of RunTask mean, and of what it needs."""

import logging
from pathlib import Path
from typing import Any

import pytest
from driving import group_of
from scaler.managers.api import ConfigurationError, DriverError, TemporaryError
from scaler_plugin_ecs.errors import Refused, UnknownOutcome
from scaler_plugin_ecs.launching import Gone
from scaler_plugin_ecs.tagging import as_list, unit_tags
from scripted import OWNER, ROLE, Scripted, launcher_of, tasks_of

TASK = {"taskArn": "task-1", "lastStatus": "PENDING"}
ASSUME = "ECS was unable to assume the role 'arn:aws:iam::123456789012:role/{}' that was provided for this task."


def refused(code: str, message: str = "no", **more: Any) -> Refused:
    return Refused("ecs:RunTask", code, message, more)


def test_role_that_was_just_made_is_for_later_and_says_so(tmp_path: Path) -> None:
    aws = Scripted(RunTask=[refused("ClientException", ASSUME.format("ecsTaskExecutionRole"))])
    with pytest.raises(TemporaryError) as caught:
        launcher_of(aws, tmp_path).launch(group_of("g-1"))
    assert str(caught.value) == (
        "the role ecsTaskExecutionRole was made a moment ago, and ECS does not see it yet; it is tried again"
    )


def test_other_role_that_ecs_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    aws = Scripted(RunTask=[refused("ClientException", ASSUME.format("mine"))])
    with pytest.raises(TemporaryError, match="unable to assume the role"):
        launcher_of(aws, tmp_path).launch(group_of("g-1"))


def test_role_that_ecs_refuses_for_long_is_told_with_its_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Scripted(RunTask=[refused("ClientException", ASSUME.format("ecsTaskExecutionRole"))])
    launcher = launcher_of(aws, tmp_path)
    with pytest.raises(TemporaryError, match="a moment ago"):
        launcher.launch(group_of("g-1"))
    monkeypatch.setattr("scaler_plugin_ecs.launching._ROLE_SECONDS", -1.0)
    monkeypatch.setattr("scaler_plugin_ecs.launching.IAM_SECONDS", -1.0)
    launcher._probe._not_before = 0.0
    with pytest.raises(TemporaryError, match=r"trust policy .*iam:PassRole, --ecs-task-role-arn"):
        launcher.launch(group_of("g-1"))


def test_definition_whose_role_is_not_seen_yet_is_for_later(tmp_path: Path) -> None:
    aws = Scripted(RegisterTaskDefinition=[refused("ClientException", "Role is not valid")])
    with pytest.raises(TemporaryError, match="ecsTaskExecutionRole was made a moment ago"):
        launcher_of(aws, tmp_path).launch(group_of("g-1"))


def test_task_that_is_there_and_not_described_yet_is_not_gone(tmp_path: Path) -> None:
    aws = Scripted(RunTask=[refused("ConflictException", resourceIds=["task-1"])], DescribeTasks=[{"tasks": []}])
    with pytest.raises(UnknownOutcome):
        launcher_of(aws, tmp_path).launch(group_of("g-1"))
    aws.answers["RunTask"] = [refused("ConflictException")]
    with pytest.raises(Gone):
        launcher_of(aws, tmp_path).launch(group_of("g-1"))


def test_doubt_stays_until_all_that_is_listed_was_described(tmp_path: Path) -> None:
    described = {**TASK, "tags": as_list(unit_tags(OWNER, "g-1"))}
    aws = Scripted(
        RunTask=[UnknownOutcome("lost")],
        ListTasks=[{"taskArns": []}, {"taskArns": ["task-1"]}],
        DescribeTasks=[{"tasks": []}, {"tasks": [described]}],
    )
    tasks = tasks_of(aws, tmp_path)
    tasks.heartbeat()
    with pytest.raises(DriverError):
        tasks.start(group_of("g-1"))
    assert tasks.heartbeat() == []
    (unit,) = tasks.heartbeat()
    assert unit.id == "g-1"
    tasks.heartbeat()
    assert len(aws.calls["ListTasks"]) == 3


def test_own_cluster_without_spot_gets_it_again(tmp_path: Path) -> None:
    spot = ["FARGATE", "FARGATE_SPOT"]
    ours = {"clusterArn": "c", "tags": as_list(OWNER.tags())}
    aws = Scripted(
        RunTask=[refused("InvalidParameterException", "The capacity provider is not associated"), {"tasks": [TASK]}],
        DescribeClusters=[{"clusters": [{**ours, "capacityProviders": spot}]}, {"clusters": [ours]}],
    )
    launcher = launcher_of(aws, tmp_path, capacity_provider="FARGATE_SPOT")
    assert launcher.launch(group_of("g-1")) == TASK
    assert [each["capacityProviders"] for each in aws.calls["PutClusterCapacityProviders"]] == [spot]


def test_foreign_cluster_without_spot_is_told_as_such(tmp_path: Path) -> None:
    aws = Scripted(
        RunTask=[refused("InvalidParameterException", "The capacity provider is not associated")],
        DescribeClusters=[
            {"clusters": [{"clusterArn": "c", "capacityProviders": ["FARGATE_SPOT"]}]},
            {"clusters": [{"clusterArn": "c"}]},
        ],
    )
    with pytest.raises(ConfigurationError, match="is not this manager's, and has no FARGATE_SPOT"):
        launcher_of(aws, tmp_path, capacity_provider="FARGATE_SPOT").launch(group_of("g-1"))


def test_cluster_that_stays_without_spot_is_for_later(tmp_path: Path) -> None:
    cluster = {"clusterArn": "c", "tags": as_list(OWNER.tags()), "capacityProviders": ["FARGATE_SPOT"]}
    aws = Scripted(
        RunTask=[refused("InvalidParameterException", "The capacity provider is not associated")],
        DescribeClusters=[{"clusters": [cluster]}],
    )
    with pytest.raises(TemporaryError, match="is not associated"):
        launcher_of(aws, tmp_path, capacity_provider="FARGATE_SPOT").launch(group_of("g-1"))


@pytest.mark.parametrize(
    "error",
    [
        refused("UpdateInProgressException"),
        refused("ResourceInUseException"),
        refused("InvalidParameterException", "The cluster was not ACTIVE"),
    ],
)
def test_cluster_that_is_just_being_changed_is_for_later(error: Refused, tmp_path: Path) -> None:
    ours = {"clusterArn": "c", "tags": as_list(OWNER.tags())}
    with pytest.raises(TemporaryError):
        launcher_of(Scripted(CreateCluster=[error]), tmp_path).launch(group_of("g-1"))
    aws = Scripted(DescribeClusters=[{"clusters": [ours]}], PutClusterCapacityProviders=[error])
    with pytest.raises(TemporaryError):
        launcher_of(aws, tmp_path, capacity_provider="FARGATE_SPOT").launch(group_of("g-1"))


def test_account_without_the_linked_role_is_told_how_to_make_it(tmp_path: Path) -> None:
    error = refused("InvalidParameterException", "Unable to assume the service linked role. Please verify it exists.")
    for operation in ("RunTask", "CreateCluster"):
        with pytest.raises(TemporaryError) as caught:
            launcher_of(Scripted(**{operation: [error]}), tmp_path).launch(group_of("g-1"))
        assert str(caught.value).endswith("`aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com`")


def spot(name: str, status: str, **more: Any) -> dict[str, Any]:
    return {"taskArn": name, "lastStatus": status, "capacityProviderName": "FARGATE_SPOT", **more}


def late_refusal(name: str) -> dict[str, Any]:
    reason = "Capacity is unavailable at this time. Please try again later or in a different availability zone"
    return spot(name, "STOPPED", stopCode="TaskFailedToStart", stoppedReason=reason)


def asked_for_spot(aws: Scripted) -> list[bool]:
    return ["capacityProviderStrategy" in each for each in aws.calls["RunTask"]]


def test_spot_capacity_that_is_refused_after_the_call_counts_too(tmp_path: Path) -> None:
    aws = Scripted(
        RunTask=[{"tasks": [spot(f"t-{each}", "PROVISIONING")]} for each in range(6)],
        DescribeTasks=[{"tasks": [late_refusal(f"t-{each}")]} for each in (0, 1)],
        DescribeClusters=[{"clusters": [{"clusterArn": "c", "capacityProviders": ["FARGATE_SPOT"]}]}],
    )
    tasks = tasks_of(aws, tmp_path, capacity_provider="FARGATE_SPOT", spot_fallback=2)
    for each in ("g-0", "g-1"):
        tasks.start(group_of(each))
        tasks.heartbeat()
    # The one in the place of g-1, and then Spot is tried again.
    tasks.start(group_of("g-2"))
    tasks.start(group_of("g-3"))
    assert asked_for_spot(aws) == [True, True, False, True]
    aws.answers["DescribeTasks"] = [{"tasks": [spot("t-2", "RUNNING"), spot("t-3", "PENDING")]}]
    tasks.heartbeat()
    aws.answers["DescribeTasks"] = [{"tasks": [spot("t-2", "RUNNING"), late_refusal("t-3")]}]
    tasks.heartbeat()
    # One refusal since Spot was had.
    tasks.start(group_of("g-4"))
    assert asked_for_spot(aws)[4:] == [True]


def test_spot_that_runs_since_long_does_not_hide_refusals(tmp_path: Path) -> None:
    aws = Scripted(
        RunTask=[{"tasks": [spot(f"t-{each}", "PROVISIONING")]} for each in range(6)],
        DescribeTasks=[
            {"tasks": [spot("t-0", "RUNNING")]},
            {"tasks": [spot("t-0", "RUNNING"), late_refusal("t-1")]},
            {"tasks": [spot("t-0", "RUNNING"), late_refusal("t-2")]},
        ],
        DescribeClusters=[{"clusters": [{"clusterArn": "c", "capacityProviders": ["FARGATE_SPOT"]}]}],
    )
    tasks = tasks_of(aws, tmp_path, capacity_provider="FARGATE_SPOT", spot_fallback=2)
    for each in range(3):
        tasks.start(group_of(f"g-{each}"))
        tasks.heartbeat()
    tasks.start(group_of("g-3"))
    assert asked_for_spot(aws) == [True, True, True, False]


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (refused("BlockedException", "Your AWS account was blocked."), "ask AWS Support"),
        (
            refused("InvalidParameterException", "The new ARN and resource ID format must be enabled to add tags."),
            "aws ecs put-account-setting-default --name taskLongArnFormat --value enabled",
        ),
    ],
)
def test_account_that_cannot_run_tasks_is_told_with_its_mend(error: Refused, mend: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        launcher_of(Scripted(RunTask=[error]), tmp_path).launch(group_of("g-1"))
    assert caught.value.mend == mend


def test_role_that_somebody_else_made_meanwhile_is_left_as_it_is(tmp_path: Path) -> None:
    none = Refused("iam:GetRole", "NoSuchEntity", "none")
    aws = Scripted(GetRole=[none, ROLE], CreateRole=[refused("EntityAlreadyExists")], RunTask=[{"tasks": [TASK]}])
    assert launcher_of(aws, tmp_path).launch(group_of("g-1")) == TASK
    assert aws.calls["AttachRolePolicy"] == []
    ours = {"Role": {**ROLE["Role"], "Tags": as_list(OWNER.tags(), "Key", "Value")}}
    aws = Scripted(GetRole=[none, ours], CreateRole=[refused("EntityAlreadyExists")], RunTask=[{"tasks": [TASK]}])
    launcher_of(aws, tmp_path).launch(group_of("g-1"))
    assert len(aws.calls["AttachRolePolicy"]) == 1


def test_log_group_that_goes_with_the_run_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    aws = Scripted(RunTask=[{"tasks": [TASK]}])
    with caplog.at_level(logging.INFO):
        launcher_of(aws, tmp_path).launch(group_of("g-1"))
    assert "made the log group /ecs/scaler: it goes with its logs when this manager ends" in caplog.text
