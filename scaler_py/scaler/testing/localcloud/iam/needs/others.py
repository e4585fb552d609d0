"""What calls to the small services need: logs, STS, ECR, SSM, Secrets Manager."""

from __future__ import annotations

from collections.abc import Iterable

from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.iam.needs.need import Need, arn, tag_context


def logs(call: Call) -> Iterable[Need]:
    """Of a group and its streams; only tags are on the group itself, without what is below it."""
    action, given = f"logs:{call.operation}", call.parameters
    group = str(given.get("logGroupName") or str(given.get("logGroupIdentifier", "")).rpartition("log-group:")[2])
    tags = {str(key): str(value) for key, value in (given.get("tags") or {}).items()}
    if call.operation in ("TagResource", "UntagResource", "ListTagsForResource"):
        yield Need(action, str(given.get("resourceArn", "")), tag_context(tags))
        return
    stream = str(given.get("logStreamName", ""))
    yield Need(action, arn(call, f"log-group:{group}:log-stream:{stream}"), tag_context(tags))
    if tags and call.operation == "CreateLogGroup":
        yield Need("logs:TagResource", arn(call, f"log-group:{group}"), tag_context(tags))


def sts(call: Call) -> Iterable[Need]:
    """Who one is may everybody ask."""
    if call.operation not in ("GetCallerIdentity", "GetSessionToken"):
        yield Need(f"sts:{call.operation}", str(call.parameters.get("RoleArn", "*")))


def ecr(call: Call) -> Iterable[Need]:
    action, given = f"ecr:{call.operation}", call.parameters
    names = given.get("repositoryNames") or ([given["repositoryName"]] if "repositoryName" in given else [])
    for name in names:
        yield Need(action, arn(call, f"repository/{name}"))
    if not names:
        yield Need(action, str(given.get("resourceArn", "*")))
    tags = {each.get("Key", ""): each.get("Value", "") for each in given.get("tags") or []}
    if tags and call.operation == "CreateRepository":
        yield Need("ecr:TagResource", arn(call, f"repository/{names[0]}"), tag_context(tags))


def ssm(call: Call) -> Iterable[Need]:
    action, given = f"ssm:{call.operation}", call.parameters
    names = [str(each) for each in given.get("Names") or [given.get("Name") or given.get("Path") or ""] if each]
    for name in names:
        yield Need(action, arn(call, f"parameter/{name.lstrip('/')}"))
    if not names:
        yield Need(action)
    tags = {each.get("Key", ""): each.get("Value", "") for each in given.get("Tags") or []}
    if tags and call.operation == "PutParameter":
        yield Need("ssm:AddTagsToResource", arn(call, f"parameter/{names[0].lstrip('/')}"), tag_context(tags))


def secretsmanager(call: Call) -> Iterable[Need]:
    given = call.parameters
    name = str(given.get("SecretId") or given.get("Name") or "")
    resource = name if name.startswith("arn:") else arn(call, f"secret:{name}-??????")
    yield Need(f"secretsmanager:{call.operation}", resource if name else "*")
