"""DescribeJobs and ListJobs."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from scaler.testing.localcloud.batch import job as states
from scaler.testing.localcloud.batch.errors import executing_error
from scaler.testing.localcloud.batch.infrastructure import Infrastructure
from scaler.testing.localcloud.batch.job import Job
from scaler.testing.localcloud.call import Call

_MOST_DESCRIBED = 100
# Of a page, with a filter and without.
_MOST_FILTERED, _MOST_LISTED = 100, 1000


def describe(call: Call, jobs: Mapping[str, Job]) -> dict[str, Any]:
    """Ids that nobody knows are left out."""
    asked = call.parameters.get("jobs") or []
    if not 1 <= len(asked) <= _MOST_DESCRIBED:
        raise executing_error(f"jobs must have between 1 and {_MOST_DESCRIBED} job IDs, got {len(asked)}")
    return {"jobs": [jobs[name].detail() for name in dict.fromkeys(asked) if name in jobs]}


def list_jobs(call: Call, jobs: Mapping[str, Job], infrastructure: Infrastructure, delay: float) -> dict[str, Any]:
    """delay: seconds until a job is listed."""
    given = call.parameters
    queue, array = given.get("jobQueue"), given.get("arrayJobId")
    if (queue is None) == (array is None):
        raise executing_error("Exactly one of jobQueue, arrayJobId and multiNodeJobId must be given")
    filters = given.get("filters") or []
    status = given.get("jobStatus") or states.RUNNING
    if status not in states.STATUSES:
        raise executing_error(f"jobStatus must be one of {', '.join(states.STATUSES)}")
    if len(filters) > 1:
        raise executing_error("Only one filter can be used at a time")
    if queue is not None:
        arn = infrastructure.queue(queue, call.region).arn
        found = [each for each in jobs.values() if each.parent is None and each.wanted.queue_arn == arn]
    else:
        found = jobs[array].children if array is not None and array in jobs else []
    if delay:
        found = [each for each in found if states.now() - each.created_at >= delay * 1000]
    if filters and queue is not None:
        found = _newest_first(each for each in found if _fits(each, filters[0]))
    else:
        found = [each for each in found if each.status == status]
    return _page(found, given, _MOST_FILTERED if filters else _MOST_LISTED)


def _fits(job: Job, wanted: Mapping[str, Any]) -> bool:
    name, values = wanted.get("name"), [str(each) for each in wanted.get("values") or ()]
    if name == "JOB_NAME":
        return any(_is_like(job.wanted.name.lower(), each.lower()) for each in values)
    if name == "JOB_DEFINITION":
        arn = job.wanted.definition_arn
        definition = arn.rpartition("/")[2].rpartition(":")[0]
        return any(each == arn or _is_like(definition, each) for each in values)
    if name == "BEFORE_CREATED_AT":
        return any(job.created_at < int(each) for each in values)
    if name == "AFTER_CREATED_AT":
        return any(job.created_at > int(each) for each in values)
    raise executing_error(f"Invalid filter name {name}")


def _is_like(text: str, pattern: str) -> bool:
    """A star means something at the end only."""
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def _newest_first(jobs: Iterable[Job]) -> list[Job]:
    return sorted(jobs, key=lambda each: -each.order)


def _page(jobs: list[Job], given: Mapping[str, Any], most: int) -> dict[str, Any]:
    wanted = int(given.get("maxResults") or most)
    if wanted < 1:
        raise executing_error("maxResults must be at least 1")
    begin = 0
    if token := given.get("nextToken"):
        begin = _place_of(jobs, str(token))
    end = begin + min(wanted, most)
    page: dict[str, Any] = {"jobSummaryList": [each.listed() for each in jobs[begin:end]]}
    if end < len(jobs):
        page["nextToken"] = base64.b64encode(f"{end}:{jobs[end].id}".encode()).decode()
    return page


def _place_of(jobs: list[Job], token: str) -> int:
    """Where the page goes on: at that job, or where it was if it is not among them any more."""
    try:
        number, _, name = base64.b64decode(token, validate=True).decode().partition(":")
        place = int(number)
    except ValueError:
        raise executing_error("Invalid nextToken") from None
    return next((at for at, each in enumerate(jobs) if each.id == name), min(place, len(jobs)))
