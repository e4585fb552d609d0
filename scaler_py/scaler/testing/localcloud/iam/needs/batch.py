"""What calls to Batch need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.iam.needs.need import Need, arn, pass_role, tag_context
from scaler.testing.localcloud.moto_part import backend

# By operation: the parameter that names what it is about, and what kind of thing that is.
_OF = {
    "CancelJob": ("jobId", "job"),
    "CreateComputeEnvironment": ("computeEnvironmentName", "compute-environment"),
    "CreateJobQueue": ("jobQueueName", "job-queue"),
    "DeleteComputeEnvironment": ("computeEnvironment", "compute-environment"),
    "DeleteJobQueue": ("jobQueue", "job-queue"),
    "DeregisterJobDefinition": ("jobDefinition", "job-definition"),
    "RegisterJobDefinition": ("jobDefinitionName", "job-definition"),
    "TagResource": ("resourceArn", ""),
    "TerminateJob": ("jobId", "job"),
    "UntagResource": ("resourceArn", ""),
    "ListTagsForResource": ("resourceArn", ""),
    "UpdateComputeEnvironment": ("computeEnvironment", "compute-environment"),
    "UpdateJobQueue": ("jobQueue", "job-queue"),
}


def needs(call: Call) -> Iterable[Need]:
    action, given = f"batch:{call.operation}", call.parameters
    tags = {str(key): str(value) for key, value in (given.get("tags") or {}).items()}
    context = tag_context(tags)
    if call.operation == "SubmitJob":
        yield Need(action, _named(call, "job-definition", str(given.get("jobDefinition", ""))), context)
        yield Need(action, _named(call, "job-queue", str(given.get("jobQueue", ""))), context)
        made = arn(call, "job/*")
    elif call.operation in _OF:
        parameter, kind = _OF[call.operation]
        made = _named(call, kind, str(given.get(parameter, "")))
        yield Need(action, made, context)
    else:
        # What describes and lists is about everything.
        made = "*"
        yield Need(action, made)
    if tags and call.operation != "TagResource":
        yield Need("batch:TagResource", made, context)
    yield from _passed(given)


def _passed(given: Mapping[str, Any]) -> Iterable[Need]:
    if role := given.get("serviceRole"):
        yield pass_role(str(role), "batch.amazonaws.com")
    resources = given.get("computeResources") or {}
    if profile := str(resources.get("instanceRole") or ""):
        for each in backend("iam", "aws").instance_profiles.values():
            if profile in (each.arn, each.name):
                yield from (pass_role(role.arn, "ec2.amazonaws.com") for role in each.roles)
    container = given.get("containerProperties") or {}
    for name in ("executionRoleArn", "jobRoleArn"):
        if role := container.get(name):
            yield pass_role(str(role), "ecs-tasks.amazonaws.com")


def _named(call: Call, kind: str, name: str) -> str:
    return name if name.startswith("arn:") else arn(call, f"{kind}/{name}")
