"""Policies are really evaluated when a user's keys are used, and what IAM makes is seen a little later."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from scaler.testing.localcloud import LocalCloud
from scaler.testing.localcloud.client import REGION

# What is asked here is another question than what is left.
pytestmark = pytest.mark.leaves

ECS_FULL = "arn:aws:iam::aws:policy/AmazonECS_FullAccess"
IAM_FULL = "arn:aws:iam::aws:policy/IAMFullAccess"
TASKS = "ecs-tasks.amazonaws.com"


def statement(*actions: str, resource: Any = "*", effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": list(actions), "Resource": resource, **more}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def trust(service: str) -> str:
    principal = {"Service": service} if service.endswith(".com") else {"AWS": service}
    return json.dumps(document({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}))


def refused(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def make_role(cloud: LocalCloud, name: str, service: str = TASKS) -> str:
    made = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust(service))
    arn: str = made["Role"]["Arn"]
    return arn


def until_allowed(cloud: LocalCloud, role: str, action: str, allowed: bool = True) -> None:
    """What IAM makes is seen a little later."""
    while cloud.do("allowed", arn=role, action=action) is not allowed:
        time.sleep(0.01)


def definition(role: str = "") -> dict[str, Any]:
    return {
        "family": "family",
        "containerDefinitions": [{"name": "main", "image": "image", "memory": 512}],
        "cpu": "256",
        "memory": "512",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        **({"taskRoleArn": role} if role else {}),
    }


def test_root_may_do_everything(cloud: LocalCloud) -> None:
    cloud.client("ecs").list_clusters()
    cloud.client("ecs", "anybody", "anybody").list_clusters()


def test_a_user_without_policies_may_only_ask_who_it_is(cloud: LocalCloud) -> None:
    key = cloud.user("joe")
    assert cloud.client("sts", *key).get_caller_identity()["Arn"].endswith(":user/joe")
    assert refused(cloud.client("ecs", *key).list_clusters) == (
        "AccessDeniedException",
        "User: arn:aws:iam::123456789012:user/joe is not authorized to perform: ecs:ListClusters on resource: * "
        "because no identity-based policy allows the ecs:ListClusters action",
    )


def test_a_key_that_was_switched_off_or_deleted_is_nobodys(cloud: LocalCloud) -> None:
    key = cloud.user("joe", ECS_FULL, IAM_FULL)
    iam = cloud.client("iam")
    iam.update_access_key(UserName="joe", AccessKeyId=key[0], Status="Inactive")
    assert refused(cloud.client("ecs", *key).list_clusters)[0] == "UnrecognizedClientException"
    iam.update_access_key(UserName="joe", AccessKeyId=key[0], Status="Active")
    cloud.client("ecs", *key).list_clusters()
    iam.delete_access_key(UserName="joe", AccessKeyId=key[0])
    assert refused(cloud.client("iam", *key).list_roles)[0] == "InvalidClientTokenId"
    assert refused(cloud.client("ec2", *key).describe_vpcs)[0] == "AuthFailure"


@pytest.mark.parametrize(
    ("service", "call", "arguments", "code", "told"),
    [
        ("iam", "list_roles", {}, "AccessDenied", "iam:ListRoles on resource: *"),
        (
            "s3",
            "get_object",
            {"Bucket": "b", "Key": "a/b"},
            "AccessDenied",
            "s3:GetObject on resource: arn:aws:s3:::b/a/b",
        ),
        ("s3", "list_objects_v2", {"Bucket": "b"}, "AccessDenied", "s3:ListBucket on resource: arn:aws:s3:::b "),
        (
            "batch",
            "submit_job",
            {"jobName": "x", "jobQueue": "q", "jobDefinition": "d:1"},
            "AccessDeniedException",
            f"batch:SubmitJob on resource: arn:aws:batch:{REGION}:123456789012:job-definition/d:1",
        ),
        (
            "logs",
            "filter_log_events",
            {"logGroupName": "/ecs/x"},
            "AccessDeniedException",
            "resource: arn:aws:logs:us-east-1:123456789012:log-group:/ecs/x:log-stream: because",
        ),
        (
            "ec2",
            "run_instances",
            {"ImageId": "ami-12345678", "MinCount": 1, "MaxCount": 1},
            "UnauthorizedOperation",
            "You are not authorized to perform this operation. User: arn:aws:iam::123456789012:user/joe is not",
        ),
    ],
)
def test_every_service_refuses_in_its_own_form(
    cloud: LocalCloud, service: str, call: str, arguments: dict[str, Any], code: str, told: str
) -> None:
    got, message = refused(getattr(cloud.client(service, *cloud.user("joe")), call), **arguments)
    assert got == code
    assert told in message


def test_a_statement_is_about_its_resources_only(cloud: LocalCloud) -> None:
    mine = f"arn:aws:ecs:{REGION}:123456789012:cluster/mine-*"
    key = cloud.user("joe", document(statement("ecs:DescribeClusters", resource=mine)))
    ecs = cloud.client("ecs", *key)
    ecs.describe_clusters(clusters=["mine-1"])
    assert "cluster/other because" in refused(ecs.describe_clusters, clusters=["mine-1", "other"])[1]


def test_an_explicit_deny_wins(cloud: LocalCloud) -> None:
    key = cloud.user("joe", ECS_FULL, document(statement("ecs:Delete*", effect="Deny")))
    cloud.client("ecs", *key).create_cluster(clusterName="c")
    _, message = refused(cloud.client("ecs", *key).delete_cluster, cluster="c")
    assert message.endswith("cluster/c with an explicit deny in an identity-based policy")


def test_a_users_groups_count(cloud: LocalCloud) -> None:
    key = cloud.user("joe")
    iam = cloud.client("iam")
    iam.create_group(GroupName="all")
    iam.attach_group_policy(GroupName="all", PolicyArn=ECS_FULL)
    iam.add_user_to_group(GroupName="all", UserName="joe")
    cloud.client("ecs", *key).list_clusters()


def test_a_role_is_passed_only_where_the_statement_says(cloud: LocalCloud) -> None:
    role = make_role(cloud, "task")
    other = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    register, passing = statement("ecs:RegisterTaskDefinition"), statement("iam:PassRole", Condition=other)
    ecs = cloud.client("ecs", *cloud.user("joe", document(register, passing)))
    ecs.register_task_definition(**definition())
    assert f"iam:PassRole on resource: {role} because" in refused(ecs.register_task_definition, **definition(role))[1]
    passing["Condition"]["StringEquals"]["iam:PassedToService"] = TASKS
    again = cloud.client("ecs", *cloud.user("jim", document(register, passing)))
    again.register_task_definition(**definition(role))


def test_tags_given_need_to_be_allowed(cloud: LocalCloud) -> None:
    ecs = cloud.client("ecs", *cloud.user("joe", document(statement("ecs:CreateCluster"))))
    ecs.create_cluster(clusterName="plain")
    _, message = refused(ecs.create_cluster, clusterName="tagged", tags=[{"key": "a", "value": "b"}])
    assert "ecs:TagResource on resource: " in message
    condition = {"StringEquals": {"ecs:CreateAction": "CreateCluster", "aws:RequestTag/a": "b"}}
    allowed = document(statement("ecs:CreateCluster"), statement("ecs:TagResource", Condition=condition))
    ecs = cloud.client("ecs", *cloud.user("jim", allowed))
    ecs.create_cluster(clusterName="tagged", tags=[{"key": "a", "value": "b"}])
    refused(ecs.create_cluster, clusterName="other", tags=[{"key": "a", "value": "c"}])


def test_what_runs_a_task_is_the_definition_the_roles_and_the_tags(cloud: LocalCloud) -> None:
    role = make_role(cloud, "task")
    cloud.client("ecs").register_task_definition(**definition(role))
    key = cloud.user("joe")
    arguments = {"cluster": "c", "taskDefinition": "family", "tags": [{"key": "a", "value": "b"}]}
    refused(cloud.client("ecs", *key).run_task, **arguments)
    begin = f"arn:aws:ecs:{REGION}:123456789012:"
    assert cloud.do("needs", access_key=key[0]) == {
        "ecs:RunTask": [begin + "task-definition/family:1"],
        "iam:PassRole": [role],
        "ecs:TagResource": [begin + "task/c/*"],
    }


def test_all_actions_that_a_key_has_needed_can_be_asked_for(cloud: LocalCloud) -> None:
    key = cloud.user("joe", ECS_FULL)
    ecs = cloud.client("ecs", *key)
    ecs.create_cluster(clusterName="c", tags=[{"key": "a", "value": "b"}])
    ecs.describe_clusters(clusters=["c"])
    cloud.client("sts", *key).get_caller_identity()
    assert cloud.do("actions", access_key=key[0]) == ["ecs:CreateCluster", "ecs:DescribeClusters", "ecs:TagResource"]


def test_the_two_managed_policies_allow_what_they_do_at_aws(cloud: LocalCloud) -> None:
    key = cloud.user("joe", ECS_FULL, IAM_FULL)
    asked = [
        "logs:CreateLogGroup",
        "logs:FilterLogEvents",
        "logs:DescribeLogGroups",
        "logs:TagResource",
        "logs:PutRetentionPolicy",
        "logs:GetLogEvents",
        "logs:DeleteLogGroup",
        "ec2:DescribeSubnets",
        "ec2:DescribeSecurityGroups",
        "iam:SimulatePrincipalPolicy",
        "iam:TagRole",
        "ecs:PutClusterCapacityProviders",
        "ecs:TagResource",
        "ssm:PutParameter",
        "secretsmanager:CreateSecret",
    ]
    user = cloud.client("sts", *key).get_caller_identity()["Arn"]
    assert [each for each in asked if not cloud.do("allowed", arn=user, action=each)] == [
        "logs:TagResource",
        "logs:PutRetentionPolicy",
        "logs:GetLogEvents",
        "logs:DeleteLogGroup",
        "ssm:PutParameter",
        "secretsmanager:CreateSecret",
    ]


def test_a_session_of_a_role_has_the_roles_policies(cloud: LocalCloud) -> None:
    role = make_role(cloud, "role", "123456789012")
    policy = json.dumps(document(statement("ecs:ListClusters")))
    cloud.client("iam").put_role_policy(RoleName="role", PolicyName="own", PolicyDocument=policy)
    until_allowed(cloud, role, "ecs:ListClusters")
    session = cloud.client("sts").assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    ecs = cloud.client("ecs", session["AccessKeyId"], session["SecretAccessKey"])
    ecs.list_clusters()
    _, message = refused(ecs.list_task_definitions)
    assert message.startswith("User: arn:aws:sts::123456789012:assumed-role/role/me is not authorized")


def test_a_role_that_does_not_trust_is_not_assumed(cloud: LocalCloud) -> None:
    role = make_role(cloud, "role")
    for each in (role, role + "-that-is-not-there"):
        code, message = refused(cloud.client("sts").assume_role, RoleArn=each, RoleSessionName="me")
        assert code == "AccessDenied"
        assert f"sts:AssumeRole on resource: {each}" in message


def test_what_one_may_can_be_asked_beforehand(cloud: LocalCloud) -> None:
    mine = "arn:aws:ecs:us-east-1:123456789012:cluster/mine"
    key = cloud.user(
        "joe", IAM_FULL, document(statement("ecs:*", resource=mine), statement("ecs:Stop*", effect="Deny"))
    )
    user = cloud.client("sts", *key).get_caller_identity()["Arn"]
    found = cloud.client("iam", *key).simulate_principal_policy(
        PolicySourceArn=user, ActionNames=["ecs:DescribeClusters", "ecs:StopTask", "s3:GetObject"], ResourceArns=[mine]
    )
    decisions = {each["EvalActionName"]: each["EvalDecision"] for each in found["EvaluationResults"]}
    expected = {"ecs:DescribeClusters": "allowed", "ecs:StopTask": "explicitDeny", "s3:GetObject": "implicitDeny"}
    assert decisions == expected


def test_a_permissions_boundary_is_the_most_that_a_role_may(cloud: LocalCloud) -> None:
    iam = cloud.client("iam")
    only = iam.create_policy(PolicyName="only", PolicyDocument=json.dumps(document(statement("ecs:List*"))))
    boundary = only["Policy"]["Arn"]
    iam.create_role(RoleName="role", AssumeRolePolicyDocument=trust(TASKS), PermissionsBoundary=boundary)
    iam.attach_role_policy(RoleName="role", PolicyArn=ECS_FULL)
    role = "arn:aws:iam::123456789012:role/role"
    until_allowed(cloud, role, "ecs:ListClusters")
    assert not cloud.do("allowed", arn=role, action="ecs:RunTask")


@pytest.fixture(scope="module")
def slow_cloud() -> Iterator[LocalCloud]:
    with LocalCloud(iam_seconds=1.0) as cloud:
        yield cloud


def test_others_see_a_roles_policies_a_little_later(slow_cloud: LocalCloud) -> None:
    role = make_role(slow_cloud, "role")
    slow_cloud.client("iam").attach_role_policy(RoleName="role", PolicyArn=ECS_FULL)
    assert not slow_cloud.do("allowed", arn=role, action="ecs:RunTask")
    until_allowed(slow_cloud, role, "ecs:RunTask")
    slow_cloud.client("iam").detach_role_policy(RoleName="role", PolicyArn=ECS_FULL)
    assert slow_cloud.do("allowed", arn=role, action="ecs:RunTask")
    until_allowed(slow_cloud, role, "ecs:RunTask", False)


def test_what_iam_has_is_left_until_it_is_deleted(cloud: LocalCloud) -> None:
    iam = cloud.client("iam")
    role = make_role(cloud, "role")
    policy = iam.create_policy(PolicyName="own", PolicyDocument=json.dumps(document(statement("*"))))["Policy"]["Arn"]
    profile = iam.create_instance_profile(InstanceProfileName="profile")["InstanceProfile"]["Arn"]
    cloud.user("joe")
    assert cloud.leftovers() == [f"iam instance profile {profile}", f"iam policy {policy}", f"iam role {role}"]
    iam.delete_role(RoleName="role")
    iam.delete_policy(PolicyArn=policy)
    iam.delete_instance_profile(InstanceProfileName="profile")
    assert cloud.leftovers() == []
