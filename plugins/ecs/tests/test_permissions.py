"""What AWS must allow: the two managed policies of the quick start do, and the policy that is printed is exact."""

import json
import logging
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from driving import Driven
from scaler.config.table import WORKER_MANAGER
from scaler.managers.api import ConfigurationError, Scope, UnitState
from scaler.testing.localcloud import LocalCloud
from scaler_plugin_ecs import driver
from scaler_plugin_ecs.options import EcsOptions
from scaler_plugin_ecs.policy import policy
from scaler_plugin_ecs.policy_line import FLAGS, LISTS, VALUES, read

ACCOUNT = "123456789012"
MANAGED = ("arn:aws:iam::aws:policy/AmazonECS_FullAccess", "arn:aws:iam::aws:policy/IAMFullAccess")


def as_user(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch, name: str, *policies: Any) -> str:
    """Its access key, which this process has from now on."""
    key, secret = cloud.user(name, *policies)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    return key


def whole_life(options: dict[str, Any], folder: Path, cloud: LocalCloud) -> Driven:
    """All calls that a manager can make: it makes everything, has tasks that live and one that fails, is started again
    with other options, and cleans up."""
    driven = Driven(options, folder)
    driven.validate()
    driven.start("g-1")
    driven.until_running("g-1")
    later = Driven({**options, "ecs_task_memory": 1}, folder, generation=2)
    # What is there by now is looked at.
    later.validate()
    assert later.units()["g-1"].state is UnitState.RUNNING
    (unit,) = later.start("g-2")
    later.until_running("g-2")
    cloud.do("kill_task", task=unit.infrastructure_id)
    later.until_ended("g-2")
    later.end("g-1", "g-2")
    return later


def test_two_managed_policies_are_enough_and_what_they_lack_is_a_line_each(
    cloud: LocalCloud,
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    as_user(cloud, monkeypatch, "quick-start", *MANAGED)
    with caplog.at_level(logging.INFO):
        driven = whole_life(options, tmp_path, cloud)
        driven.cleanup()
    words = [each.getMessage() for each in caplog.records if each.levelno >= logging.INFO]
    assert len([each for each in words if "logs:TagResource is not allowed" in each]) == 1
    assert len([each for each in words if "logs:PutRetentionPolicy is not allowed" in each]) == 1
    # It has no tags, and nothing without them is ever deleted.
    assert [each for each in cloud.leftovers() if "log group" not in each] == []


VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "spot": {"capacity_provider": "FARGATE_SPOT"},
    "no logs": {"ecs_log_group": ""},
    "logs for ever": {"ecs_log_retention_days": 0},
    "own roles": {
        "ecs_execution_role_arn": f"arn:aws:iam::{ACCOUNT}:role/execution",
        "ecs_task_role_arn": f"arn:aws:iam::{ACCOUNT}:role/task",
    },
    "security group": {"ecs_security_group_ids": "default"},
}


@pytest.fixture(params=VARIANTS)
def chosen(request: pytest.FixtureRequest, cloud: LocalCloud, options: dict[str, Any]) -> dict[str, Any]:
    """Options of one kind, and what they take for granted."""
    more = dict(VARIANTS[request.param])
    if request.param == "own roles":
        allowed = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        iam = cloud.client("iam")
        for name in ("execution", "task"):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [allowed]}))
        attached = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
        iam.attach_role_policy(RoleName="execution", PolicyArn=attached)
    if request.param == "security group":
        groups = cloud.client("ec2").describe_security_groups()["SecurityGroups"]
        more["ecs_security_group_ids"] = [each["GroupId"] for each in groups if each["GroupName"] == "default"][:1]
    return {**options, **more}


def actions(document: dict[str, Any]) -> set[str]:
    return {action for statement in document["Statement"] for action in statement["Action"]}


def test_printed_policy_is_enough_and_nothing_of_it_is_without_need(
    chosen: dict[str, Any],
    cloud: LocalCloud,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    document = policy(EcsOptions.model_validate(chosen), ACCOUNT)
    key = as_user(cloud, monkeypatch, "least", document)
    with caplog.at_level(logging.WARNING):
        whole_life(chosen, tmp_path, cloud).cleanup()
        # The ends that are for people; of a role without its policy more is looked at.
        Driven(chosen, tmp_path, generation=3).cleanup(Scope.CLUSTER)
    assert "not allowed" not in caplog.text
    needed = set(cloud.do("actions", access_key=key))
    assert needed <= actions(document)
    # Asked of somebody else's role alone; and of one's own cluster, when it lacks Spot.
    rare = {"iam:ListRolePolicies", "ecs:PutClusterCapacityProviders"}
    assert actions(document) - needed <= rare


def test_rare_actions_of_the_policy_are_needed_too(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spot = {**options, "capacity_provider": "FARGATE_SPOT"}
    key = as_user(cloud, monkeypatch, "least", policy(EcsOptions.model_validate(spot), ACCOUNT))
    on_demand = Driven(options, tmp_path)
    on_demand.start("g-1")
    Driven(spot, tmp_path, generation=2).start("g-2")
    cloud.client("iam").untag_role(RoleName="ecsTaskExecutionRole", TagKeys=["scaler:manager"])
    attached = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
    cloud.client("iam").detach_role_policy(RoleName="ecsTaskExecutionRole", PolicyArn=attached)
    with pytest.raises(ConfigurationError, match="has no policy"):
        Driven(spot, tmp_path, generation=3).validate()
    needed = set(cloud.do("actions", access_key=key))
    assert {"iam:ListRolePolicies", "ecs:PutClusterCapacityProviders"} <= needed


def test_resources_of_the_policy_are_those_of_the_options(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = policy(EcsOptions.model_validate(options), ACCOUNT)
    as_user(cloud, monkeypatch, "least", document)
    other = Driven({**options, "ecs_cluster": "somebody-elses"}, tmp_path)
    (unit,) = other.start("g-1")
    assert unit.state is UnitState.FAILED
    assert "AWS does not allow ecs:DescribeClusters" in unit.detail


def test_denied_action_is_named_with_the_command_that_prints_the_policy(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = policy(EcsOptions.model_validate(options), ACCOUNT)
    statements = [each for each in document["Statement"] if each["Sid"] != "PassRoles"]
    as_user(cloud, monkeypatch, "lacking", {**document, "Statement": statements})
    (unit,) = Driven(options, tmp_path).start("g-1")
    assert unit.state is UnitState.FAILED
    assert "AWS does not allow iam:PassRole" in unit.detail
    assert "scaler_worker_manager aws_raw_ecs iam-policy" in unit.detail


def test_what_may_not_be_tagged_is_made_without_and_said_once_each(
    cloud: LocalCloud,
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    document = policy(EcsOptions.model_validate(options), ACCOUNT)
    tags = {"Tags", "MakeRole"}
    statements = [each for each in document["Statement"] if each["Sid"] not in tags]
    make = {"Effect": "Allow", "Action": "iam:CreateRole", "Resource": "*"}
    as_user(cloud, monkeypatch, "untagging", {**document, "Statement": [*statements, make]})
    with caplog.at_level(logging.WARNING):
        (unit,) = Driven(options, tmp_path).start("g-1")
    for kind, action in (("cluster", "ecs:TagResource"), ("role", "iam:TagRole"), ("definition", "ecs:TagResource")):
        lines = [each for each in caplog.messages if f" {kind} " in each and f"{action} is not allowed" in each]
        assert len(lines) == 1, (kind, caplog.messages)
    # A task without its owner's tags would be nobody's: there is none.
    assert unit.state is UnitState.FAILED
    assert "ecs:TagResource" in unit.detail


def test_command_prints_the_policy_of_the_managers_own_options(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = driver.commands()["iam-policy"]
    words = ["tcp://127.0.0.1:8516", "--max-task-concurrency", "4", "--ecs-subnets", "subnet-1"]
    context: Any = None
    assert command([*words, "--aws-account", ACCOUNT, "--ecs-cluster=mine", "--aws-region", "cn-north-1"], context) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["Version"] == "2012-10-17"
    resources = [each for statement in document["Statement"] for each in statement["Resource"]]
    assert f"arn:aws-cn:ecs:cn-north-1:{ACCOUNT}:cluster/mine" in resources
    assert not any("{" in each for each in resources)
    with pytest.raises(ConfigurationError) as caught:
        command(["--capacity-provider", "EC2"], context)
    assert caught.value.where == "--capacity-provider"


@pytest.mark.parametrize(
    ("words", "what", "mend"),
    [
        (["--ecs-clustr", "mine"], "There is no option --ecs-clustr.", "did you mean --ecs-cluster?"),
        (["--max-task-concurency=4"], "There is no option --max-task-concurency.", "--max-task-concurrency?"),
        (["mine"], "There is no place for 'mine'.", "--help"),
        (["--ecs-cluster"], "expected one argument", "--help"),
        (["-c", "config.toml"], "reads no file", "type what the file has"),
        (["--aws-account", "12"], "'12' is no AWS account", "12 digits"),
    ],
)
def test_words_that_the_policy_command_does_not_know_are_refused(words: list[str], what: str, mend: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(words, {})
    assert what in caught.value.what
    assert mend in caught.value.mend


def test_policy_command_passes_the_managers_other_options_over() -> None:
    """They are the manager's, all of them and no more."""

    def of(kind: str) -> set[str]:
        plain = [each for each in WORKER_MANAGER.options if each.kind == kind]
        older = [name if name[0] == "-" else "--" + name.replace("_", "-") for each in plain for name in each.older]
        return {each.flag for each in plain} | {each.short for each in plain if each.short} | set(older)

    assert of("value") == set(VALUES)
    assert of("list") == set(LISTS)
    assert of("flag") == set(FLAGS)
    words = "tcp://127.0.0.1:8516 -mtc 4 --insecure --ecs-subnets a,b -ll INFO --ecs-cluster=mine -lp - x"
    assert read(words.split(), {}) == ({"ecs_subnets": "a,b", "ecs_cluster": "mine"}, "*")


def test_policy_command_reads_the_managers_variables() -> None:
    environment = {"SCALER_ECS_CLUSTER": "mine", "SCALER_CAPACITY_PROVIDER": "FARGATE_SPOT", "AWS_ACCESS_KEY_ID": "k"}
    values, _ = read(["--ecs-cluster", "typed"], environment)
    assert values == {"ecs_cluster": "typed", "capacity_provider": "FARGATE_SPOT", "aws_access_key_id": "k"}


def test_policy_allows_nothing_beyond_its_names() -> None:
    document = policy(EcsOptions(ecs_subnets=("subnet-1",)), ACCOUNT)
    for statement in document["Statement"]:
        if statement["Resource"] == ["*"]:
            harmless = ("*:Describe*", "*:List*", "ecs:CreateCluster", "ecs:*egisterTaskDefinition")
            assert all(any(fnmatchcase(each, one) for one in harmless) for each in statement["Action"])
