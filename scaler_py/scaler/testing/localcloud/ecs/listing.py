"""ListTasks: which tasks it names, a page at a time."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from scaler.testing.localcloud.answers import AwsError
from scaler.testing.localcloud.ecs.task import Task

_PAGE = 100
_FILTERS = ("containerInstance", "family", "serviceName", "launchType", "desiredStatus")


def list_tasks(given: Mapping[str, Any], tasks: Iterable[Task]) -> dict[str, Any]:
    """given: the call's parameters; tasks: of its cluster. Raises AwsError."""
    size = given.get("maxResults") or _PAGE
    if not isinstance(size, int) or not 1 <= size <= _PAGE:
        raise _refused(f"maxResults should be between 1 and {_PAGE}.")
    if given.get("startedBy") and any(given.get(each) for each in _FILTERS):
        raise _refused("startedBy cannot be combined with other filters.")
    status = given.get("desiredStatus") or "RUNNING"
    if status not in ("RUNNING", "PENDING", "STOPPED"):
        raise _refused("desiredStatus should be one of [RUNNING,PENDING,STOPPED]")
    arns = sorted(each.arn for each in tasks if each.desired_status == status and _matches(given, each))
    # By name, not by place: a task that ends between two pages hides no other one.
    after = _read_token(given.get("nextToken"))
    page = [arn for arn in arns if arn > after]
    answer: dict[str, Any] = {"taskArns": page[:size]}
    if len(page) > size:
        answer["nextToken"] = base64.b64encode(page[size - 1].encode()).decode()
    return answer


def _matches(given: Mapping[str, Any], task: Task) -> bool:
    if given.get("containerInstance") or given.get("serviceName"):
        return False
    return (
        given.get("startedBy") in (None, "", task.started_by)
        and given.get("family") in (None, "", task.definition.family)
        and given.get("launchType") in (None, "", task.launch_type)
    )


def _read_token(token: Any) -> str:
    if not token:
        return ""
    try:
        return base64.b64decode(str(token), validate=True).decode()
    except ValueError:
        raise _refused("Invalid token.") from None


def _refused(sentence: str) -> AwsError:
    return AwsError("InvalidParameterException", sentence)
