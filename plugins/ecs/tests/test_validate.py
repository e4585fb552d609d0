"""What is refused before anything is made, and in which words."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from driving import Driven
from pydantic import ValidationError
from scaler.managers.api import ConfigurationError
from scaler.testing.localcloud import LocalCloud
from scaler_plugin_ecs.options import EcsOptions

ROLE = "ecsTaskExecutionRole"
POLICY = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"

OWN = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "logs:PutLogEvents", "Resource": "*"}]}


def trust(service: str = "ecs-tasks.amazonaws.com") -> str:
    allowed = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


def refusal(driven: Driven, cloud: LocalCloud) -> ConfigurationError:
    before = cloud.resources()
    with pytest.raises(ConfigurationError) as caught:
        driven.validate()
    assert cloud.resources() == before
    assert caught.value.mend
    return caught.value


def changing_calls(cloud: LocalCloud) -> list[str]:
    reading = ("Describe", "Get", "List")
    return [each["operation"] for each in cloud.calls() if not each["operation"].startswith(reading)]


def test_options_that_can_work_are_accepted_by_looking_alone(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    Driven(options, tmp_path).validate()
    assert changing_calls(cloud) == []


@pytest.mark.parametrize(
    ("wrong", "where", "what"),
    [
        ({"ecs_task_image": "a b"}, "--ecs-task-image", "'a b' is no name of a container image"),
        ({"ecs_subnets": "subnet-0abc1234def56789a"}, "--ecs-subnets", "subnet-0abc1234def56789a"),
        ({"ecs_security_group_ids": "sg-0123456789abcdef0"}, "--ecs-security-group-ids", "sg-0123456789abcdef0"),
        ({"ecs_cluster": "a cluster"}, "--ecs-cluster", "'a cluster'"),
        ({"ecs_task_definition": "a/b"}, "--ecs-task-definition", "'a/b'"),
        ({"ecs_task_role_arn": "task-role"}, "--ecs-task-role-arn", "no ARN of a role"),
        ({"ecs_task_role_arn": "arn:aws:iam::123456789012:role/none"}, "--ecs-task-role-arn", "There is no role none."),
        (
            {"ecs_execution_role_arn": "arn:aws:iam::123456789012:role/none"},
            "--ecs-execution-role-arn",
            "There is no role none.",
        ),
        ({"ecs_python_requirements": "package;" * 1000}, "--ecs-python-requirements", "AWS takes 8192"),
    ],
)
def test_option_that_cannot_work_is_named(
    wrong: dict[str, Any], where: str, what: str, used_cloud: LocalCloud, subnet: str, tmp_path: Path
) -> None:
    small = {"ecs_subnets": subnet, "ecs_task_cpu": 0.25, "ecs_task_memory": 0.5}
    error = refusal(Driven({**small, **wrong}, tmp_path), used_cloud)
    assert where in error.where
    assert what in error.what


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"ecs_subnets": " , "}, "no subnet is named"),
        ({"ecs_python_version": "2.7"}, "no version of Python 3"),
        ({"capacity_provider": "EC2"}, "FARGATE_SPOT"),
        ({"ecs_assign_public_ip": "maybe"}, "DISABLED"),
        ({"ecs_log_retention_days": 2}, "2 days"),
        ({"aws_region": "us east"}, "like us-east-1"),
        ({"aws_region": ""}, "no AWS region"),
        ({"ecs_task_cpu": 3}, "Fargate has no task of 3 vCPU.\none of 0.25, 0.5, 1"),
        ({"ecs_task_cpu": 0.25, "ecs_task_memory": 31}, "Fargate has no task of 0.25 vCPU with 31 GB.\nwith"),
        ({"ecs_task_cpu": 1}, "Fargate has no task of 1 vCPU with 30 GB.\nwith 1 vCPU: 2 to 8 GB"),
        ({"spot_fallback": -1}, "greater than or equal to 0"),
    ],
)
def test_value_that_no_option_takes_is_refused_by_the_model(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        EcsOptions.model_validate({"ecs_subnets": "subnet-1", **wrong})


def test_execution_role_without_its_policy_is_refused_with_the_command_that_attaches_it(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    iam = cloud.client("iam")
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust())
    error = refusal(Driven(options, tmp_path), cloud)
    assert f"The role {ROLE} has no policy" in error.what
    assert error.mend == f"aws iam attach-role-policy --role-name {ROLE} --policy-arn {POLICY}"
    iam.attach_role_policy(RoleName=ROLE, PolicyArn=POLICY)
    Driven(options, tmp_path).validate()


def test_execution_role_with_other_policies_is_only_a_word(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    iam = cloud.client("iam")
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust())
    iam.put_role_policy(RoleName=ROLE, PolicyName="own", PolicyDocument=json.dumps(OWN))
    with caplog.at_level(logging.WARNING):
        Driven(options, tmp_path).validate()
    assert "attach-role-policy" in caplog.text


def test_execution_role_that_ecs_may_not_assume_is_refused(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    cloud.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=trust("ec2.amazonaws.com"))
    error = refusal(Driven(options, tmp_path), cloud)
    assert "does not trust ecs-tasks.amazonaws.com" in error.what
    assert error.mend.startswith(f"aws iam update-assume-role-policy --role-name {ROLE}")


def test_task_role_that_tasks_may_not_assume_is_refused(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.client("iam").create_role(RoleName="mine", AssumeRolePolicyDocument=trust("ec2.amazonaws.com"))
    driven = Driven({**options, "ecs_task_role_arn": "arn:aws:iam::123456789012:role/mine"}, tmp_path)
    error = refusal(driven, cloud)
    assert error.where == "--ecs-task-role-arn"
    assert error.mend.startswith("aws iam update-assume-role-policy --role-name mine")
    with cloud.fault("denied:operation=GetRole"), caplog.at_level(logging.WARNING):
        driven.validate()
    assert "the role mine is not looked at, for iam:GetRole is not allowed" in caplog.text


def foreign_definition(cloud: LocalCloud, **other: Any) -> None:
    given = {
        "family": "scaler-task-definition",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "scaler-container", "image": "stand-in:latest"}],
    }
    cloud.client("ecs").register_task_definition(**{**given, **other})


def test_somebody_elses_task_definition_that_differs_is_refused_with_what_differs(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    foreign_definition(cloud, cpu="1024", memory="2048")
    error = refusal(Driven(options, tmp_path), cloud)
    assert "--ecs-task-cpu is 0.25, and there it is 1" in error.what
    assert "--ecs-task-memory is 0.5, and there it is 2" in error.what
    assert "image" not in error.what
    assert error.where == "--ecs-task-definition, --ecs-task-cpu, --ecs-task-memory"
    assert "--ecs-task-definition ANOTHER-NAME" in error.mend


def test_somebody_elses_task_definition_that_is_what_is_wanted_is_used_as_it_is(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    foreign_definition(cloud)
    there = {each["id"] for each in cloud.resources()}
    driven = Driven(options, tmp_path)
    driven.validate()
    driven.start("g-1")
    driven.until_running("g-1")
    driven.end()
    driven.cleanup()
    assert {each["id"] for each in cloud.resources() if each["left"]} <= there
    assert cloud.calls("ecs:RegisterTaskDefinition")[1:] == []


def test_somebody_elses_cluster_without_spot_is_refused_with_the_command_that_adds_it(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    cloud.client("ecs").create_cluster(clusterName="scaler-cluster")
    Driven(options, tmp_path).validate()
    error = refusal(Driven({**options, "capacity_provider": "FARGATE_SPOT"}, tmp_path), cloud)
    assert "--capacity-provider" in error.where
    assert "aws ecs put-cluster-capacity-providers --cluster scaler-cluster" in error.mend


def test_other_python_is_a_word_only_where_nobody_chose_it(
    cloud: LocalCloud,
    subnet: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("scaler_plugin_ecs.validating.HERE", (3, 11))
    with caplog.at_level(logging.WARNING):
        Driven({"ecs_subnets": subnet, "ecs_python_version": "3.13"}, tmp_path).validate()
        assert "--ecs-python-version" not in caplog.text
        Driven({"ecs_subnets": subnet}, tmp_path).validate()
    assert "tasks run Python 3.12.11, the default of --ecs-python-version, and this is 3.11" in caplog.text


def test_no_credentials_at_all_says_how_to_get_some(
    cloud: LocalCloud, subnet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    error = refusal(Driven({"ecs_subnets": subnet}, tmp_path), cloud)
    assert error.what == "There are no AWS credentials."
    for way in ("aws configure", "aws login", "--aws-profile", "AWS_ACCESS_KEY_ID"):
        assert way in error.mend


def test_half_an_access_key_is_refused(cloud: LocalCloud, subnet: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Driven({"ecs_subnets": subnet, "aws_access_key_id": "AKIAEXAMPLE"}, tmp_path)
    assert caught.value.where == "--aws-secret-access-key"


def test_profile_that_is_not_there_is_refused(cloud: LocalCloud, subnet: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no profile 'nobody'") as caught:
        Driven({"ecs_subnets": subnet, "aws_profile": "nobody"}, tmp_path)
    assert caught.value.where == "--aws-profile"
    assert "aws login --profile" in caught.value.mend


def test_expired_credentials_say_what_to_run(cloud: LocalCloud, subnet: str, tmp_path: Path) -> None:
    driven = Driven({"ecs_subnets": subnet}, tmp_path)
    with cloud.fault("expired"):
        error = refusal(driven, cloud)
    assert "ec2:DescribeSubnets" in error.what
    assert "aws login" in error.mend


def test_questions_that_aws_does_not_answer_at_once_are_asked_again(
    cloud: LocalCloud, subnet: str, tmp_path: Path
) -> None:
    driven = Driven({"ecs_subnets": subnet}, tmp_path)
    with cloud.fault("any:operation=DescribeSubnets,count=2"):
        driven.validate()


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "cn-north-1", "ap-southeast-7", "us-iso-east-1"])
def test_region_that_aws_may_have_is_taken(region: str) -> None:
    assert EcsOptions(ecs_subnets=("subnet-1",), aws_region=region).aws_region == region


def test_aws_that_nobody_reaches_is_told_with_region_and_network(
    cloud: LocalCloud, subnet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scaler_plugin_ecs.patience._PAUSE", 0.001)
    # A port that is nobody's: none can be bound to it.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    error = refusal(Driven({"ecs_subnets": subnet}, tmp_path), cloud)
    assert "cannot be reached" in error.what
    assert "--aws-region us-east-1" in error.where
    assert "proxy" in error.mend
