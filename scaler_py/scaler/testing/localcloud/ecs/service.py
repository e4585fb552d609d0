"""ECS's calls: tasks are answered here, clusters and definitions by moto after AWS's checks."""

from __future__ import annotations

import dataclasses
import itertools
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scaler.testing.localcloud.answers import Answer, AwsError, json_answer
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import ACCOUNT, Cloud, Handler, Next, Resource
from scaler.testing.localcloud.ecs.clusters import active_cluster, find_cluster
from scaler.testing.localcloud.ecs.definitions import check_definition
from scaler.testing.localcloud.ecs.launch import Launch, check_token, read_launch
from scaler.testing.localcloud.ecs.life import Life
from scaler.testing.localcloud.ecs.listing import list_tasks
from scaler.testing.localcloud.ecs.obstacles import Obstacles
from scaler.testing.localcloud.ecs.task import Container, Task
from scaler.testing.localcloud.faults import Faults
from scaler.testing.localcloud.moto_part import backends
from scaler.testing.localcloud.settings import Settings

_MOST_DESCRIBED = 100
_NO_CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"


class Ecs:
    def __init__(self, cloud: Cloud, settings: Settings) -> None:
        self._cloud = cloud
        self._settings = settings
        self._obstacles = Obstacles(cloud)
        self._life = Life(cloud, settings, self._obstacles, self._is_known, self._forget)
        self._tasks: dict[str, Task] = {}
        # By cluster and client token: what was asked, and what came of it.
        self._launched: dict[tuple[str, str], tuple[str, list[str], list[dict[str, Any]]]] = {}
        self._homes = itertools.count()

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "ecs:RunTask": self._locked(self._run_task),
            "ecs:StopTask": self._locked(self._stop_task),
            "ecs:DescribeTasks": self._locked(self._describe_tasks),
            "ecs:ListTasks": self._locked(self._list_tasks),
            "ecs:DescribeClusters": self._describe_clusters,
            "ecs:DeleteCluster": self._delete_cluster,
            "ecs:RegisterTaskDefinition": self._register,
        }

    def resources(self) -> Iterable[Resource]:
        for task in self._tasks.values():
            ended = task.last_status == "STOPPED"
            yield Resource("ecs task", task.arn, task.last_status, task.tags, not ended, task.described(True))
        for _, each in backends("ecs"):
            for cluster in each.clusters.values():
                left = cluster.status == "ACTIVE"
                yield Resource("ecs cluster", cluster.arn, cluster.status, _tags(cluster.tags), left)
            for family in each.task_definitions.values():
                for definition in family.values():
                    yield Resource("ecs task definition", definition.arn, definition.status, _tags(definition.tags))

    def controls(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        """kill_task(task): its machine crashes. interrupt(task): of Fargate Spot. route(open): whether tasks that may
        reach the internet do. tasks(): all, with tags."""
        return {
            "kill_task": self._control(lambda given: self._life.kill(self._named(given))),
            "interrupt": self._control(self._interrupt),
            "route": self._control(lambda given: setattr(self._obstacles, "open", bool(given["open"]))),
            "tasks": self._control(lambda _: [each.described(True) for each in self._tasks.values()]),
        }

    def reset(self) -> None:
        self._tasks.clear()
        self._launched.clear()
        self._obstacles.open = True

    def _locked(self, answer: Callable[[Call], Mapping[str, Any]]) -> Handler:
        def handle(call: Call, _: Next) -> Answer:
            with self._cloud.lock:
                return json_answer(answer(call))

        return handle

    def _control(self, do: Callable[[Mapping[str, Any]], Any]) -> Callable[[Mapping[str, Any]], Any]:
        def locked(given: Mapping[str, Any]) -> Any:
            with self._cloud.lock:
                return do(given)

        return locked

    def _run_task(self, call: Call) -> Mapping[str, Any]:
        token = call.parameters.get("clientToken")
        if token is None:
            return self._launch(call, read_launch(self._cloud, call))[0]
        check_token(token)
        key = (find_cluster(call).arn, str(token))
        asked = json.dumps({**call.parameters, "cluster": key[0]}, sort_keys=True)
        if key in self._launched:
            before, arns, failures = self._launched[key]
            if before != asked:
                raise AwsError(
                    "ConflictException",
                    "The provided clientToken is already in use with a different RunTask request.",
                    resourceIds=arns,
                )
            known = [self._tasks[arn].described(True) for arn in arns if arn in self._tasks]
            return {"tasks": known, "failures": failures}
        answer, arns = self._launch(call, read_launch(self._cloud, call))
        if arns:
            self._launched[key] = (asked, arns, list(answer["failures"]))
        return answer

    def _launch(self, call: Call, launch: Launch) -> tuple[Mapping[str, Any], list[str]]:
        tasks: list[Task] = []
        failures: list[dict[str, Any]] = []
        for provider in launch.providers:
            if self._cloud.part(Faults).active("capacity", call):
                failures.append({"reason": _NO_CAPACITY})
            else:
                tasks.append(self._make(call.region, launch, provider, len(tasks)))
        for each in tasks:
            self._tasks[each.arn] = each
            self._life.begin(each)
        return {"tasks": [each.described(True) for each in tasks], "failures": failures}, [each.arn for each in tasks]

    def _make(self, region: str, launch: Launch, provider: str, number: int) -> Task:
        id = uuid.uuid4().hex
        named = {f.name: getattr(launch, f.name) for f in dataclasses.fields(launch)}
        for name in ("containers", "providers", "network"):
            del named[name]
        return Task(
            region=region,
            containers=[Container(each, f"{id}-{uuid.uuid4().int % 10**10:010}") for each in launch.containers],
            launch_type="FARGATE",
            provider=provider,
            interface=launch.network.make(number),
            arn=f"arn:aws:ecs:{region}:{ACCOUNT}:task/{launch.cluster.name}/{id}",
            home=self._cloud.folder / "ecs" / str(next(self._homes)),
            **named,
        )

    def _stop_task(self, call: Call) -> Mapping[str, Any]:
        cluster = active_cluster(call)
        task = self._tasks.get(self._arn(cluster, str(call.parameters.get("task") or "")))
        if task is None:
            raise AwsError("InvalidParameterException", "The referenced task was not found.")
        answer = task
        self._life.stop(answer, "UserInitiated", str(call.parameters.get("reason") or "Task stopped by user"))
        return {"task": answer.described(True)}

    def _describe_tasks(self, call: Call) -> Mapping[str, Any]:
        cluster = active_cluster(call)
        names = call.parameters.get("tasks") or []
        if not names:
            raise AwsError("InvalidParameterException", "Tasks cannot be empty.")
        if len(names) > _MOST_DESCRIBED:
            raise AwsError("InvalidParameterException", f"Tasks cannot have more than {_MOST_DESCRIBED} elements.")
        with_tags = "TAGS" in (call.parameters.get("include") or [])
        arns = dict.fromkeys(self._arn(cluster, str(each)) for each in names)
        return {
            "tasks": [self._tasks[arn].described(with_tags) for arn in arns if arn in self._tasks],
            "failures": [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in self._tasks],
        }

    def _list_tasks(self, call: Call) -> Mapping[str, Any]:
        cluster = active_cluster(call)
        return list_tasks(call.parameters, [each for each in self._tasks.values() if each.cluster is cluster])

    def _describe_clusters(self, call: Call, go_on: Next) -> Answer:
        with self._cloud.lock:
            for _, each in backends("ecs"):
                for cluster in each.clusters.values():
                    states = [task.last_status for task in self._tasks.values() if task.cluster is cluster]
                    cluster.running_tasks_count = states.count("RUNNING")
                    cluster.pending_tasks_count = states.count("PENDING") + states.count("PROVISIONING")
        return go_on(call)

    def _delete_cluster(self, call: Call, go_on: Next) -> Answer:
        with self._cloud.lock:
            cluster = find_cluster(call)
            if any(each.cluster is cluster and each.last_status != "STOPPED" for each in self._tasks.values()):
                raise AwsError("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
            return go_on(call)

    def _register(self, call: Call, go_on: Next) -> Answer:
        parameters = json.loads(json.dumps(call.parameters))
        check_definition(parameters)
        with self._cloud.lock:
            return go_on(dataclasses.replace(call, body=json.dumps(parameters).encode()))

    def _interrupt(self, given: Mapping[str, Any]) -> None:
        task = self._named(given)
        if not task.is_spot:
            raise ValueError(f"{task.arn} is not of FARGATE_SPOT")
        self._life.stop(task, "SpotInterruption", "Your Spot Task was interrupted.", self._settings.spot_seconds)

    def _named(self, given: Mapping[str, Any]) -> Task:
        """By ARN or id."""
        wanted = str(given["task"]).rpartition("/")[2]
        return next(each for each in self._tasks.values() if each.id == wanted)

    def _arn(self, cluster: Any, name: str) -> str:
        """Of a task by its ARN or id."""
        return name if name.startswith("arn:") else f"{cluster.arn.replace(':cluster/', ':task/')}/{name}"

    def _is_known(self, task: Task) -> bool:
        return self._tasks.get(task.arn) is task

    def _forget(self, task: Task) -> None:
        del self._tasks[task.arn]


def _tags(given: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    return {each["key"]: each.get("value", "") for each in given or ()}
