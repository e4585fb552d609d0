"""RunTask's request: what it asks for, checked as ECS checks it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaler.testing.localcloud.answers import AwsError
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import Cloud
from scaler.testing.localcloud.ecs import fargate
from scaler.testing.localcloud.ecs.clusters import active_cluster
from scaler.testing.localcloud.ecs.network import Network
from scaler.testing.localcloud.ecs.tags import check_tags
from scaler.testing.localcloud.moto_part import backend
from scaler.testing.localcloud.roles import is_assumable

_MOST = 10
_OVERRIDES = 8192
_STARTED_BY = re.compile(r"[\w/-]{0,128}", re.ASCII)
_TOKEN = re.compile(r"[!-~]{1,64}")
_FARGATE = ("FARGATE", "FARGATE_SPOT")
_LAUNCH_TYPES = ("EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES")


@dataclass(frozen=True)
class Launch:
    """providers: one a task, empty for a launch type. containers: definitions with the overrides in them."""

    cluster: Any
    definition: Any
    containers: Sequence[Mapping[str, Any]]
    providers: Sequence[str]
    network: Network
    overrides: Mapping[str, Any]
    tags: Mapping[str, str]
    group: str
    started_by: str
    platform: str


def read_launch(cloud: Cloud, call: Call) -> Launch:
    """Raises AwsError. With the cloud's lock."""
    given = call.parameters
    count = given.get("count", 1)
    if not isinstance(count, int) or not 1 <= count <= _MOST:
        raise _refused(f"count should be between 1 and {_MOST}.")
    started_by = str(given.get("startedBy") or "")
    if not _STARTED_BY.fullmatch(started_by):
        raise _refused("startedBy: up to 128 letters, numbers, hyphens, forward slashes and underscores are allowed.")
    tags = check_tags(given.get("tags") or [])
    cluster = active_cluster(call)
    definition = _definition(call.region, str(given.get("taskDefinition") or ""))
    providers = _providers(given, cluster, count, definition)
    overrides = given.get("overrides") or {}
    containers = _overridden(definition, overrides)
    network = Network(call.region, given.get("networkConfiguration"))
    _check_roles(cloud, definition, overrides)
    if given.get("propagateTags") == "TASK_DEFINITION":
        tags = {**{each["key"]: each.get("value", "") for each in definition.tags or []}, **tags}
    group = str(given.get("group") or f"family:{definition.family}")
    version = str(given.get("platformVersion") or "LATEST")
    platform = "1.4.0" if version == "LATEST" else version
    return Launch(cluster, definition, containers, providers, network, overrides, tags, group, started_by, platform)


def check_token(token: str) -> None:
    if not _TOKEN.fullmatch(token):
        raise _refused("clientToken must be 1 to 64 characters of the ASCII range 33-126.")


def _definition(region: str, name: str) -> Any:
    families = backend("ecs", region).task_definitions
    family, _, number = name.rpartition("/")[2].partition(":")
    revisions = families.get(family, {})
    if number:
        found = revisions.get(int(number)) if number.isdigit() else None
    else:
        active = [each for each in revisions.values() if each.status == "ACTIVE"]
        found = max(active, key=lambda each: int(each.revision), default=None)
    if found is None:
        raise _refused("TaskDefinition not found.") if name else _client("Task definition must be specified.")
    if found.status != "ACTIVE":
        raise _refused("TaskDefinition is inactive")
    return found


def _providers(given: Mapping[str, Any], cluster: Any, count: int, definition: Any) -> list[str]:
    launch_type, strategy = given.get("launchType"), given.get("capacityProviderStrategy") or []
    if launch_type and strategy:
        raise _refused("Specify either Launch Type or Capacity Provider Strategy, but not both.")
    if launch_type and launch_type not in _LAUNCH_TYPES:
        raise _refused(f"launch type should be one of [{','.join(_LAUNCH_TYPES)}]")
    if not launch_type:
        strategy = strategy or cluster.default_capacity_provider_strategy or []
    _check_providers(cluster, [str(each.get("capacityProvider") or "") for each in strategy])
    if launch_type != "FARGATE" and not strategy:
        raise _refused("No Container Instances were found in your cluster.")
    if "FARGATE" not in (definition.compatibilities or []):
        raise _refused("Task definition does not support launch_type FARGATE.")
    return _spread(strategy, count) if strategy else [""] * count


def _check_providers(cluster: Any, names: Sequence[str]) -> None:
    if any(each not in (cluster.capacity_providers or []) for each in names):
        raise _refused(
            "The specified capacity provider strategy cannot contain a capacity provider that is not associated with "
            "the cluster. Associate the capacity provider with the cluster or specify a valid capacity provider and "
            "try again."
        )
    if any(each not in _FARGATE for each in names):
        raise _refused("No Container Instances were found in your cluster.")


def _spread(strategy: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    """First the base of each, then by weight."""
    weights = {str(each["capacityProvider"]): int(each.get("weight") or 0) for each in strategy}
    bases = [name for each in strategy for name in [str(each["capacityProvider"])] * int(each.get("base") or 0)]
    if len(weights) == 1 and not any(weights.values()):
        weights = dict.fromkeys(weights, 1)
    if not any(weights.values()):
        raise _refused(
            "The specified capacity provider strategy must contain at least one capacity provider with a weight value "
            "greater than zero."
        )
    chosen = bases[:count]
    spread = dict.fromkeys(weights, 0)
    while len(chosen) < count:
        name = min((each for each in weights if weights[each]), key=lambda each: (spread[each] + 1) / weights[each])
        spread[name] += 1
        chosen.append(name)
    return chosen


def _overridden(definition: Any, overrides: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The definition's containers, each with its own overrides."""
    own = overrides.get("containerOverrides") or []
    if len(json.dumps(overrides, separators=(",", ":"), ensure_ascii=False)) > _OVERRIDES:
        raise _refused(f"Container Overrides length must be at most {_OVERRIDES}")
    _check_size(definition, overrides)
    containers = {str(each["name"]): dict(each) for each in definition.container_definitions}
    for each in own:
        name = str(each.get("name") or "")
        if name not in containers:
            raise _refused(f"Override for container named {name} is not a container in the TaskDefinition.")
        container = containers[name]
        if each.get("command"):
            container["command"] = each["command"]
        if each.get("environment"):
            merged = {one["name"]: one for one in [*(container.get("environment") or []), *each["environment"]]}
            container["environment"] = list(merged.values())
        container.update({key: each[key] for key in ("cpu", "memory", "memoryReservation") if key in each})
    return list(containers.values())


def _check_size(definition: Any, overrides: Mapping[str, Any]) -> None:
    if "cpu" not in overrides and "memory" not in overrides:
        return
    cpu = fargate.units(str(overrides.get("cpu") or definition.cpu))
    memory = fargate.mebibytes(str(overrides.get("memory") or definition.memory))
    if cpu is None or memory is None or not fargate.exists(cpu, memory):
        raise _client(
            f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. "
            "See the Amazon ECS documentation for the valid values."
        )


def _check_roles(cloud: Cloud, definition: Any, overrides: Mapping[str, Any]) -> None:
    for option, attribute in (("taskRoleArn", "task_role_arn"), ("executionRoleArn", "execution_role_arn")):
        role = overrides.get(option) or getattr(definition, attribute, None)
        if role and not is_assumable(cloud, role, "ecs-tasks.amazonaws.com"):
            raise _client(
                f"ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the "
                "role being passed has the proper trust relationship and permissions and that your IAM user has "
                "permissions to pass this role."
            )


def _refused(sentence: str) -> AwsError:
    return AwsError("InvalidParameterException", sentence)


def _client(sentence: str) -> AwsError:
    return AwsError("ClientException", sentence)
