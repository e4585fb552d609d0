"""An AWS that answers as it is told to: for what a cloud says only in a moment that no test can choose."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from driving import CLUSTER
from scaler.managers.api import Owner
from scaler_plugin_ecs import clients
from scaler_plugin_ecs.clients import Aws
from scaler_plugin_ecs.errors import Refused
from scaler_plugin_ecs.launching import Launcher
from scaler_plugin_ecs.options import EcsOptions
from scaler_plugin_ecs.output import Output
from scaler_plugin_ecs.preparing import Preparation
from scaler_plugin_ecs.record import Record
from scaler_plugin_ecs.requirements import Software
from scaler_plugin_ecs.tasks import Tasks

OWNER = Owner(CLUSTER, "wm-ecs", 1)
LOG = logging.getLogger("scaler.drivers.aws_raw_ecs")
DEFINITION = {
    "taskDefinitionArn": "definition:1",
    "family": "scaler-task-definition",
    "revision": 1,
    "containerDefinitions": [{"name": "scaler-container"}],
}
ROLE = {"Role": {"Arn": "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"}}


class Scripted:
    """answers: of an action, one after the other, and the last for ever; errors are raised. calls: what was asked."""

    region = "us-east-1"
    profile = ""

    def __init__(self, **answers: list[Any]) -> None:
        """By the operation's name. All else has an account that is empty."""
        self.answers: dict[str, list[Any]] = {
            "DescribeTaskDefinition": [Refused("ecs:DescribeTaskDefinition", "ClientException", "none")],
            "RegisterTaskDefinition": [{"taskDefinition": DEFINITION}],
            "GetRole": [Refused("iam:GetRole", "NoSuchEntity", "none")],
            "CreateRole": [ROLE],
            **answers,
        }
        self.calls: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def call(self, action: str, *, creates: bool = False, region: str = "", **parameters: Any) -> dict[str, Any]:
        operation = action.partition(":")[2]
        self.calls[operation].append(parameters)
        answers = self.answers.get(operation, [{}])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return cast("dict[str, Any]", answer)

    def pages(self, action: str, key: str, **parameters: Any) -> Iterator[Any]:
        return clients.pages(self, action, key, **parameters)


def launcher_of(scripted: Scripted, folder: Path, **more: Any) -> Launcher:
    options = EcsOptions.model_validate({"ecs_subnets": "subnet-1", **more})
    aws = cast("Aws", scripted)
    preparation = Preparation(aws, options, OWNER, LOG, Record(folder))
    return Launcher(aws, options, OWNER, LOG, preparation, Software((), "3.12"))


def tasks_of(scripted: Scripted, folder: Path, **more: Any) -> Tasks:
    aws = cast("Aws", scripted)
    output = Output(aws, lambda: ("", ""), LOG)
    return Tasks(aws, "scaler-cluster", OWNER, launcher_of(scripted, folder, **more), output, lambda: None)
