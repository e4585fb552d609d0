"""Batch: jobs that run as processes, in queues and compute environments that moto keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scaler.testing.localcloud.answers import Answer, json_answer
from scaler.testing.localcloud.batch import job as states
from scaler.testing.localcloud.batch import listing
from scaler.testing.localcloud.batch.errors import executing_error
from scaler.testing.localcloud.batch.infrastructure import Infrastructure
from scaler.testing.localcloud.batch.job import Attempt, Job
from scaler.testing.localcloud.batch.runner import Runner
from scaler.testing.localcloud.batch.scheduler import Scheduler
from scaler.testing.localcloud.batch.submission import Submission
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import Cloud, Handler, Next, Resource
from scaler.testing.localcloud.faults import Faults
from scaler.testing.localcloud.moto_part import backend
from scaler.testing.localcloud.roles import is_assumable
from scaler.testing.localcloud.settings import Settings


class Batch:
    def __init__(self, cloud: Cloud, settings: Settings) -> None:
        self._cloud = cloud
        self._list_delay = settings.batch_seconds
        self._infrastructure = Infrastructure(
            cloud, settings.step_seconds, lambda role: is_assumable(cloud, role, "batch.amazonaws.com")
        )
        self._runner = Runner(cloud, settings)
        self._scheduler = Scheduler(
            cloud,
            settings.step_seconds,
            self._infrastructure,
            self._no_capacity,
            self._runner.new_attempt,
            self._runner.start,
        )
        self._submission = Submission(self._infrastructure, self._scheduler.jobs)
        self._runner.ended = self._scheduler.attempt_ended
        self._infrastructure.on_changed = self._scheduler.place_again
        self._infrastructure.on_deleted = self._queue_is_deleted

    def handlers(self) -> Mapping[str, Handler]:
        jobs = self._scheduler.jobs
        named: dict[str, Callable[[Call], Mapping[str, Any]]] = {
            "SubmitJob": self._submit,
            "DescribeJobs": lambda call: listing.describe(call, jobs),
            "ListJobs": lambda call: listing.list_jobs(call, jobs, self._infrastructure, self._list_delay),
            "CancelJob": self._cancel,
            "TerminateJob": self._terminate,
        }
        own = {f"batch:{name}": self._answering(handler) for name, handler in named.items()}
        return {**self._infrastructure.handlers(), **own}

    def resources(self) -> Iterable[Resource]:
        yield from self._infrastructure.resources()
        for each in self._scheduler.jobs.values():
            if each.parent is None:
                yield Resource("batch job", each.id, each.status, each.wanted.tags, not each.ended, _more(each))

    def controls(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        """kill_job(job=ID): the machine of one that runs is lost. jobs(): all, an array's children too."""
        return {"kill_job": self._kill, "jobs": self._all}

    def reset(self) -> None:
        for part in (self._scheduler, self._runner, self._infrastructure):
            part.reset()

    def _submit(self, call: Call) -> Mapping[str, Any]:
        job = self._submission.make(call)
        if job.wanted.tags:
            backend("batch", call.region).tag_resource(job.arn, job.wanted.tags)
        self._scheduler.add(job)
        return {"jobArn": job.arn, "jobId": job.id, "jobName": job.wanted.name}

    def _cancel(self, call: Call) -> Mapping[str, Any]:
        job, reason = self._asked(call)
        if job is not None:
            self._scheduler.cancel(job, reason)
        return {}

    def _terminate(self, call: Call) -> Mapping[str, Any]:
        job, reason = self._asked(call)
        if job is not None:
            self._end(job, reason)
        return {}

    def _asked(self, call: Call) -> tuple[Job | None, str]:
        """AWS takes ids that nobody knows, too."""
        name, reason = str(call.parameters.get("jobId", "")), str(call.parameters.get("reason", ""))
        for what, value in (("jobId", name), ("reason", reason)):
            if not value:
                raise executing_error(f"{what} must be given")
        return self._scheduler.jobs.get(name), reason

    def _end(self, job: Job, reason: str) -> None:
        if job.ended:
            return
        if job.children:
            job.terminated, job.status_reason = True, reason
        for each in job.children or [job]:
            if each.ended:
                continue
            each.terminated = True
            if each.status in states.BEFORE_STARTING:
                self._scheduler.end(each, states.FAILED, reason)
            elif each.attempt is not None and not each.attempt.because:
                self._runner.terminate(each, each.attempt, reason)

    def _queue_is_deleted(self, arn: str) -> None:
        for each in self._scheduler.unended(arn):
            self._end(each, "Terminated with its job queue")
        if self._scheduler.is_empty(arn):
            self._infrastructure.queue_is_empty(arn)

    def _kill(self, given: Mapping[str, Any]) -> None:
        with self._cloud.lock:
            attempt = self._running(str(given["job"]))
            self._runner.lose(attempt)

    def _running(self, name: str) -> Attempt:
        job = self._scheduler.jobs.get(name)
        if job is None or job.status != states.RUNNING or job.attempt is None:
            raise ValueError(f"job {name} does not run: {'unknown' if job is None else job.status}")
        return job.attempt

    def _all(self, _: Mapping[str, Any]) -> list[dict[str, Any]]:
        with self._cloud.lock:
            return [each.detail() for each in self._scheduler.jobs.values()]

    def _no_capacity(self) -> bool:
        return self._cloud.part(Faults).active("capacity", service="batch", operation="SubmitJob")

    def _answering(self, handler: Callable[[Call], Mapping[str, Any]]) -> Handler:
        def answer(call: Call, _: Next) -> Answer:
            with self._cloud.lock:
                return json_answer(handler(call))

        return answer


def _more(job: Job) -> dict[str, Any]:
    exit_code = None if job.attempt is None else job.attempt.exit_code
    return {"name": job.wanted.name, "reason": job.status_reason, "exitCode": exit_code, "children": len(job.children)}
