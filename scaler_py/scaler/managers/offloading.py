"""Running an offload driver: each task is a job, and the scheduler sees one node."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from scaler.config.models import WorkerManagerOptions
from scaler.errors import TaskTimeoutError
from scaler.managers.api import Job, Offer, Unit
from scaler.managers.api.jobs import unpack_outcome
from scaler.managers.calling import Calls
from scaler.managers.kept_jobs import KeptJobs, KeptObjects
from scaler.managers.offering import python_minor
from scaler.node.settings import NodeSettings
from scaler.outward import OutwardLink
from scaler.packing import pack_exception
from scaler.running_loop import Handlers

# Jobs at a time, where nobody says how many.
USUAL_JOBS = 100
# What the end of jobs may take once they were cancelled, in seconds.
ENDING_SECONDS = 30.0


class JobsLoop(Protocol):
    """What is needed of `scaler._core.Loop`."""

    def jobs_collected(self, call: int, outcomes: list[tuple[str, str, bytes]]) -> None: ...
    def jobs_not_collected(self, call: int, text: str, retry_after: float) -> None: ...


class Offloading:
    """The loop's requests that are about jobs. unit_of: what the driver told last of a unit."""

    def __init__(
        self,
        loop: JobsLoop,
        jobs: KeptJobs,
        objects: KeptObjects,
        links: JobLinks,
        calls: Calls,
        unit_of: Callable[[str], Unit | None],
    ) -> None:
        self._loop = loop
        self._jobs = jobs
        self._objects = objects
        self._links = links
        self._calls = calls
        self._unit_of = unit_of

    def handlers(self) -> Handlers:
        return {
            "connect": self._links.connect,
            "job": self._jobs.define,
            "forget_job": self._jobs.forget,
            "job_object": self._objects.put,
            "forget_job_object": self._objects.forget,
            "collect": self._collect,
        }

    def welcome(self, storage: str) -> None:
        """The scheduler's, which names an object storage."""
        self._links.learn(storage)

    def _collect(self, call: int, ids: list[str]) -> None:
        wanted = {id: self._jobs.get(id) for id in ids}

        def told(outcomes: Mapping[str, bytes]) -> None:
            found = [self._outcome(id, job, outcomes.get(id)) for id, job in wanted.items()]
            self._loop.jobs_collected(call, [each for each in found if each is not None])

        def failed(call: int, kind: str, text: str, retry_after: float) -> None:
            self._loop.jobs_not_collected(call, text, retry_after)

        self._calls.collect(call, ids, told, failed)

    def _outcome(self, id: str, job: Job | None, outcome: bytes | None) -> tuple[str, str, bytes] | None:
        """None: there is none, for the reason that the driver gave with its unit."""
        if outcome is not None:
            try:
                kind, payload = unpack_outcome(outcome)
            except ValueError as error:
                return id, "lost", f"what its job left cannot be read: {error}".encode()
            return id, ("exception" if kind else "value"), payload
        unit = self._unit_of(id)
        if unit is not None and unit.timed_out:
            return id, "exception", pack_exception(_timed_out(job, unit))
        return None


def _timed_out(job: Job | None, unit: Unit) -> TaskTimeoutError:
    limit = f" of {job.timeout:g} s" if job is not None and job.timeout else ""
    detail = f": {unit.detail}" if unit.detail else ""
    return TaskTimeoutError(
        f"The task's job ran out of its time{limit}{detail}\n"
        "  to do: raise `timeout=` of submit_verbose (or --task-timeout-seconds), or split the task",
        attempts=1,
    )


def job_slots(options: WorkerManagerOptions, offer: Offer) -> int:
    """Jobs at a time."""
    return options.max_task_concurrency or offer.most_workers or USUAL_JOBS


def node_settings(options: WorkerManagerOptions, offer: Offer, slots: int, name: str, ticket: bytes) -> dict[str, Any]:
    """Of the node that the scheduler sees, as `scaler._core.Loop` takes them. It is called like its manager."""
    node = NodeSettings(
        slots=slots,
        name=name,
        manager=name,
        capabilities={**offer.capabilities, **dict(options.per_worker_capabilities)},
        task_timeout=options.task_timeout_seconds,
        # Its manager has a lease.
        death_timeout=0,
        heartbeat=options.heartbeat_interval_seconds,
    )
    return {**node.for_loop(ticket), "python_minor": python_minor(offer), "offload": True}


def manager_settings(settings: dict[str, Any], offer: Offer, slots: int, patience: float) -> dict[str, Any]:
    """What is different of a manager whose units are jobs. patience: what they may take to end, in seconds."""
    return {
        **settings,
        "least_groups": 0,
        "most_groups": slots,
        "slots": 1,
        "deadline": offer.deadline_seconds,
        # What was started last may not show before.
        "shutdown": ENDING_SECONDS + offer.settle_seconds,
        "patience": patience,
        # Its jobs are called otherwise than those of all processes before.
        "run": random.getrandbits(32),
    }


class JobLinks:
    """The loop's links: to the scheduler, and to the object storage that it names."""

    def __init__(self, scheduler: Callable[[int], None], store: OutwardLink, address: str) -> None:
        self._scheduler = scheduler
        self._store = store
        self._address = address

    def connect(self, link: str, attempt: int) -> None:
        if link == "store":
            self._store.connect(attempt)
        else:
            self._scheduler(attempt)

    def learn(self, storage: str) -> None:
        self._store.learn(storage, self._address)
