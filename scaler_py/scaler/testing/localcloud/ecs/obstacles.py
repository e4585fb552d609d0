"""Why a task's containers cannot start, in AWS's words."""

from __future__ import annotations

from scaler.testing.localcloud.cloud import ACCOUNT, Cloud
from scaler.testing.localcloud.ecs.task import Container, Task
from scaler.testing.localcloud.faults import Faults
from scaler.testing.localcloud.images import is_image, is_private
from scaler.testing.localcloud.logs import Logs
from scaler.testing.localcloud.moto_part import backend
from scaler.testing.localcloud.roles import is_allowed

_PULL_ACTIONS = ("ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


class Obstacles:
    """open: whether there is a way from the tasks to the internet, for those that may take it."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.open = True

    def to_pull(self, task: Task) -> str:
        """Empty: none."""
        return next(filter(None, (self._to_pull(task, str(each.definition["image"])) for each in task.containers)), "")

    def to_log(self, task: Task) -> str:
        """Empty: none. Makes the group where its options say so."""
        return next(filter(None, (self._to_log(task, each) for each in task.containers)), "")

    def _to_pull(self, task: Task, image: str) -> str:
        if is_private(image) and (obstacle := self._to_authorize(task)):
            return obstacle
        if not self._is_routed(task):
            return (
                "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref "
                f"{image}: failed to do request: Head: dial tcp: i/o timeout"
            )
        if not is_image(image) or self._is_missing(image):
            return (
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref "
                f"{image}: {image}: not found"
            )
        return ""

    def _to_authorize(self, task: Task) -> str:
        begin = "ResourceInitializationError: unable to pull secrets or registry auth: "
        if not self._is_routed(task):
            return (
                f"{begin}The task cannot pull registry auth from Amazon ECR: There is a connection issue between the "
                "task and Amazon ECR. Check your task network configuration. RequestError: send request failed caused "
                "by: Post: dial tcp: i/o timeout"
            )
        for action in _PULL_ACTIONS:
            if denied := self._denied(task, action, "*"):
                return (
                    f"{begin}execution resource retrieval failed: unable to retrieve ecr registry auth: service call "
                    f"has been retried 1 time(s): {denied}. Please check your task network configuration."
                )
        return ""

    def _to_log(self, task: Task, container: Container) -> str:
        options = log_options(container)
        if options is None:
            return ""
        begin = "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
        region, group = options["awslogs-region"], options["awslogs-group"]
        arn = f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}:log-stream:"
        if not self._is_routed(task):
            return f"{begin}failed to create Cloudwatch log stream: RequestError: dial tcp: i/o timeout : exit status 1"
        if not self._cloud.part(Logs).has_group(region, group) and options.get("awslogs-create-group") == "true":
            if denied := self._denied(task, "logs:CreateLogGroup", arn):
                return f"{begin}failed to create Cloudwatch log group: {denied} : exit status 1"
            backend("logs", region).ensure_log_group(group)
        if denied := self._denied(task, "logs:CreateLogStream", arn + stream_name(task, container)):
            return f"{begin}failed to create Cloudwatch log stream: {denied} : exit status 1"
        if not self._cloud.part(Logs).has_group(region, group):
            return (
                f"{begin}failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group "
                "does not exist. : exit status 1"
            )
        return ""

    def _is_routed(self, task: Task) -> bool:
        return self.open and task.interface.routed

    def _is_missing(self, image: str) -> bool:
        return self._cloud.part(Faults).active("pull", image=image)

    def _denied(self, task: Task, action: str, resource: str) -> str:
        """Empty: the execution role may do it."""
        role = task.execution_role
        if not role or is_allowed(self._cloud, role, action, resource):
            return ""
        name = role.rpartition("/")[2]
        return (
            f"AccessDeniedException: User: arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{task.id} is not authorized to "
            f"perform: {action} on resource: {resource} because no identity-based policy allows the {action} action"
        )


def log_options(container: Container) -> dict[str, str] | None:
    """Of the awslogs driver; None: it has none."""
    configuration = container.definition.get("logConfiguration") or {}
    return configuration.get("options") if configuration.get("logDriver") == "awslogs" else None


def stream_name(task: Task, container: Container) -> str:
    prefix = (log_options(container) or {}).get("awslogs-stream-prefix")
    return f"{prefix}/{container.name}/{task.id}" if prefix else container.runtime_id
