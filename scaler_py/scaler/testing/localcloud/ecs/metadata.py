"""What containers can ask about themselves: the task metadata endpoint (version 4), and the task role's credentials."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from scaler.testing.localcloud.answers import Answer
from scaler.testing.localcloud.cloud import Cloud
from scaler.testing.localcloud.ecs.task import Container, Task
from scaler.testing.localcloud.iam.identity import make_session

# Requests to this cloud that at AWS go to an address of the container's own.
SITE = "/_ecs/"
_CREDENTIALS = "credentials"


class Metadata:
    """find: a task by its id. Takes the cloud's lock itself."""

    def __init__(self, cloud: Cloud, find: Callable[[str], Task | None]) -> None:
        self._cloud = cloud
        self._find = find

    def variables(self, task: Task, container: Container) -> dict[str, str]:
        """Where a container's SDK finds it all."""
        base = f"{self._cloud.endpoint}{SITE}"
        found = {
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
            "AWS_REGION": task.region,
            "AWS_DEFAULT_REGION": task.region,
            "ECS_CONTAINER_METADATA_URI_V4": f"{base}{task.id}/{container.runtime_id}",
        }
        if task.task_role:
            # SDKs ask with it, as an agent of this task alone.
            found["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"{base}{task.id}/{_CREDENTIALS}"
        return found

    def answer(self, path: str, environ: Mapping[str, Any], _: bytes = b"") -> Answer:
        """path: like "TASK/CONTAINER/task"."""
        id, name, *rest = [*path.strip("/").split("/"), ""]
        with self._cloud.lock:
            task = self._find(id)
            if task is None or task.last_status == "STOPPED":
                return Answer(404)
            if name == _CREDENTIALS and task.task_role:
                return _json(_credentials(task))
            own = next((each for each in task.containers if each.runtime_id == name), None)
            if own is None:
                return Answer(404)
            return _json(_told(task) if rest[0] == "task" else _container(own, task))


def _json(content: Mapping[str, Any]) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(content).encode())


def _credentials(task: Task) -> dict[str, str]:
    made = make_session(task.task_role, task.id)
    return {
        "RoleArn": task.task_role,
        "AccessKeyId": made.access_key,
        "SecretAccessKey": made.secret,
        "Token": made.token,
        "Expiration": datetime.fromtimestamp(made.expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _told(task: Task) -> dict[str, Any]:
    return {
        "Cluster": task.cluster.arn,
        "TaskARN": task.arn,
        "Family": task.definition.family,
        "Revision": str(task.definition.revision),
        "DesiredStatus": task.desired_status,
        "KnownStatus": task.last_status,
        "LaunchType": task.launch_type,
        "AvailabilityZone": task.interface.zone,
        "Containers": [_container(each, task) for each in task.containers],
    }


def _container(container: Container, task: Task) -> dict[str, Any]:
    return {
        "DockerId": container.runtime_id,
        "Name": container.name,
        "Image": container.definition["image"],
        "KnownStatus": container.last_status,
        "Networks": [{"NetworkMode": "awsvpc", "IPv4Addresses": [task.interface.address]}],
    }
