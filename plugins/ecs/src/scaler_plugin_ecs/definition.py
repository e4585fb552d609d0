"""The task definition: what the options want, and how one that is there differs from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scaler_plugin_ecs import fargate
from scaler_plugin_ecs.options import EcsOptions

CONTAINER = "scaler-container"
STREAM_PREFIX = "scaler"
# What Fargate gives a container at most between SIGTERM and SIGKILL.
STOP_SECONDS = 120


@dataclass(frozen=True)
class Difference:
    """Between what an option says and what a definition has."""

    flag: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"{self.flag} is {self.wanted or 'none'}, and there it is {self.found or 'none'}"


def wanted(options: EcsOptions, execution_role: str) -> dict[str, Any]:
    """As RegisterTaskDefinition takes it, but for its tags. execution_role: an ARN."""
    cpu, memory = fargate.size(options.ecs_task_cpu, options.ecs_task_memory)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": options.ecs_task_image,
        "essential": True,
        "stopTimeout": STOP_SECONDS,
        # Signals reach what runs, and its orphans are buried.
        "linuxParameters": {"initProcessEnabled": True},
    }
    if options.ecs_log_group:
        container["logConfiguration"] = {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": options.ecs_log_group,
                "awslogs-region": options.aws_region,
                "awslogs-stream-prefix": STREAM_PREFIX,
            },
        }
    definition: dict[str, Any] = {
        "family": options.ecs_task_definition,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "runtimePlatform": {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
        "cpu": str(cpu),
        "memory": str(memory),
        "executionRoleArn": execution_role,
        "containerDefinitions": [container],
    }
    if options.ecs_task_role_arn:
        definition["taskRoleArn"] = options.ecs_task_role_arn
    return definition


def same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a definition of ours is what is wanted now, in all that is said here."""
    theirs, ours = container_of(found), container_of(wanted)
    plain = ("networkMode", "cpu", "memory", "executionRoleArn", "taskRoleArn", "runtimePlatform")
    inner = ("name", "image", "essential", "stopTimeout", "linuxParameters", "logConfiguration")
    return (
        len(found.get("containerDefinitions", ())) == 1
        and all(_said(found.get(name)) == _said(wanted.get(name)) for name in plain)
        and all(_said(theirs.get(name)) == _said(ours.get(name)) for name in inner)
    )


def _said(value: Any) -> Any:
    """Without the empty parts that AWS adds."""
    if isinstance(value, Mapping):
        return {name: _said(each) for name, each in value.items() if each not in (None, [], {}, "")}
    return value or None


def differences(found: Mapping[str, Any], options: EcsOptions) -> Iterator[Difference]:
    """Of somebody else's definition, which is used as it is: where it is not what an option says.

    Roles and logs only count where the user has said something of them.
    """
    cpu, memory = fargate.size(options.ecs_task_cpu, options.ecs_task_memory)
    container = container_of(found)
    yield from _compare("--ecs-task-image", options.ecs_task_image, container.get("image"))
    yield from _compare("--ecs-task-cpu", _scaled(cpu, fargate.CPU_UNITS), _scaled(found.get("cpu"), fargate.CPU_UNITS))
    memory_there = _scaled(found.get("memory"), fargate.MEBIBYTES)
    yield from _compare("--ecs-task-memory", _scaled(memory, fargate.MEBIBYTES), memory_there)
    if options.ecs_task_role_arn:
        yield from _compare("--ecs-task-role-arn", options.ecs_task_role_arn, found.get("taskRoleArn"))
    if options.ecs_execution_role_arn:
        yield from _compare("--ecs-execution-role-arn", options.ecs_execution_role_arn, found.get("executionRoleArn"))
    if "ecs_log_group" in options.model_fields_set:
        yield from _compare("--ecs-log-group", options.ecs_log_group, log_group_of(found)[0])


def _compare(flag: str, wanted: object, found: object) -> Iterator[Difference]:
    ours, theirs = str(wanted or ""), str(found or "")
    if ours != theirs:
        yield Difference(flag, ours, theirs)


def _scaled(value: object, unit: int) -> str:
    try:
        return f"{float(str(value)) / unit:g}"
    except ValueError:
        return str(value or "")


def container_of(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """That which runs the workers: ours by name, or the only one; nothing where nobody can say."""
    containers = definition.get("containerDefinitions", ())
    named = [each for each in containers if each.get("name") == CONTAINER] or containers
    found: Mapping[str, Any] = named[0] if len(named) == 1 else {}
    return found


def log_group_of(definition: Mapping[str, Any]) -> tuple[str, str]:
    """(CloudWatch log group, prefix of its streams) of a definition; empty without."""
    logs = container_of(definition).get("logConfiguration") or {}
    options = logs.get("options", {}) if logs.get("logDriver") == "awslogs" else {}
    return options.get("awslogs-group", ""), options.get("awslogs-stream-prefix", "")
