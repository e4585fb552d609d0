"""What calls to ECS need."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from moto.core.exceptions import ServiceException

from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.iam.needs.need import Need, arn, pass_role, tag_context
from scaler.testing.localcloud.moto_part import backend

_TASKS = "ecs-tasks.amazonaws.com"

# For these AWS knows no resource: their statement says "*".
_ANYTHING = {
    "CreateCluster",
    "DeleteAccountSetting",
    "DeregisterTaskDefinition",
    "DescribeTaskDefinition",
    "ListAccountSettings",
    "ListClusters",
    "ListTaskDefinitionFamilies",
    "ListTaskDefinitions",
    "PutAccountSetting",
    "PutAccountSettingDefault",
    "RegisterTaskDefinition",
}
# Those of a cluster as a whole.
_CLUSTER = {"DeleteCluster", "PutClusterCapacityProviders", "UpdateCluster", "UpdateClusterSettings"}


def needs(call: Call) -> Iterable[Need]:
    action, given = f"ecs:{call.operation}", call.parameters
    tags = {each.get("key", ""): each.get("value", "") for each in given.get("tags") or []}
    if call.operation == "RunTask":
        yield from _run_task(call, tags)
    elif call.operation in ("StopTask", "DescribeTasks", "ExecuteCommand", "UpdateTaskProtection"):
        for task in given.get("tasks") or [given.get("task", "")]:
            yield Need(action, _in_cluster(call, "task", str(task)), _of_cluster(call))
    elif call.operation == "ListTasks":
        yield Need(action, _in_cluster(call, "container-instance", "*"), _of_cluster(call))
    elif call.operation == "DescribeClusters":
        for cluster in given.get("clusters") or ["default"]:
            yield Need(action, _cluster(call, str(cluster)))
    elif call.operation in _CLUSTER:
        yield Need(action, _cluster(call, str(given.get("cluster") or "default")))
    elif call.operation in ("TagResource", "UntagResource", "ListTagsForResource"):
        yield Need(action, str(given.get("resourceArn", "")), tag_context(tags))
    elif call.operation == "DeleteTaskDefinitions":
        for each in given.get("taskDefinitions") or []:
            yield Need(action, _definition(call, str(each)))
    elif call.operation in _ANYTHING:
        yield Need(action, "*", tag_context(tags))
        yield from _made(call, tags)
    else:
        yield Need(action, "*", _of_cluster(call))


def _run_task(call: Call, tags: Mapping[str, str]) -> Iterable[Need]:
    given = call.parameters
    definition = str(given.get("taskDefinition", ""))
    found: Any = None
    with contextlib.suppress(ServiceException, ValueError):
        found = backend("ecs", call.region).describe_task_definition(definition)
    of = found.arn if found is not None else _definition(call, definition)
    yield Need("ecs:RunTask", of, {**_of_cluster(call), **tag_context(tags)})
    overrides = given.get("overrides") or {}
    roles = {
        overrides.get("taskRoleArn") or getattr(found, "task_role_arn", None),
        overrides.get("executionRoleArn") or getattr(found, "execution_role_arn", None),
    }
    yield from (pass_role(role, _TASKS) for role in sorted(each for each in roles if each))
    if tags:
        context = {"ecs:CreateAction": "RunTask", **tag_context(tags)}
        yield Need("ecs:TagResource", _in_cluster(call, "task", "*"), context)


def _made(call: Call, tags: Mapping[str, str]) -> Iterable[Need]:
    given = call.parameters
    if call.operation == "RegisterTaskDefinition":
        roles = {given.get("taskRoleArn"), given.get("executionRoleArn")}
        yield from (pass_role(role, _TASKS) for role in sorted(each for each in roles if each))
        made = arn(call, f"task-definition/{given.get('family', '')}:*")
    else:
        made = _cluster(call, str(given.get("clusterName") or "default"))
    if tags:
        yield Need("ecs:TagResource", made, {"ecs:CreateAction": call.operation, **tag_context(tags)})


def _cluster(call: Call, name: str) -> str:
    return name if name.startswith("arn:") else arn(call, f"cluster/{name}")


def _of_cluster(call: Call) -> dict[str, str]:
    return {"ecs:cluster": _cluster(call, str(call.parameters.get("cluster") or "default"))}


def _in_cluster(call: Call, kind: str, of: str) -> str:
    cluster = _of_cluster(call)["ecs:cluster"].rpartition("/")[2]
    return of if of.startswith("arn:") else arn(call, f"{kind}/{cluster}/{of.rpartition('/')[2]}")


def _definition(call: Call, name: str) -> str:
    return name if name.startswith("arn:") else arn(call, f"task-definition/{name}")
