"""Clusters and task definitions: moto keeps them, after AWS's checks."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scaler.testing.localcloud.answers import Answer, AwsError, json_answer
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import Cloud, Handler, Next, Resource
from scaler.testing.localcloud.ecs.clusters import find_cluster
from scaler.testing.localcloud.ecs.definitions import check_definition
from scaler.testing.localcloud.ecs.tags import check_tags
from scaler.testing.localcloud.ecs.task import Task
from scaler.testing.localcloud.moto_part import backend, backends

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_MANAGED = ("FARGATE", "FARGATE_SPOT")
# Of a cluster that is there already: what must be the same when it is created once more.
_SAME = {
    "capacityProviders": "capacity_providers",
    "defaultCapacityProviderStrategy": "default_capacity_provider_strategy",
}


class Kept:
    """tasks: all that there are."""

    def __init__(self, cloud: Cloud, tasks: Callable[[], Iterable[Task]]) -> None:
        self._cloud = cloud
        self._tasks = tasks

    def handlers(self) -> Mapping[str, Handler]:
        own = {
            "CreateCluster": self._create_cluster,
            "DescribeClusters": self._describe_clusters,
            "DeleteCluster": self._delete_cluster,
            "PutClusterCapacityProviders": self._put_providers,
            "RegisterTaskDefinition": self._register,
            "DescribeTaskDefinition": self._describe_definition,
        }
        return {f"ecs:{name}": self._locked(handler) for name, handler in own.items()}

    def resources(self) -> Iterable[Resource]:
        for _, each in backends("ecs"):
            for cluster in each.clusters.values():
                left = cluster.status == "ACTIVE"
                yield Resource("ecs cluster", cluster.arn, cluster.status, _by_key(cluster.tags), left)
            for family in each.task_definitions.values():
                for definition in family.values():
                    status = definition.status
                    left = status in ("ACTIVE", "INACTIVE")
                    yield Resource("ecs task definition", definition.arn, status, _by_key(definition.tags), left)

    def _locked(self, handler: Handler) -> Handler:
        def handle(call: Call, go_on: Next) -> Answer:
            with self._cloud.lock:
                return handler(call, go_on)

        return handle

    def _create_cluster(self, call: Call, go_on: Next) -> Answer:
        given = call.parameters
        name = str(given.get("clusterName") or "default")
        if not _NAME.fullmatch(name):
            raise AwsError("InvalidParameterException", "Invalid cluster name.")
        check_tags(given.get("tags") or [])
        _check_providers(given)
        known = backend("ecs", call.region).clusters.get(name)
        if known is None or known.status != "ACTIVE":
            return go_on(call)
        if any(given.get(key, []) not in ([], getattr(known, attribute) or []) for key, attribute in _SAME.items()):
            raise AwsError(
                "InvalidParameterException",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            )
        described = go_on(_other(call, "DescribeClusters", {"clusters": [name]}))
        return json_answer({"cluster": json.loads(described.body)["clusters"][0]})

    def _describe_clusters(self, call: Call, go_on: Next) -> Answer:
        for cluster in backend("ecs", call.region).clusters.values():
            states = [each.last_status for each in self._tasks() if each.cluster is cluster]
            cluster.running_tasks_count = states.count("RUNNING")
            cluster.pending_tasks_count = states.count("PENDING") + states.count("PROVISIONING")
        return go_on(call)

    def _delete_cluster(self, call: Call, go_on: Next) -> Answer:
        cluster = find_cluster(call)
        if any(each.cluster is cluster and each.last_status != "STOPPED" for each in self._tasks()):
            raise AwsError("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
        return go_on(call)

    def _put_providers(self, call: Call, go_on: Next) -> Answer:
        find_cluster(call)
        _check_providers(call.parameters)
        return go_on(call)

    def _register(self, call: Call, go_on: Next) -> Answer:
        parameters = json.loads(json.dumps(call.parameters))
        check_definition(parameters)
        answer = go_on(dataclasses.replace(call, body=json.dumps(parameters).encode()))
        if answer.status != 200 or not parameters.get("tags"):
            return answer
        return json_answer({**json.loads(answer.body), "tags": parameters["tags"]})

    def _describe_definition(self, call: Call, go_on: Next) -> Answer:
        """A family alone means its latest that is active; for moto it is the latest."""
        name = str(call.parameters.get("taskDefinition") or "").rpartition("/")[2]
        if ":" in name:
            return go_on(call)
        revisions = backend("ecs", call.region).task_definitions.get(name, {}).values()
        active = [int(each.revision) for each in revisions if each.status == "ACTIVE"]
        if not active:
            raise AwsError("ClientException", "Unable to describe task definition.")
        parameters = {**call.parameters, "taskDefinition": f"{name}:{max(active)}"}
        return go_on(_other(call, call.operation, parameters))


def _check_providers(given: Mapping[str, Any]) -> None:
    providers = given.get("capacityProviders") or []
    for each in providers:
        if each not in _MANAGED:
            raise AwsError("InvalidParameterException", f"The specified capacity provider {each} was not found.")
    for each in given.get("defaultCapacityProviderStrategy") or []:
        if each.get("capacityProvider") not in providers:
            raise AwsError(
                "InvalidParameterException",
                "The default capacity provider strategy cannot contain a capacity provider that is not associated "
                "with the cluster.",
            )


def _other(call: Call, operation: str, parameters: dict[str, Any]) -> Call:
    """The same caller's call of another operation."""
    target = str(call.environ["HTTP_X_AMZ_TARGET"]).rpartition(".")[0]
    environ = {**call.environ, "HTTP_X_AMZ_TARGET": f"{target}.{operation}"}
    body = json.dumps(parameters).encode()
    return dataclasses.replace(call, operation=operation, parameters=parameters, environ=environ, body=body)


def _by_key(tags: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    return {each["key"]: each.get("value", "") for each in tags or ()}
