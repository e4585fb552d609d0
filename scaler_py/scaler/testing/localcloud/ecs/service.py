"""ECS's calls: tasks are answered here, clusters and definitions by moto after AWS's checks."""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scaler.testing.localcloud.answers import Answer, AwsError, json_answer
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import ACCOUNT, Cloud, Handler, Next, Resource
from scaler.testing.localcloud.ecs.clusters import active_cluster, find_cluster
from scaler.testing.localcloud.ecs.kept import Kept
from scaler.testing.localcloud.ecs.launch import Launch, check_token, read_launch
from scaler.testing.localcloud.ecs.life import Life
from scaler.testing.localcloud.ecs.listing import list_tasks
from scaler.testing.localcloud.ecs.metadata import SITE, Metadata
from scaler.testing.localcloud.ecs.obstacles import Obstacles
from scaler.testing.localcloud.ecs.tags import check_tags
from scaler.testing.localcloud.ecs.task import Container, Task
from scaler.testing.localcloud.faults import Faults
from scaler.testing.localcloud.server import Site
from scaler.testing.localcloud.settings import Settings

_MOST_DESCRIBED = 100
_NO_CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"


class Ecs:
    def __init__(self, cloud: Cloud, settings: Settings) -> None:
        self._cloud = cloud
        self._settings = settings
        self._obstacles = Obstacles(cloud)
        self._metadata = Metadata(cloud, self._by_id)
        self._life = Life(cloud, settings, self._obstacles, self._metadata, self._is_known, self._forget)
        self._kept = Kept(cloud, lambda: self._tasks.values())
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
            **dict.fromkeys(["ecs:TagResource", "ecs:UntagResource", "ecs:ListTagsForResource"], self._tag),
            **self._kept.handlers(),
        }

    def resources(self) -> Iterable[Resource]:
        for task in self._tasks.values():
            ended = task.last_status == "STOPPED"
            yield Resource("ecs task", task.arn, task.last_status, task.tags, not ended, task.described(True))
        yield from self._kept.resources()

    def controls(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        """kill_task(task): its machine crashes. interrupt(task): of Fargate Spot. route(open): whether tasks that may
        reach the internet do. tasks(): all, with tags."""
        return {
            "kill_task": self._control(lambda given: self._life.kill(self._named(given))),
            "interrupt": self._control(self._interrupt),
            "route": self._control(lambda given: setattr(self._obstacles, "open", bool(given["open"]))),
            "tasks": self._control(lambda _: [each.described(True) for each in self._tasks.values()]),
        }

    def sites(self) -> Mapping[str, Site]:
        return {SITE: self._metadata.answer}

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
        before, arns, failures = self._launched.get(key, ("", [], []))
        known = [self._tasks[arn].described(True) for arn in arns if arn in self._tasks]
        # A token is remembered as long as what came of it, 24 hours at most at AWS.
        if known:
            if before != asked:
                raise AwsError(
                    "ConflictException",
                    "The provided clientToken is already in use with a different RunTask request.",
                    resourceIds=arns,
                )
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
        task = self._visible(cluster).get(self._arn(cluster, str(call.parameters.get("task") or "")))
        if task is None:
            raise AwsError("InvalidParameterException", "The referenced task was not found.")
        self._life.stop(task, "UserInitiated", str(call.parameters.get("reason") or "Task stopped by user"))
        # As AWS does it: who wants to know whose task it was must have asked before.
        task.tags = {}
        return {"task": task.described(True)}

    def _describe_tasks(self, call: Call) -> Mapping[str, Any]:
        cluster = active_cluster(call)
        names = call.parameters.get("tasks") or []
        if not names:
            raise AwsError("InvalidParameterException", "Tasks cannot be empty.")
        if len(names) > _MOST_DESCRIBED:
            raise AwsError("InvalidParameterException", f"Tasks cannot have more than {_MOST_DESCRIBED} elements.")
        with_tags = "TAGS" in (call.parameters.get("include") or [])
        arns = dict.fromkeys(self._arn(cluster, str(each)) for each in names)
        seen = self._visible(cluster)
        return {
            "tasks": [seen[arn].described(with_tags) for arn in arns if arn in seen],
            "failures": [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in seen],
        }

    def _list_tasks(self, call: Call) -> Mapping[str, Any]:
        cluster = active_cluster(call)
        return list_tasks(call.parameters, self._visible(cluster).values())

    def _visible(self, cluster: Any) -> Mapping[str, Task]:
        """A cluster's; AWS's answers may be a while behind its deeds."""
        before = time.time() - self._settings.ecs_seconds
        return {
            arn: task
            for arn, task in self._tasks.items()
            if task.cluster.arn == cluster.arn and task.created_at <= before
        }

    def _tag(self, call: Call, go_on: Next) -> Answer:
        """Of a task; others are moto's."""
        with self._cloud.lock:
            arn = str(call.parameters.get("resourceArn") or "")
            if ":task/" not in arn:
                return go_on(call)
            task = self._tasks.get(arn)
            if task is None or task.last_status == "STOPPED":
                raise AwsError("InvalidParameterException", "The specified task is stopped or was not found.")
            if call.operation == "TagResource":
                tags = {**task.tags, **check_tags(call.parameters.get("tags") or [])}
                check_tags([{"key": key, "value": value} for key, value in tags.items()])
                task.tags = tags
            elif call.operation == "UntagResource":
                gone = call.parameters.get("tagKeys") or []
                task.tags = {key: value for key, value in task.tags.items() if key not in gone}
            else:
                return json_answer({"tags": task.described(True)["tags"]})
            return json_answer({})

    def _interrupt(self, given: Mapping[str, Any]) -> None:
        task = self._named(given)
        if not task.is_spot:
            raise ValueError(f"{task.arn} is not of FARGATE_SPOT")
        self._life.stop(task, "SpotInterruption", "Your Spot Task was interrupted.", self._settings.spot_seconds)

    def _named(self, given: Mapping[str, Any]) -> Task:
        """By ARN or id."""
        found = self._by_id(str(given["task"]).rpartition("/")[2])
        if found is None:
            raise ValueError(f"there is no task {given['task']}")
        return found

    def _by_id(self, wanted: str) -> Task | None:
        return next((each for each in self._tasks.values() if each.id == wanted), None)

    def _arn(self, cluster: Any, name: str) -> str:
        """Of a task by its ARN or id."""
        return name if name.startswith("arn:") else f"{cluster.arn.replace(':cluster/', ':task/')}/{name}"

    def _is_known(self, task: Task) -> bool:
        return self._tasks.get(task.arn) is task

    def _forget(self, task: Task) -> None:
        del self._tasks[task.arn]
