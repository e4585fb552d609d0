"""A job: what was asked for, how far it is, and how AWS shows it. Times are milliseconds since 1970, as at AWS."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scaler.testing.localcloud.processes import Process

SUBMITTED, PENDING, RUNNABLE, STARTING, RUNNING = "SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"
SUCCEEDED, FAILED = "SUCCEEDED", "FAILED"
STATUSES = (SUBMITTED, PENDING, RUNNABLE, STARTING, RUNNING, SUCCEEDED, FAILED)
ENDED = (SUCCEEDED, FAILED)
# A job that has not come further than these is cancelled; another is terminated.
BEFORE_STARTING = (SUBMITTED, PENDING, RUNNABLE)


def now() -> int:
    return int(time.time() * 1000)


@dataclass
class Attempt:
    """One run of a job's container. exit_code: None where the container never ran, or was lost with its machine.

    instance: EC2's id of the machine. process: None before RUNNING. because: why it is being ended from outside, and so
    the status reason that it gets; retried: whether another attempt may follow it then. lost: with its machine.
    """

    task_arn: str
    log_stream: str
    instance: str
    started_at: int = 0
    stopped_at: int = 0
    exit_code: int | None = None
    reason: str = ""
    status_reason: str = ""
    process: Process | None = None
    because: str = ""
    retried: bool = True
    lost: bool = False

    def container(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"taskArn": self.task_arn, "networkInterfaces": []}
        if self.started_at:
            shown["logStreamName"] = self.log_stream
        if self.exit_code is not None:
            shown["exitCode"] = self.exit_code
        if self.reason:
            shown["reason"] = self.reason
        return shown

    def detail(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"container": self.container(), "statusReason": self.status_reason}
        for name, value in (("startedAt", self.started_at), ("stoppedAt", self.stopped_at)):
            if value:
                shown[name] = value
        return shown


@dataclass(frozen=True)
class Wanted:
    """All that a job and its array's children have in common: the request, with its definition's defaults put in.

    container: of the definition, with the overrides, in AWS's words. timeout: seconds of an attempt, 0 for none.
    retry: AWS's retryStrategy.
    """

    name: str
    queue_arn: str
    definition_arn: str
    parameters: Mapping[str, str]
    container: Mapping[str, Any]
    vcpus: float
    retry: Mapping[str, Any]
    timeout: int
    depends_on: list[dict[str, str]]
    tags: Mapping[str, str]
    region: str
    platforms: list[str]


@dataclass
class Job:
    """parent: of an array's child; children: of an array. order: of submission, over all queues.

    waits_for: ids of jobs that must succeed before it. environment: ARN of the compute environment whose vCPUs it has.
    """

    id: str
    arn: str
    wanted: Wanted
    order: int
    status: str = SUBMITTED
    status_reason: str = ""
    created_at: int = field(default_factory=now)
    started_at: int = 0
    stopped_at: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    cancelled: bool = False
    terminated: bool = False
    waits_for: set[str] = field(default_factory=set)
    environment: str = ""
    parent: Job | None = None
    index: int = 0
    children: list[Job] = field(default_factory=list)
    summary: Counter[str] = field(default_factory=Counter)
    summary_at: int = field(default_factory=now)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def attempt(self) -> Attempt | None:
        """The last one."""
        return self.attempts[-1] if self.attempts else None

    def move(self, status: str, reason: str = "") -> None:
        """Its parent's numbers follow; what an array's end means for it is the scheduler's business."""
        if self.parent is not None:
            self.parent.summary[self.status] -= 1
            self.parent.summary[status] += 1
            self.parent.summary_at = now()
        self.status = status
        self.status_reason = reason
        if self.ended:
            self.stopped_at = now()

    def detail(self) -> dict[str, Any]:
        """As DescribeJobs has it."""
        wanted = self.wanted
        shown = {
            **self._shown_always(),
            "jobQueue": wanted.queue_arn,
            "startedAt": self.started_at,
            "attempts": [each.detail() for each in self.attempts if each.stopped_at],
            "retryStrategy": dict(wanted.retry),
            "dependsOn": wanted.depends_on,
            "parameters": dict(wanted.parameters),
            "container": {**wanted.container, **self._last_container()},
            "tags": dict(wanted.tags),
            "propagateTags": False,
            "platformCapabilities": wanted.platforms,
            "eksAttempts": [],
            "isCancelled": self.cancelled,
            "isTerminated": self.terminated,
        }
        if wanted.timeout:
            shown["timeout"] = {"attemptDurationSeconds": wanted.timeout}
        return shown

    def listed(self) -> dict[str, Any]:
        """As ListJobs has it."""
        last = self._last_container()
        container = {name: last[name] for name in ("exitCode", "reason") if name in last}
        shown = {**self._shown_always(), "container": container}
        if self.started_at:
            shown["startedAt"] = self.started_at
        return shown

    def _shown_always(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "jobArn": self.arn,
            "jobId": self.id,
            "jobName": self.wanted.name,
            "jobDefinition": self.wanted.definition_arn,
            "createdAt": self.created_at,
            "status": self.status,
        }
        if self.status_reason:
            shown["statusReason"] = self.status_reason
        if self.stopped_at:
            shown["stoppedAt"] = self.stopped_at
        if self.children:
            shown["arrayProperties"] = {
                "size": len(self.children),
                "statusSummary": {each: self.summary[each] for each in STATUSES},
                "statusSummaryLastUpdatedAt": self.summary_at,
            }
        elif self.parent is not None:
            shown["arrayProperties"] = {"index": self.index}
        return shown

    def _last_container(self) -> dict[str, Any]:
        return {} if self.attempt is None else self.attempt.container()
