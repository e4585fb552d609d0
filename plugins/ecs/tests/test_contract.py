"""The contract suite on ECS tasks that are processes of this machine."""

import contextlib
import itertools
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from clouds import options_of, wait_for_task
from scaler.managers.api import Launch, Owner
from scaler.testing.driver_contract import DriverCase, DriverContract, Seen
from scaler.testing.localcloud import LocalCloud
from scaler_plugin_ecs import clients, driver
from scaler_plugin_ecs.tagging import GROUP, decode, encode


def launch(group: str, slots: int, capabilities: Mapping[str, int]) -> Launch:
    told = ",".join(f"{name}={amount}" for name, amount in capabilities.items())
    capability = ["--per-worker-capabilities", told] if told else []
    return Launch(
        {}, {}, ("tcp://127.0.0.1:1", "--num-of-workers", str(slots), *capability, "--worker-group-id", group)
    )


class Looking:
    """At the cloud, past the driver. A task that is being stopped has no tags any more: what it was is remembered."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._tags: dict[str, Mapping[str, str]] = {}

    def __call__(self) -> list[Seen]:
        return [self._seen(each) for each in self._cloud.resources() if each["left"]]

    def _seen(self, found: Mapping[str, Any]) -> Seen:
        tags = self._tags[found["id"]] = found["tags"] or self._tags.get(found["id"], {})
        owner = None
        if "scaler:cluster" in tags:
            owner = Owner(tags["scaler:cluster"], tags["scaler:manager"], int(tags["scaler:generation"]))
        command = self._command(found) if found["kind"] == "ecs task" else ""
        words = shlex.split(command)
        given = dict(itertools.pairwise(words))
        unit = decode(tags[GROUP]) if GROUP in tags else given.get("--worker-group-id", "")
        text = json.dumps([found["id"], tags, command])
        if not words:
            return Seen(found["id"], unit, owner, text=text)
        return Seen(found["id"], unit, owner, int(given["--num-of-workers"]), self._capabilities(given), text)

    def _command(self, task: Mapping[str, Any]) -> str:
        overrides = task["more"]["overrides"].get("containerOverrides", [])
        variables = {each["name"]: each["value"] for one in overrides for each in one.get("environment", [])}
        return str(variables.get("COMMAND", ""))

    def _capabilities(self, given: Mapping[str, str]) -> dict[str, int]:
        told = given.get("--per-worker-capabilities", "")
        return {name: int(amount) for name, _, amount in (each.partition("=") for each in told.split(",")) if name}


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


def kill(cloud: LocalCloud, arn: str) -> None:
    """Its machine crashes, as soon as it is on one."""
    wait_for_task(cloud, arn, "RUNNING")
    cloud.do("kill_task", task=arn)


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
    def driver_case(self, used_cloud: LocalCloud, subnet: str, monkeypatch: pytest.MonkeyPatch) -> DriverCase:
        # Of a cloud that does not answer; four hooks wait for it.
        monkeypatch.setattr(clients, "READ_SECONDS", 5.0)
        cloud, options = used_cloud, options_of(subnet)
        return DriverCase(
            module=driver,
            look=Looking(cloud),
            options=options,
            launch=launch,
            vanish=lambda arn: kill(cloud, arn),
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
