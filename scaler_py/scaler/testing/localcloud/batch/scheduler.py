"""Which job may go on: dependencies, arrays, the order of the queues, and the vCPUs of the compute environments.

All methods are called with the cloud's lock held.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from fnmatch import fnmatchcase

from scaler.testing.localcloud.batch import job as states
from scaler.testing.localcloud.batch.era import Era
from scaler.testing.localcloud.batch.infrastructure import Infrastructure
from scaler.testing.localcloud.batch.job import Attempt, Job
from scaler.testing.localcloud.cloud import Cloud


class Scheduler:
    """step: seconds that each state before RUNNING takes. no_capacity: asked before a job gets its machine. start: what
    runs a job that is STARTING and has its vCPUs; the runner says `attempt_ended` once for each.
    """

    def __init__(
        self,
        cloud: Cloud,
        step: float,
        infrastructure: Infrastructure,
        no_capacity: Callable[[], bool],
        new_attempt: Callable[[Job], Attempt],
        start: Callable[[Job, Attempt], None],
    ) -> None:
        self._cloud = cloud
        self._step = step
        self._infrastructure = infrastructure
        self._no_capacity = no_capacity
        self._new_attempt = new_attempt
        self._start = start
        self.jobs: dict[str, Job] = {}
        self._dependents: dict[str, list[Job]] = defaultdict(list)
        self._runnable: dict[str, list[tuple[int, int, Job]]] = defaultdict(list)
        self._used: dict[str, float] = defaultdict(float)
        self._unended: Counter[str] = Counter()
        self._ending: deque[tuple[Job, str, str]] = deque()
        self._placing = False
        self._era = Era(cloud)

    def add(self, job: Job) -> None:
        """With its array's children, if it has some."""
        for each in (job, *job.children):
            self.jobs[each.id] = each
            self._unended[each.wanted.queue_arn] += 1
        self.after_step(lambda: self._evaluate_all(job))

    def unended(self, queue_arn: str) -> list[Job]:
        """Jobs of a queue that have not ended; an array without its children."""
        return [
            each
            for each in self.jobs.values()
            if each.parent is None and not each.ended and each.wanted.queue_arn == queue_arn
        ]

    def is_empty(self, queue_arn: str) -> bool:
        return self._unended[queue_arn] == 0

    def cancel(self, job: Job, reason: str) -> None:
        """Ends it if it has not come to STARTING; of an array, the children that have not."""
        if job.children and not job.ended:
            job.cancelled, job.status_reason = True, reason
        for each in job.children or [job]:
            if each.status in states.BEFORE_STARTING:
                each.cancelled = True
                self.end(each, states.FAILED, reason)

    def end(self, job: Job, status: str, reason: str) -> None:
        """What depends on it ends with it; a chain of that may be ten thousand long, so it is no recursion."""
        self._ending.append((job, status, reason))
        if len(self._ending) > 1:
            return
        while self._ending:
            job, status, reason = self._ending[0]
            if not job.ended:
                self._end(job, status, reason)
            self._ending.popleft()

    def _end(self, job: Job, status: str, reason: str) -> None:
        job.move(status, reason)
        self._unended[job.wanted.queue_arn] -= 1
        for each in self._dependents.pop(job.id, ()):
            self._dependency_ended(each, job)
        if job.parent is not None:
            self._child_ended(job.parent)
        if self.is_empty(job.wanted.queue_arn):
            self._infrastructure.queue_is_empty(job.wanted.queue_arn)

    def attempt_ended(self, job: Job, attempt: Attempt) -> None:
        """Its exit code and reasons are there: it is done, tried again, or failed. vCPUs are free again."""
        attempt.stopped_at = states.now()
        self._used[job.environment] -= job.wanted.vcpus
        self._place_soon()
        if attempt.exit_code == 0 and not attempt.because:
            self.end(job, states.SUCCEEDED, attempt.status_reason)
        elif attempt.retried and not job.terminated and _may_retry(job, attempt):
            self._make_runnable(job)
        else:
            self.end(job, states.FAILED, attempt.status_reason)

    def place_again(self) -> None:
        """There may be more room than before."""
        self._place_soon()

    def reset(self) -> None:
        for each in (self.jobs, self._dependents, self._runnable, self._used, self._unended):
            each.clear()
        self._placing = False
        self._era.end()

    def _evaluate_all(self, job: Job) -> None:
        if job.ended:
            return
        if not job.children:
            return self._evaluate(job)
        job.move(states.PENDING, job.status_reason)
        for each in job.children:
            self._evaluate(each)

    def _evaluate(self, job: Job) -> None:
        """Only after SUBMITTED: what it waits for may have ended before it came."""
        if job.status != states.SUBMITTED:
            return
        for each in [self.jobs[name] for name in job.waits_for if name in self.jobs]:
            if not each.ended:
                self._dependents[each.id].append(job)
            elif each.status == states.FAILED:
                return self.end(job, states.FAILED, "Dependent Job failed")
            else:
                job.waits_for.discard(each.id)
        if job.waits_for:
            job.move(states.PENDING)
        else:
            self._make_runnable(job)

    def _dependency_ended(self, job: Job, dependency: Job) -> None:
        if job.status != states.PENDING:
            return
        job.waits_for.discard(dependency.id)
        if dependency.status == states.FAILED:
            self.end(job, states.FAILED, "Dependent Job failed")
        elif not job.waits_for:
            self._make_runnable(job)

    def _child_ended(self, parent: Job) -> None:
        if parent.ended or parent.summary[states.SUCCEEDED] + parent.summary[states.FAILED] < len(parent.children):
            return
        if parent.terminated or parent.cancelled:
            self.end(parent, states.FAILED, parent.status_reason)
        elif parent.summary[states.FAILED]:
            self.end(parent, states.FAILED, "Array Child Job failed")
        else:
            self.end(parent, states.SUCCEEDED, "")

    def _make_runnable(self, job: Job) -> None:
        job.move(states.RUNNABLE)
        heapq.heappush(self._runnable[job.wanted.queue_arn], (job.order, job.index, job))
        self._place_soon()

    def _place_soon(self) -> None:
        if not self._placing:
            self._placing = True
            self.after_step(self._place)

    def _place(self) -> None:
        """First in, first out: one that does not fit holds up those behind it, as AWS's queues do it."""
        self._placing = False
        for queue in self._infrastructure.queues_by_priority(arn for arn, jobs in self._runnable.items() if jobs):
            waiting = self._runnable[queue]
            while waiting:
                job = waiting[0][2]
                if job.status == states.RUNNABLE:
                    environment = self._infrastructure.room(queue, job.wanted.vcpus, self._used)
                    if not environment:
                        break
                    if self._no_capacity():
                        self._place_soon()
                        break
                    self._begin(job, environment)
                heapq.heappop(waiting)

    def _begin(self, job: Job, environment: str) -> None:
        self._used[environment] += job.wanted.vcpus
        job.environment = environment
        job.move(states.STARTING)
        attempt = self._new_attempt(job)
        job.attempts.append(attempt)
        self.after_step(lambda: self._start(job, attempt))

    def after_step(self, call: Callable[[], None]) -> None:
        """Not any more after a reset."""
        self._cloud.processes.after(self._step, self._era.bound(call))


def _may_retry(job: Job, attempt: Attempt) -> bool:
    """Of evaluateOnExit the first condition that holds decides; where none does it is tried again."""
    if len(job.attempts) >= job.wanted.retry["attempts"]:
        return False
    known = {
        "onStatusReason": attempt.status_reason,
        "onReason": attempt.reason,
        "onExitCode": "" if attempt.exit_code is None else str(attempt.exit_code),
    }
    for each in job.wanted.retry.get("evaluateOnExit", ()):
        if all(fnmatchcase(known[name], each[name]) for name in known if each.get(name)):
            return bool(each["action"].upper() == "RETRY")
    return True
