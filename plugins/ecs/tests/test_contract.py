"""The contract suite on ECS tasks that are processes of this machine."""

import contextlib
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from scaler.managers.api import Launch, Owner
from scaler.testing.driver_contract import DriverCase, DriverContract, Seen
from scaler.testing.localcloud import LocalCloud
from scaler_plugin_ecs import driver
from scaler_plugin_ecs.tagging import GROUP, decode, encode


def launch(group: str, slots: int, capabilities: Mapping[str, int]) -> Launch:
    told = ",".join(f"{name}={amount}" for name, amount in capabilities.items())
    capability = ["--per-worker-capabilities", told] if told else []
    return Launch({}, {}, ("tcp://127.0.0.1:1", "--num-of-workers", str(slots), *capability))


class Looking:
    """At the cloud, past the driver."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud

    def __call__(self) -> list[Seen]:
        return [self._seen(each) for each in self._cloud.resources() if each["left"]]

    def _seen(self, found: Mapping[str, Any]) -> Seen:
        tags = found["tags"]
        owner = None
        if "scaler:cluster" in tags:
            owner = Owner(tags["scaler:cluster"], tags["scaler:manager"], int(tags["scaler:generation"]))
        command = self._command(found) if found["kind"] == "ecs task" else ""
        size = self._size(shlex.split(command)) if command else (None, None)
        text = json.dumps([found["id"], tags, command])
        return Seen(found["id"], decode(tags.get(GROUP, "")), owner, *size, text)

    def _command(self, task: Mapping[str, Any]) -> str:
        overrides = task["more"]["overrides"].get("containerOverrides", [])
        variables = {each["name"]: each["value"] for one in overrides for each in one.get("environment", [])}
        return str(variables.get("COMMAND", ""))

    def _size(self, words: Sequence[str]) -> tuple[int, dict[str, int]]:
        given = dict(zip(words, words[1:], strict=False))
        told = given.get("--per-worker-capabilities", "")
        capabilities = {
            name: int(amount) for name, _, amount in (each.partition("=") for each in told.split(",")) if name
        }
        return int(given["--num-of-workers"]), capabilities


def plant(cloud: LocalCloud) -> str:
    """A task that looks like the driver's own, started by somebody else in the same cluster."""
    ecs = cloud.client("ecs")
    ecs.create_cluster(clusterName="scaler-cluster")
    ecs.register_task_definition(
        family="planted",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[{"name": "scaler-container", "image": "stand-in", "command": ["scaler_cluster"]}],
    )
    answer = ecs.run_task(
        cluster="scaler-cluster",
        taskDefinition="planted",
        launchType="FARGATE",
        tags=[{"key": GROUP, "value": "planted"}],
        networkConfiguration={"awsvpcConfiguration": {"subnets": [cloud.subnet], "assignPublicIp": "ENABLED"}},
    )
    return str(answer["tasks"][0]["taskArn"])


def fault_for(cloud: LocalCloud, kind: str) -> Callable[[Sequence[str]], Any]:
    """A fault that meets the calls that start these groups alone."""

    @contextlib.contextmanager
    def trouble(ids: Sequence[str]) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for each in ids:
                stack.enter_context(cloud.fault(f"{kind}:operation=RunTask,match={encode(each)}"))
            yield

    return trouble


class TestEcs(DriverContract):
    @pytest.fixture
    def driver_case(self, cloud: LocalCloud, options: dict[str, Any]) -> DriverCase:
        return DriverCase(
            module=driver,
            look=Looking(cloud),
            options=options,
            launch=launch,
            vanish=lambda arn: cloud.do("kill_task", task=arn),
            plant=lambda: plant(cloud),
            refusing=fault_for(cloud, "denied"),
            losing_answers=lambda: cloud.fault("drop:operation=RunTask"),
            throttling=lambda: cloud.fault("throttle"),
            throttling_some=fault_for(cloud, "throttle"),
            expiring=lambda: cloud.fault("expired"),
            hanging=lambda: cloud.fault("hang"),
            wrong_options={
                "ecs_subnets": {**options, "ecs_subnets": "subnet-0abc1234def56789a"},
                "ecs_task_memory": {**options, "ecs_task_memory": 31},
                "ecs_task_cpu": {**options, "ecs_task_cpu": 3},
                "ecs_task_image": {**options, "ecs_task_image": "Scaler Image"},
                "ecs_security_group_ids": {**options, "ecs_security_group_ids": "sg-0123456789abcdef0"},
                "ecs_python_version": {**options, "ecs_python_version": "2.7"},
                "ecs_execution_role_arn": {**options, "ecs_execution_role_arn": "arn:aws:iam::123456789012:role/none"},
                "capacity_provider": {**options, "capacity_provider": "EC2"},
                "worker_package": {**options, "worker_package": "--index https://127.0.0.1/"},
                "ecs_log_retention_days": {**options, "ecs_log_retention_days": 2},
            },
            shows_size=True,
            patience=60.0,
        )
