"""A task as AWS describes it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaler.testing.localcloud.logs import Follower
from scaler.testing.localcloud.processes import Process


@dataclass
class Container:
    """definition: of the task definition, with the task's overrides already in it."""

    definition: Mapping[str, Any]
    runtime_id: str
    last_status: str = "PENDING"
    exit_code: int | None = None
    reason: str = ""
    process: Process | None = None
    follower: Follower | None = None

    @property
    def name(self) -> str:
        return str(self.definition["name"])

    @property
    def essential(self) -> bool:
        return bool(self.definition.get("essential", True))

    @property
    def stop_timeout(self) -> float:
        """Seconds."""
        return float(self.definition.get("stopTimeout") or 30.0)


@dataclass
class Interface:
    """The task's own network interface."""

    id: str
    subnet: str
    zone: str
    mac: str
    address: str
    dns: str
    routed: bool
    attachment: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "PRECREATED"


@dataclass
class Task:
    """definition: moto's. Times are seconds since the epoch, None for what has not happened."""

    region: str
    cluster: Any
    definition: Any
    containers: Sequence[Container]
    launch_type: str
    provider: str
    group: str
    started_by: str
    overrides: Mapping[str, Any]
    tags: Mapping[str, str]
    interface: Interface
    platform: str
    arn: str
    home: Path
    last_status: str = "PROVISIONING"
    desired_status: str = "RUNNING"
    stop_code: str = ""
    stopped_reason: str = ""
    version: int = 1
    created_at: float = field(default_factory=time.time)
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    started_at: float | None = None
    stopping_at: float | None = None
    execution_stopped_at: float | None = None
    stopped_at: float | None = None

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def execution_role(self) -> str:
        return str(self.overrides.get("executionRoleArn") or getattr(self.definition, "execution_role_arn", None) or "")

    @property
    def task_role(self) -> str:
        return str(self.overrides.get("taskRoleArn") or getattr(self.definition, "task_role_arn", None) or "")

    @property
    def is_spot(self) -> bool:
        return self.provider == "FARGATE_SPOT"

    def become(self, status: str) -> None:
        self.last_status = status
        self.version += 1

    def described(self, with_tags: bool) -> dict[str, Any]:
        """As DescribeTasks, RunTask and StopTask have it; what is not known is left out."""
        overrides = self.overrides
        whole: dict[str, Any] = {
            "attachments": [self._attachment()],
            "attributes": [{"name": "ecs.cpu-architecture", "value": "x86_64"}],
            "availabilityZone": self.interface.zone,
            "clusterArn": self.cluster.arn,
            "connectivity": "CONNECTED" if self.started_at else None,
            "connectivityAt": self.started_at,
            "containers": [self._container(each) for each in self.containers],
            "cpu": str(overrides.get("cpu") or self.definition.cpu),
            "createdAt": self.created_at,
            "desiredStatus": self.desired_status,
            "enableExecuteCommand": False,
            "ephemeralStorage": overrides.get("ephemeralStorage") or {"sizeInGiB": 20},
            "executionStoppedAt": self.execution_stopped_at,
            "group": self.group,
            "healthStatus": "UNKNOWN",
            "lastStatus": self.last_status,
            "launchType": self.launch_type,
            "capacityProviderName": self.provider or None,
            "memory": str(overrides.get("memory") or self.definition.memory),
            "overrides": {"containerOverrides": [], "inferenceAcceleratorOverrides": [], **overrides},
            "platformFamily": "Linux",
            "platformVersion": self.platform,
            "pullStartedAt": self.pull_started_at,
            "pullStoppedAt": self.pull_stopped_at,
            "startedAt": self.started_at,
            "startedBy": self.started_by or None,
            "stopCode": self.stop_code or None,
            "stoppedAt": self.stopped_at,
            "stoppedReason": self.stopped_reason or None,
            "stoppingAt": self.stopping_at,
            "tags": [{"key": key, "value": value} for key, value in self.tags.items()] if with_tags else [],
            "taskArn": self.arn,
            "taskDefinitionArn": self.definition.arn,
            "version": self.version,
        }
        return {name: value for name, value in whole.items() if value is not None}

    def _attachment(self) -> dict[str, Any]:
        own = self.interface
        details = [{"name": "subnetId", "value": own.subnet}]
        if own.status != "PRECREATED":
            names = ("networkInterfaceId", "macAddress", "privateDnsName", "privateIPv4Address")
            details += [
                {"name": name, "value": value}
                for name, value in zip(names, (own.id, own.mac, own.dns, own.address), strict=True)
            ]
        return {"id": own.attachment, "type": "ElasticNetworkInterface", "status": own.status, "details": details}

    def _container(self, container: Container) -> dict[str, Any]:
        definition = container.definition
        whole: dict[str, Any] = {
            "containerArn": f"{self.arn.replace(':task/', ':container/')}/{container.runtime_id[-36:]}",
            "taskArn": self.arn,
            "name": container.name,
            "image": definition["image"],
            "runtimeId": container.runtime_id if container.process is not None else None,
            "lastStatus": container.last_status,
            "exitCode": container.exit_code,
            "reason": container.reason or None,
            "networkBindings": [],
            "networkInterfaces": [
                {"attachmentId": self.interface.attachment, "privateIpv4Address": self.interface.address}
            ]
            if self.interface.status != "PRECREATED"
            else [],
            "healthStatus": "UNKNOWN",
            "cpu": str(definition.get("cpu", 0)),
            "memory": str(definition["memory"]) if "memory" in definition else None,
        }
        return {name: value for name, value in whole.items() if value is not None}
