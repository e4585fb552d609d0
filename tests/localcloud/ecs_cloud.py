"""A cloud with a cluster and a task definition, and what tests of tasks do with them."""

from __future__ import annotations

import json
import time
from typing import Any

from commands import PATIENCE
from scaler.testing.localcloud import LocalCloud

CLUSTER = "tests"
IMAGE = "public.ecr.aws/scaler/worker:latest"
POLICY = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
SLEEP = ["sleep", "1000"]


def container(**more: Any) -> dict[str, Any]:
    return {"name": "main", "image": IMAGE, "essential": True, **more}


class EcsCloud:
    """ecs: boto3's client. `run` and the like fill in what every call needs."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.ecs = cloud.client("ecs")
        self.network = {"awsvpcConfiguration": {"subnets": [cloud.subnet], "assignPublicIp": "ENABLED"}}
        self.ecs.create_cluster(clusterName=CLUSTER, capacityProviders=["FARGATE", "FARGATE_SPOT"])

    def register(self, family: str = "tasks", *containers: dict[str, Any], **more: Any) -> str:
        """ARN of the revision."""
        wanted = {
            "family": family,
            "networkMode": "awsvpc",
            "requiresCompatibilities": ["FARGATE"],
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": list(containers) or [container()],
            **more,
        }
        registered = self.ecs.register_task_definition(**{k: v for k, v in wanted.items() if v is not None})
        arn: str = registered["taskDefinition"]["taskDefinitionArn"]
        return arn

    def run_task(self, definition: str, command: list[str] | None = None, **more: Any) -> dict[str, Any]:
        """The whole answer."""
        wanted: dict[str, Any] = {
            "cluster": CLUSTER,
            "taskDefinition": definition,
            "networkConfiguration": self.network,
            **({} if "capacityProviderStrategy" in more else {"launchType": "FARGATE"}),
            **({"overrides": {"containerOverrides": [{"name": "main", "command": command}]}} if command else {}),
            **more,
        }
        answer: dict[str, Any] = self.ecs.run_task(**{k: v for k, v in wanted.items() if v is not None})
        return answer

    def run(self, definition: str, command: list[str] | None = None, **more: Any) -> str:
        """ARN of the one task."""
        [task] = self.run_task(definition, command, **more)["tasks"]
        arn: str = task["taskArn"]
        return arn

    def describe(self, *arns: str, **more: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ecs.describe_tasks(cluster=CLUSTER, tasks=list(arns), **more)["tasks"]
        return found

    def wait(self, status: str, *arns: str) -> list[dict[str, Any]]:
        """Until all are in this state, or were."""
        deadline = time.monotonic() + PATIENCE
        while True:
            tasks = self.describe(*arns)
            if all(each["lastStatus"] in (status, "STOPPED") for each in tasks):
                return tasks
            assert time.monotonic() < deadline, [each["lastStatus"] for each in tasks]
            time.sleep(0.01)

    def ended(self, definition: str, command: list[str] | None = None, **more: Any) -> dict[str, Any]:
        """A task that has been run to its end."""
        [task] = self.wait("STOPPED", self.run(definition, command, **more))
        return task

    def stop(self, arn: str, **more: Any) -> dict[str, Any]:
        task: dict[str, Any] = self.ecs.stop_task(cluster=CLUSTER, task=arn, **more)["task"]
        return task

    def role(self, name: str = "execution", *policies: str, service: str = "ecs-tasks.amazonaws.com") -> str:
        """Its ARN."""
        iam = self.cloud.client("iam")
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]
        for each in policies:
            iam.attach_role_policy(RoleName=name, PolicyArn=each)
        arn: str = role["Arn"]
        return arn

    def clean(self) -> None:
        """All that tests make here; log groups and roles too."""
        deadline = time.monotonic() + PATIENCE
        while living := [each for each in self.cloud.do("tasks") if each["lastStatus"] != "STOPPED"]:
            assert time.monotonic() < deadline, living
            for each in living:
                self.cloud.do("kill_task", task=each["taskArn"])
            time.sleep(0.01)
        for each in self.ecs.list_task_definitions()["taskDefinitionArns"]:
            self.ecs.deregister_task_definition(taskDefinition=each)
        for each in self.ecs.list_task_definitions(status="INACTIVE")["taskDefinitionArns"]:
            self.ecs.delete_task_definitions(taskDefinitions=[each])
        for each in self.ecs.list_clusters()["clusterArns"]:
            self.ecs.delete_cluster(cluster=each)
        logs = self.cloud.client("logs")
        for group in logs.describe_log_groups()["logGroups"]:
            logs.delete_log_group(logGroupName=group["logGroupName"])
        iam = self.cloud.client("iam")
        for each in self.cloud.client("iam").list_roles()["Roles"]:
            name = each["RoleName"]
            for policy in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
                iam.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
            iam.delete_role(RoleName=name)
