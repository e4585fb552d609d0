"""SubmitJob: what it checks, and the jobs it makes. What it does *not* check is what AWS finds later, too."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from collections.abc import Mapping
from typing import Any

from scaler.testing.localcloud.batch import job as states
from scaler.testing.localcloud.batch.definitions import check_shared, requirement
from scaler.testing.localcloud.batch.errors import NAME, client_error, executing_error
from scaler.testing.localcloud.batch.infrastructure import Infrastructure
from scaler.testing.localcloud.batch.job import Job, Wanted
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import ACCOUNT

_KIB = 1024
_MOST_KIB = 30
_LEAST_ARRAY, _MOST_ARRAY = 2, 10_000
_MOST_DEPENDENCIES = 20
_REFERENCE = "Ref::"


class Submission:
    def __init__(self, infrastructure: Infrastructure, jobs: Mapping[str, Job]) -> None:
        self._infrastructure = infrastructure
        self._jobs = jobs
        self._orders = itertools.count()

    def make(self, call: Call) -> Job:
        """The job, with its children if it is an array. AwsError: AWS would refuse it."""
        given = call.parameters
        if len(call.body) > _MOST_KIB * _KIB:
            kib = -(-len(call.body) // _KIB)
            raise executing_error(f"Job size must be less than {_MOST_KIB} KiB, got {kib} KiB")
        if not NAME.fullmatch(str(given.get("jobName", ""))):
            raise executing_error("Job name should match valid pattern")
        wanted = self._wanted(call)
        size = (given.get("arrayProperties") or {}).get("size")
        if size is not None and not _LEAST_ARRAY <= size <= _MOST_ARRAY:
            raise executing_error(f"Array size must be between {_LEAST_ARRAY} and {_MOST_ARRAY}")
        job = self._job(str(uuid.uuid4()), wanted)
        for index in range(size or 0):
            child = self._job(f"{job.id}:{index}", wanted)
            child.order, child.parent, child.index = job.order, job, index
            job.children.append(child)
        job.summary = Counter({states.SUBMITTED: size or 0})
        self._connect(job)
        return job

    def _wanted(self, call: Call) -> Wanted:
        given = call.parameters
        queue = self._infrastructure.queue(str(given.get("jobQueue", "")), call.region)
        if queue.state != "ENABLED":
            raise client_error(f"JobQueue {given['jobQueue']} is not ENABLED.")
        definition = self._infrastructure.definition(str(given.get("jobDefinition", "")), call.region)
        overrides = given.get("containerOverrides") or {}
        check_shared(given, overrides)
        platforms = list(definition.platform_capabilities or ["EC2"])
        for each in queue.environments:
            kind = str((each.compute_resources or {}).get("type", "EC2"))
            if kind.startswith("FARGATE") != ("FARGATE" in platforms):
                attached = "Job Queue is attached to Compute Environment that can not run Jobs with capability"
                raise client_error(f"{attached} {platforms[0]}.")
        if not queue.schedule_policy and ("shareIdentifier" in given or "schedulingPriorityOverride" in given):
            shared = "Job with shareIdentifier or schedulingPriority can only be submitted to job queue with"
            raise client_error(f"{shared} fair share scheduling policy.")
        container = _with_overrides(definition.container_properties, overrides)
        parameters = {**definition.parameters, **(given.get("parameters") or {})}
        command(container, parameters)
        retry = {"attempts": 1, **(given.get("retryStrategy") or definition.retry_strategy or {})}
        retry.setdefault("evaluateOnExit", [])
        timeout = given.get("timeout") or definition.timeout or {}
        return Wanted(
            name=str(given["jobName"]),
            queue_arn=queue.arn,
            definition_arn=definition.arn,
            parameters=parameters,
            container=container,
            vcpus=requirement(container, "VCPU") or 1.0,
            retry=retry,
            timeout=int(timeout.get("attemptDurationSeconds", 0)),
            depends_on=_dependencies(given),
            tags=given.get("tags") or {},
            region=call.region,
            platforms=platforms,
        )

    def _job(self, name: str, wanted: Wanted) -> Job:
        return Job(name, f"arn:aws:batch:{wanted.region}:{ACCOUNT}:job/{name}", wanted, next(self._orders))

    def _connect(self, job: Job) -> None:
        """Each of an array's children waits for itself: all of a job, the child with its number, the one before it."""
        for each in job.wanted.depends_on:
            name, kind = each.get("jobId"), each.get("type")
            if name is None:
                if kind != "SEQUENTIAL" or not job.children:
                    raise executing_error("A dependency without a job ID must be SEQUENTIAL, of an array job")
                for before, child in itertools.pairwise(job.children):
                    child.waits_for.add(before.id)
                continue
            if (other := self._jobs.get(name)) is None:
                raise executing_error(f"Invalid dependency: job {name} does not exist")
            if kind == "N_TO_N":
                if not job.children or len(other.children) != len(job.children):
                    raise executing_error("N_TO_N dependencies must be of array jobs of the same size")
                for child, counterpart in zip(job.children, other.children, strict=True):
                    child.waits_for.add(counterpart.id)
            else:
                for waiting in job.children or [job]:
                    waiting.waits_for.add(other.id)


def command(container: Mapping[str, Any], parameters: Mapping[str, str]) -> list[str]:
    """With its parameters put in. AWS's examples have a reference as an argument of its own only: so do we."""
    found = []
    for each in container.get("command") or ():
        if each.startswith(_REFERENCE):
            name = each.removeprefix(_REFERENCE)
            if name not in parameters:
                raise client_error(f"Unable to substitute value. No parameter found for reference {name}")
            each = parameters[name]
        found.append(each)
    return found


def _dependencies(given: Mapping[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = list(given.get("dependsOn") or ())
    if len(found) > _MOST_DEPENDENCIES:
        raise executing_error(f"A job can depend on at most {_MOST_DEPENDENCIES} jobs")
    return found


def _with_overrides(container: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(container)
    if overrides.get("command"):
        merged["command"] = overrides["command"]
    environment = {each["name"]: each.get("value", "") for each in container.get("environment") or ()}
    environment.update({each["name"]: each.get("value", "") for each in overrides.get("environment") or ()})
    merged["environment"] = [{"name": name, "value": value} for name, value in environment.items()]
    wanted = {each["type"]: each["value"] for each in container.get("resourceRequirements") or ()}
    wanted.update({each["type"]: each["value"] for each in overrides.get("resourceRequirements") or ()})
    merged["resourceRequirements"] = [{"type": kind, "value": value} for kind, value in wanted.items()]
    for old in ("vcpus", "memory"):
        if overrides.get(old) is not None:
            merged[old] = overrides[old]
    return merged
