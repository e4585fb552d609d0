"""ECS refuses what AWS refuses, in AWS's words; what is counted, paged and repeated is as AWS does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ecs_cloud import CLUSTER, POLICY, SLEEP, EcsCloud, container
from scaler.testing.localcloud import LocalCloud
from scaler.testing.localcloud.ecs import fargate

CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"


@pytest.fixture(scope="module")
def cloud_options() -> dict[str, Any]:
    """Roles are seen at once."""
    return {"iam_seconds": 0}


def refused(call: Any, *arguments: Any, **keywords: Any) -> tuple[str, str]:
    """Code and sentence."""
    with pytest.raises(ClientError) as caught:
        call(*arguments, **keywords)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def subnets(*names: str, **more: Any) -> dict[str, Any]:
    return {"awsvpcConfiguration": {"subnets": list(names), **more}}


RUNS: dict[str, tuple[dict[str, Any], str, str]] = {
    "too many": ({"count": 11}, "InvalidParameterException", "count should be between 1 and 10."),
    "none": ({"count": 0}, "InvalidParameterException", "count should be between 1 and 10."),
    "another cluster": ({"cluster": "other"}, "ClusterNotFoundException", "Cluster not found."),
    "another definition": ({"taskDefinition": "other"}, "InvalidParameterException", "TaskDefinition not found."),
    "launch type and provider": (
        {"launchType": "FARGATE", "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT"}]},
        "InvalidParameterException",
        "Specify either Launch Type or Capacity Provider Strategy, but not both.",
    ),
    "instances": (
        {"launchType": "EC2"},
        "InvalidParameterException",
        "No Container Instances were found in your cluster.",
    ),
    "neither": (
        {"launchType": None},
        "InvalidParameterException",
        "No Container Instances were found in your cluster.",
    ),
    "no network": (
        {"networkConfiguration": None},
        "InvalidParameterException",
        "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
    ),
    "no subnets": ({"networkConfiguration": subnets()}, "InvalidParameterException", "subnets can not be empty."),
    "no such subnet": (
        {"networkConfiguration": subnets("subnet-x")},
        "InvalidParameterException",
        "Error retrieving subnet information for [subnet-x]: The subnet ID 'subnet-x' does not exist "
        "(ErrorCode: InvalidSubnetID.NotFound)",
    ),
    "another container": (
        {"overrides": {"containerOverrides": [{"name": "other"}]}},
        "InvalidParameterException",
        "Override for container named other is not a container in the TaskDefinition.",
    ),
    "a long override": (
        {"overrides": {"containerOverrides": [{"name": "main", "command": ["x" * 8192]}]}},
        "InvalidParameterException",
        "Container Overrides length must be at most 8192",
    ),
    "another size": (
        {"overrides": {"cpu": "256", "memory": "4096"}},
        "ClientException",
        "No Fargate configuration exists for given values: 256 CPU, 4096 memory. "
        "See the Amazon ECS documentation for the valid values.",
    ),
    "a long startedBy": (
        {"startedBy": "x" * 129},
        "InvalidParameterException",
        "startedBy: up to 128 letters, numbers, hyphens, forward slashes and underscores are allowed.",
    ),
    "a startedBy of other letters": (
        {"startedBy": "a:b"},
        "InvalidParameterException",
        "startedBy: up to 128 letters, numbers, hyphens, forward slashes and underscores are allowed.",
    ),
    "a long token": (
        {"clientToken": "x" * 65},
        "InvalidParameterException",
        "clientToken must be 1 to 64 characters of the ASCII range 33-126.",
    ),
    "a token of other letters": (
        {"clientToken": "a b"},
        "InvalidParameterException",
        "clientToken must be 1 to 64 characters of the ASCII range 33-126.",
    ),
    "many tags": (
        {"tags": [{"key": f"k{number}", "value": ""} for number in range(51)]},
        "InvalidParameterException",
        "The maximum number of tags is 50.",
    ),
    "a long key": (
        {"tags": [{"key": "k" * 129, "value": ""}]},
        "InvalidParameterException",
        "A tag's key has 1 to 128 characters, its value at most 256.",
    ),
    "a key twice": (
        {"tags": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]},
        "InvalidParameterException",
        "Duplicate tag keys: k",
    ),
    "a key of AWS's": (
        {"tags": [{"key": "AWS:k", "value": ""}]},
        "InvalidParameterException",
        "The tag key AWS:k is reserved: it starts with aws:",
    ),
}


@pytest.mark.parametrize(("more", "code", "sentence"), RUNS.values(), ids=list(RUNS))
def test_run_task_refuses(ecs: EcsCloud, more: dict[str, Any], code: str, sentence: str) -> None:
    given = {"taskDefinition": ecs.register(), **more}
    assert refused(ecs.run_task, given.pop("taskDefinition"), SLEEP if "overrides" not in more else None, **given) == (
        code,
        sentence,
    )
    assert ecs.cloud.do("tasks") == []


def test_a_tag_with_other_letters_is_refused(ecs: EcsCloud) -> None:
    code, sentence = refused(ecs.run_task, ecs.register(), SLEEP, tags=[{"key": "a;b", "value": ""}])
    assert code == "InvalidParameterException"
    assert "Some tags contain invalid characters" in sentence


def test_an_override_may_have_as_many_characters_as_aws_takes(ecs: EcsCloud) -> None:
    definition = ecs.register()

    def overrides(length: int) -> dict[str, Any]:
        empty = len('{"containerOverrides":[{"name":"main","command":[":",""]}]}')
        return {"containerOverrides": [{"name": "main", "command": [":", "x" * (length - empty)]}]}

    assert refused(ecs.run, definition, overrides=overrides(8193))[1].endswith("at most 8192")
    ecs.run(definition, overrides=overrides(8192))


def test_security_groups_must_exist_and_are_at_most_five(ecs: EcsCloud) -> None:
    definition, subnet = ecs.register(), ecs.cloud.subnet
    code, sentence = refused(ecs.run, definition, networkConfiguration=subnets(subnet, securityGroups=["sg-x"]))
    assert code == "InvalidParameterException"
    assert "The security group 'sg-x' does not exist (ErrorCode: InvalidGroup.NotFound)" in sentence
    many = subnets(subnet, securityGroups=[f"sg-{number}" for number in range(6)])
    assert refused(ecs.run, definition, networkConfiguration=many)[1] == "securityGroups can have at most 5 items."


def test_without_security_groups_a_task_has_the_default_one(ecs: EcsCloud) -> None:
    [task] = ecs.run_task(ecs.register(), SLEEP)["tasks"]
    ecs.wait("RUNNING", task["taskArn"])
    [running] = ecs.describe(task["taskArn"])
    details = {each["name"]: each["value"] for each in running["attachments"][0]["details"]}
    ec2 = ecs.cloud.client("ec2")
    [interface] = ec2.describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])[
        "NetworkInterfaces"
    ]
    assert [each["GroupName"] for each in interface["Groups"]] == ["default"]


def test_an_inactive_definition_does_not_run_and_its_family_is_the_latest_active_one(ecs: EcsCloud) -> None:
    first, second = ecs.register(), ecs.register()
    ecs.ecs.deregister_task_definition(taskDefinition=second)
    assert refused(ecs.run, second, SLEEP) == ("InvalidParameterException", "TaskDefinition is inactive")
    [task] = ecs.describe(ecs.run("tasks", SLEEP))
    assert task["taskDefinitionArn"] == first
    described = ecs.ecs.describe_task_definition(taskDefinition="tasks")["taskDefinition"]
    assert described["taskDefinitionArn"] == first


def test_definitions_are_deleted_after_they_were_deregistered(ecs: EcsCloud) -> None:
    arn = ecs.register()
    [failure] = ecs.ecs.delete_task_definitions(taskDefinitions=[arn])["failures"]
    assert failure["arn"] == arn
    ecs.ecs.deregister_task_definition(taskDefinition=arn)
    assert "ecs task definition" in str(ecs.cloud.leftovers())
    ecs.ecs.delete_task_definitions(taskDefinitions=[arn])
    assert "ecs task definition" not in str(ecs.cloud.leftovers())


def test_a_provider_must_be_the_clusters(ecs: EcsCloud) -> None:
    ecs.ecs.create_cluster(clusterName="bare")
    spot = [{"capacityProvider": "FARGATE_SPOT"}]
    code, sentence = refused(ecs.run, ecs.register(), SLEEP, cluster="bare", capacityProviderStrategy=spot)
    assert code == "InvalidParameterException"
    assert sentence.startswith(
        "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the "
        "cluster."
    )
    ecs.ecs.put_cluster_capacity_providers(
        cluster="bare", capacityProviders=["FARGATE_SPOT"], defaultCapacityProviderStrategy=spot
    )
    [task] = ecs.run_task("tasks", SLEEP, cluster="bare", launchType=None)["tasks"]
    assert task["capacityProviderName"] == "FARGATE_SPOT"
    ecs.ecs.stop_task(cluster="bare", task=task["taskArn"])


def test_tasks_are_spread_over_providers_by_base_and_weight(ecs: EcsCloud) -> None:
    strategy = [
        {"capacityProvider": "FARGATE", "base": 1, "weight": 1},
        {"capacityProvider": "FARGATE_SPOT", "weight": 2},
    ]
    tasks = ecs.run_task(ecs.register(), SLEEP, count=10, capacityProviderStrategy=strategy)["tasks"]
    names = [each["capacityProviderName"] for each in tasks]
    assert (names.count("FARGATE"), names.count("FARGATE_SPOT")) == (4, 6)


def test_without_capacity_there_are_failures_and_no_tasks(ecs: EcsCloud) -> None:
    with ecs.cloud.fault("capacity"):
        answer = ecs.run_task(ecs.register(), SLEEP, count=3)
    assert answer["tasks"] == []
    assert [each["reason"] for each in answer["failures"]] == [CAPACITY] * 3


def test_capacity_for_some_starts_some(ecs: EcsCloud) -> None:
    with ecs.cloud.fault("capacity:count=2"):
        answer = ecs.run_task(ecs.register(), SLEEP, count=5)
    assert (len(answer["tasks"]), len(answer["failures"])) == (3, 2)


def test_the_same_token_is_the_same_tasks(ecs: EcsCloud) -> None:
    definition = ecs.register()
    first = ecs.run_task(definition, SLEEP, count=2, clientToken="token")
    again = ecs.run_task(definition, SLEEP, count=2, clientToken="token")
    assert [each["taskArn"] for each in again["tasks"]] == [each["taskArn"] for each in first["tasks"]]
    assert len(ecs.cloud.do("tasks")) == 2


def test_the_same_token_with_other_parameters_is_a_conflict_that_names_the_tasks(ecs: EcsCloud) -> None:
    definition = ecs.register()
    arn = ecs.run(definition, SLEEP, clientToken="token")
    with pytest.raises(ecs.ecs.exceptions.ConflictException) as caught:
        ecs.run(definition, ["sleep", "2"], clientToken="token")
    assert caught.value.response["resourceIds"] == [arn]
    assert len(ecs.cloud.do("tasks")) == 1


def test_a_token_is_of_one_cluster(ecs: EcsCloud) -> None:
    definition = ecs.register()
    ecs.ecs.create_cluster(clusterName="other")
    ecs.run(definition, SLEEP, clientToken="token")
    [task] = ecs.run_task(definition, SLEEP, clientToken="token", cluster="other")["tasks"]
    assert len(ecs.cloud.do("tasks")) == 2
    ecs.ecs.stop_task(cluster="other", task=task["taskArn"])


def test_a_lost_answer_and_the_sdks_second_try_are_one_task(ecs: EcsCloud) -> None:
    with ecs.cloud.fault("drop:operation=RunTask,count=1"):
        arn = ecs.run(ecs.register(), SLEEP)
    assert [each["taskArn"] for each in ecs.cloud.do("tasks")] == [arn]


def test_an_unknown_task_is_missing_and_cannot_be_stopped(ecs: EcsCloud) -> None:
    unknown = f"arn:aws:ecs:us-east-1:123456789012:task/{CLUSTER}/{'0' * 32}"
    answer = ecs.ecs.describe_tasks(cluster=CLUSTER, tasks=[unknown])
    assert (answer["tasks"], answer["failures"]) == ([], [{"arn": unknown, "reason": "MISSING"}])
    assert refused(ecs.stop, unknown) == ("InvalidParameterException", "The referenced task was not found.")


def test_describe_tasks_takes_one_to_a_hundred(ecs: EcsCloud) -> None:
    many = ["0" * 32] * 101
    assert refused(ecs.describe, *many)[0] == "InvalidParameterException"
    assert refused(ecs.describe) == ("InvalidParameterException", "Tasks cannot be empty.")


def test_lists_are_of_tasks_that_are_wanted_and_come_in_pages(ecs: EcsCloud) -> None:
    definition = ecs.register()
    arns = [each["taskArn"] for each in ecs.run_task(definition, SLEEP, count=5, startedBy="me")["tasks"]]
    other = ecs.run(ecs.register("other"), SLEEP, startedBy="you")
    pages = list(
        ecs.ecs.get_paginator("list_tasks").paginate(cluster=CLUSTER, startedBy="me", PaginationConfig={"PageSize": 2})
    )
    assert [len(each["taskArns"]) for each in pages] == [2, 2, 1]
    assert sorted(arn for each in pages for arn in each["taskArns"]) == sorted(arns)
    assert ecs.ecs.list_tasks(cluster=CLUSTER, family="other")["taskArns"] == [other]
    ecs.stop(other)
    assert sorted(ecs.ecs.list_tasks(cluster=CLUSTER)["taskArns"]) == sorted(arns)
    assert ecs.ecs.list_tasks(cluster=CLUSTER, desiredStatus="STOPPED")["taskArns"] == [other]


def test_started_by_is_the_only_filter(ecs: EcsCloud) -> None:
    for more in ({"family": "tasks"}, {"desiredStatus": "STOPPED"}):
        assert refused(ecs.ecs.list_tasks, cluster=CLUSTER, startedBy="me", **more)[0] == "InvalidParameterException"
    assert refused(ecs.ecs.list_tasks, cluster=CLUSTER, maxResults=101)[0] == "InvalidParameterException"


def test_a_cluster_with_tasks_is_not_deleted(ecs: EcsCloud) -> None:
    ecs.run(ecs.register(), SLEEP)
    code, _ = refused(ecs.ecs.delete_cluster, cluster=CLUSTER)
    assert code == "ClusterContainsTasksException"


def test_a_deleted_cluster_is_inactive(ecs: EcsCloud) -> None:
    definition = ecs.register()
    ecs.ecs.delete_cluster(cluster=CLUSTER)
    assert refused(ecs.run, definition, SLEEP) == ("ClusterNotFoundException", "The referenced cluster was inactive.")
    ecs.ecs.create_cluster(clusterName=CLUSTER)
    ecs.run(definition, SLEEP)


def test_a_cluster_that_is_there_is_the_answer_to_its_creation(ecs: EcsCloud) -> None:
    ecs.run(ecs.register(), SLEEP)
    again = ecs.ecs.create_cluster(clusterName=CLUSTER)["cluster"]
    assert again["status"] == "ACTIVE"
    assert len(ecs.ecs.list_tasks(cluster=CLUSTER)["taskArns"]) == 1
    code, sentence = refused(ecs.ecs.create_cluster, clusterName=CLUSTER, capacityProviders=["FARGATE"])
    assert code == "InvalidParameterException"
    assert "inconsistent with arguments used in previous request(s)" in sentence


def test_a_tasks_tags_can_be_changed_while_it_lives(ecs: EcsCloud) -> None:
    arn = ecs.run(ecs.register(), SLEEP, tags=[{"key": "a", "value": "1"}])
    ecs.ecs.tag_resource(resourceArn=arn, tags=[{"key": "b", "value": "2"}])
    ecs.ecs.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert ecs.ecs.list_tags_for_resource(resourceArn=arn)["tags"] == [{"key": "b", "value": "2"}]


def test_tags_of_the_definition_are_the_tasks_where_it_is_asked_for(ecs: EcsCloud) -> None:
    definition = ecs.register(tags=[{"key": "a", "value": "1"}])
    [task] = ecs.run_task(definition, SLEEP, propagateTags="TASK_DEFINITION")["tasks"]
    assert task["tags"] == [{"key": "a", "value": "1"}]


def test_roles_must_exist_and_trust_ecs(ecs: EcsCloud) -> None:
    for role in (ecs.role("instances", service="ec2.amazonaws.com"), "arn:aws:iam::123456789012:role/none"):
        code, sentence = refused(ecs.run, ecs.register(executionRoleArn=role), SLEEP)
        assert code == "ClientException"
        assert sentence.startswith(f"ECS was unable to assume the role '{role}' that was provided for this task.")
    role = ecs.role("execution", POLICY)
    ecs.run(ecs.register(executionRoleArn=role, taskRoleArn=role), SLEEP)


def test_a_role_is_not_seen_at_once(folders: Path) -> None:
    with LocalCloud(iam_seconds=3600) as cloud:
        ecs = EcsCloud(cloud)
        definition = ecs.register(executionRoleArn=ecs.role("execution", POLICY))
        code, sentence = refused(ecs.run, definition, SLEEP)
        assert code == "ClientException"
        assert sentence.startswith("ECS was unable to assume the role")


@pytest.mark.parametrize("cpu", fargate.MEMORY)
def test_every_size_that_fargate_has_can_be_registered(ecs: EcsCloud, cpu: int) -> None:
    for memory in sorted(fargate.MEMORY[cpu])[::8]:
        ecs.register(cpu=str(cpu), memory=str(memory))


def test_sizes_may_be_written_with_units(ecs: EcsCloud) -> None:
    arn = ecs.register(cpu="4 vCPU", memory="30 GB")
    definition = ecs.ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    assert (definition["cpu"], definition["memory"]) == ("4096", "30720")


AWSLOGS = {"logDriver": "awslogs", "options": {"awslogs-group": "g", "awslogs-region": "us-east-1"}}
DEFINITIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no such size": (
        {"cpu": "1024", "memory": "1024"},
        "No Fargate configuration exists for given values: 1024 CPU, 1024 memory. "
        "See the Amazon ECS documentation for the valid values.",
    ),
    "no cpu": ({"cpu": None}, "Fargate requires that 'cpu' be defined at the task level."),
    "no memory": ({"memory": None}, "Fargate requires that 'memory' be defined at the task level."),
    "another cpu": ({"cpu": "much"}, "Invalid 'cpu' setting for task."),
    "another network": (
        {"networkMode": "bridge"},
        "Fargate only supports network mode \u2018awsvpc\u2019.",
    ),
    "no containers": ({"containerDefinitions": []}, "Container list cannot be empty."),
    "logs without a role": (
        {"containerDefinitions": [container(logConfiguration=AWSLOGS)]},
        "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
    ),
    "a private image without a role": (
        {"containerDefinitions": [container(image="123456789012.dkr.ecr.us-east-1.amazonaws.com/a:1")]},
        "Fargate requires task definition to have execution role ARN to support ECR images.",
    ),
    "a long stop": (
        {"containerDefinitions": [container(stopTimeout=121)]},
        "Invalid setting for container 'main'. The stopTimeout value must be 120 seconds or less.",
    ),
    "two of a name": (
        {"containerDefinitions": [container(), container()]},
        "Container names should be unique.",
    ),
    "nothing essential": (
        {"containerDefinitions": [container(essential=False)]},
        "At least one essential container should be specified.",
    ),
    "another family": ({"family": "a b"}, "Family contains invalid characters."),
}


@pytest.mark.parametrize(("more", "sentence"), DEFINITIONS.values(), ids=list(DEFINITIONS))
def test_register_task_definition_refuses(ecs: EcsCloud, more: dict[str, Any], sentence: str) -> None:
    assert refused(ecs.register, **more) == ("ClientException", sentence)


def test_a_task_is_found_in_its_own_cluster_alone(ecs: EcsCloud) -> None:
    arn = ecs.run(ecs.register(), SLEEP)
    ecs.ecs.create_cluster(clusterName="other")
    answer = ecs.ecs.describe_tasks(cluster="other", tasks=[arn])
    assert [each["reason"] for each in answer["failures"]] == ["MISSING"]
    assert refused(ecs.ecs.stop_task, cluster="other", task=arn)[1] == "The referenced task was not found."
