"""What really starts where nothing is said: read back from the cloud. Each default of the documents is here."""

from pathlib import Path
from typing import Any

from clouds import tasks
from driving import Driven, group_of
from scaler.managers.api import Scope
from scaler.testing.localcloud import LocalCloud
from scaler_plugin_ecs import driver
from scaler_plugin_ecs.definition import CONTAINER


def environment_of(task: dict[str, Any]) -> dict[str, str]:
    (override,) = task["overrides"]["containerOverrides"]
    assert override["name"] == CONTAINER
    return {each["name"]: each["value"] for each in override["environment"]}


def test_each_default_is_what_starts(cloud: LocalCloud, tmp_path: Path) -> None:
    driven = Driven({"ecs_subnets": cloud.subnet}, tmp_path)
    driven.validate()
    offer = driver.offer(driven.context)
    assert (offer.slots, offer.limits_groups, offer.most_workers, offer.python) == (4, True, 0, "3.12")
    (unit,) = driven.start("g-1")
    (task,) = tasks(cloud)
    assert unit.infrastructure_id == task["taskArn"]
    assert task["clusterArn"].endswith("cluster/scaler-cluster")
    assert task["taskArn"].startswith("arn:aws:ecs:us-east-1:")
    assert "/scaler-task-definition:1" in task["taskDefinitionArn"]
    assert task["launchType"] == "FARGATE"
    assert (task["cpu"], task["memory"]) == ("4096", "30720")
    assert task["startedBy"] == driven.context.owner.hash
    environment = environment_of(task)
    # `scaler-py` is installed from a folder here, and so is not among them.
    assert environment["PYTHON_REQUIREMENTS"].split() == ["tomli", "pargraph", "parfun", "pandas"]
    assert environment["PYTHON_VERSION"] == "3.12.11"
    assert environment["COMMAND"].startswith("exec scaler_cluster tcp://127.0.0.1:1 ")
    driven.end()
    driven.cleanup()
    assert cloud.leftovers() == []


def test_task_definition_and_network_of_the_defaults(cloud: LocalCloud, tmp_path: Path) -> None:
    driven = Driven({"ecs_subnets": cloud.subnet}, tmp_path)
    driven.start("g-1")
    about = cloud.client("ecs").describe_task_definition(taskDefinition="scaler-task-definition", include=["TAGS"])
    definition = about["taskDefinition"]
    (container,) = definition["containerDefinitions"]
    assert container["image"] == "public.ecr.aws/v4u8j8r6/scaler:latest"
    assert container["essential"] is True
    assert container["stopTimeout"] == 120
    assert container["linuxParameters"]["initProcessEnabled"] is True
    assert container["logConfiguration"] == {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": "/ecs/scaler",
            "awslogs-region": "us-east-1",
            "awslogs-stream-prefix": "scaler",
        },
    }
    assert definition["networkMode"] == "awsvpc"
    assert definition["runtimePlatform"] == {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}
    assert definition["executionRoleArn"].endswith(":role/ecsTaskExecutionRole")
    assert "taskRoleArn" not in definition
    (call,) = cloud.calls("ecs:RunTask")
    network = call["parameters"]["networkConfiguration"]["awsvpcConfiguration"]
    assert network == {"subnets": [cloud.subnet], "assignPublicIp": "ENABLED"}
    (group,) = cloud.client("logs").describe_log_groups(logGroupNamePrefix="/ecs/scaler")["logGroups"]
    assert group["retentionInDays"] == 30
    policies = cloud.client("iam").list_attached_role_policies(RoleName="ecsTaskExecutionRole")["AttachedPolicies"]
    assert [each["PolicyName"] for each in policies] == ["AmazonECSTaskExecutionRolePolicy"]


def test_each_option_is_what_starts(cloud: LocalCloud, tmp_path: Path) -> None:
    there = {each["id"] for each in cloud.resources()}
    vpc = cloud.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    security = cloud.client("ec2").create_security_group(GroupName="tasks", Description="tasks", VpcId=vpc)["GroupId"]
    trust = (
        '{"Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
    )
    iam = cloud.client("iam")
    execution = iam.create_role(RoleName="execution", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    policy = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
    iam.attach_role_policy(RoleName="execution", PolicyArn=policy)
    own = iam.create_role(RoleName="task", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    subnets = [each["SubnetId"] for each in cloud.client("ec2").describe_subnets()["Subnets"]][:2]
    driven = Driven(
        {
            "ecs_subnets": ", ".join(subnets),
            "ecs_cluster": "own-cluster",
            "ecs_task_definition": "own-definition",
            "ecs_task_image": "stand-in:2",
            "ecs_task_cpu": 0.5,
            "ecs_task_memory": 1,
            "ecs_python_requirements": ["numpy", "scipy; python_version > '3.8'"],
            "ecs_python_version": "3.11",
            "worker_package": "scaler-py==0.1.0 --extra-index-url https://127.0.0.1/simple",
            "ecs_security_group_ids": [security],
            "ecs_assign_public_ip": "enabled",
            "ecs_execution_role_arn": execution,
            "ecs_task_role_arn": own,
            "ecs_log_group": "",
            "capacity_provider": "fargate_spot",
        },
        tmp_path,
    )
    driven.validate()
    assert driver.offer(driven.context).slots == 1
    driven.start_group(group_of("g-1", SCALER_KEY="ticket-of-g-1"))
    (task,) = tasks(cloud)
    assert task["capacityProviderName"] == "FARGATE_SPOT"
    assert (task["cpu"], task["memory"]) == ("512", "1024")
    environment = environment_of(task)
    assert environment["PYTHON_REQUIREMENTS"] == "scaler-py==0.1.0\nnumpy\nscipy;python_version > '3.8'"
    assert environment["PYTHON_VERSION"] == "3.11"
    assert environment["PIP_EXTRA_INDEX_URL"] == "https://127.0.0.1/simple"
    assert environment["SCALER_KEY"] == "ticket-of-g-1"
    assert "ticket" not in environment["COMMAND"]
    definition = cloud.client("ecs").describe_task_definition(taskDefinition="own-definition")["taskDefinition"]
    assert definition["containerDefinitions"][0]["image"] == "stand-in:2"
    assert "logConfiguration" not in definition["containerDefinitions"][0]
    assert (definition["executionRoleArn"], definition["taskRoleArn"]) == (execution, own)
    (call,) = cloud.calls("ecs:RunTask")
    network = call["parameters"]["networkConfiguration"]["awsvpcConfiguration"]
    assert network == {"subnets": subnets, "assignPublicIp": "ENABLED", "securityGroups": [security]}
    assert cloud.calls("logs") == []
    driven.end()
    driven.cleanup(Scope.MANAGER)
    # What the user made stays, and nothing else.
    left = {each["id"] for each in cloud.resources() if each["left"]} - there
    assert {execution, own} <= left <= {execution, own, security}
