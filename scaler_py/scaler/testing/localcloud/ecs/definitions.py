"""What ECS checks when a task definition is registered. What passes is moto's to keep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from scaler.testing.localcloud.answers import AwsError
from scaler.testing.localcloud.ecs import fargate
from scaler.testing.localcloud.ecs.tags import check_tags
from scaler.testing.localcloud.images import is_private

_FAMILY = re.compile(r"[A-Za-z0-9_-]{1,255}")
_ROLE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+")
# Seconds.
_LONGEST_STOP = 120


def check_definition(given: dict[str, Any]) -> None:
    """Raises AwsError. Puts sizes into the form that AWS keeps them in."""
    family = str(given.get("family") or "")
    if not _FAMILY.fullmatch(family):
        raise _refused("Family contains invalid characters." if family else "Family should not be null or empty.")
    containers = given.get("containerDefinitions") or []
    if not containers:
        raise _refused("Container list cannot be empty.")
    names = [str(each.get("name") or "") for each in containers]
    for each in containers:
        _check_container(each)
    if len(set(names)) != len(names):
        raise _refused("Container names should be unique.")
    if not any(each.get("essential", True) for each in containers):
        raise _refused("At least one essential container should be specified.")
    check_tags(given.get("tags") or [])
    for role in ("taskRoleArn", "executionRoleArn"):
        _check_role(given, role)
    if "FARGATE" in (given.get("requiresCompatibilities") or []):
        _check_fargate(given, containers)


def _check_container(given: Mapping[str, Any]) -> None:
    name = str(given.get("name") or "")
    if not name:
        raise _refused("Container.name should not be null or empty.")
    if not _FAMILY.fullmatch(name):
        raise _refused(f"Invalid container name: {name}.")
    if not given.get("image"):
        raise _refused("Container.image should not be null or empty.")
    for variable in given.get("environment") or []:
        if not variable.get("name"):
            raise _refused("Environment variable name should not be null or empty.")
    driver = (given.get("logConfiguration") or {}).get("logDriver")
    if driver == "awslogs":
        options = given["logConfiguration"].get("options") or {}
        for option in ("awslogs-group", "awslogs-region"):
            if option not in options:
                raise _refused(f"Log driver awslogs requires options: {option}")


def _check_role(given: dict[str, Any], option: str) -> None:
    role = given.get(option)
    if role is None:
        return
    if not role.startswith("arn:"):
        # AWS takes the name alone too.
        given[option] = f"arn:aws:iam::123456789012:role/{role}"
    elif not _ROLE.fullmatch(role):
        raise _refused("Role is not valid")


def _check_fargate(given: dict[str, Any], containers: list[dict[str, Any]]) -> None:
    if given.get("networkMode") != "awsvpc":
        raise _refused("Fargate only supports network mode \u2018awsvpc\u2019.")
    cpu, memory = str(given.get("cpu") or ""), str(given.get("memory") or "")
    if not cpu or not memory:
        raise _refused(f"Fargate requires that '{'memory' if cpu else 'cpu'}' be defined at the task level.")
    units, mebibytes = fargate.units(cpu), fargate.mebibytes(memory)
    if units is None:
        raise _refused("Invalid 'cpu' setting for task.")
    if mebibytes is None:
        raise _refused("Invalid 'memory' setting for task.")
    if not fargate.exists(units, mebibytes):
        raise _refused(
            f"No Fargate configuration exists for given values: {units} CPU, {mebibytes} memory. "
            "See the Amazon ECS documentation for the valid values."
        )
    given["cpu"], given["memory"] = str(units), str(mebibytes)
    for each in containers:
        _check_fargate_container(given, each, mebibytes)


def _check_fargate_container(given: Mapping[str, Any], container: Mapping[str, Any], mebibytes: int) -> None:
    name = container["name"]
    if (container.get("stopTimeout") or 0) > _LONGEST_STOP:
        raise _refused(
            f"Invalid setting for container '{name}'. The stopTimeout value must be {_LONGEST_STOP} seconds or less."
        )
    if max(container.get("memory") or 0, container.get("memoryReservation") or 0) > mebibytes:
        raise _refused(f"Invalid setting for container '{name}'. 'memory' must be less than the task's memory.")
    if not given.get("executionRoleArn"):
        if (container.get("logConfiguration") or {}).get("logDriver") == "awslogs":
            raise _refused("Fargate requires task definition to have execution role ARN to support log driver awslogs.")
        if is_private(container["image"]):
            raise _refused("Fargate requires task definition to have execution role ARN to support ECR images.")
        if container.get("secrets"):
            raise _refused("Fargate requires task definition to have execution role ARN to support secrets.")


def _refused(sentence: str) -> AwsError:
    return AwsError("ClientException", sentence)
