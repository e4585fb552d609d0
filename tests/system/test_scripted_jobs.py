"""Offload drivers that fail, answer late or wrongly, under a real host and scheduler: each task has one outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest
from commands import PATIENCE, Run
from scaler import Client
from scaler.config.fields import component_of
from scaler.config.models import WorkerManagerOptions
from scaler.errors import ProcessorDiedError, TaskTimeoutError
from scaler.managers.api import (
    ConfigurationError,
    CredentialsExpired,
    DriverInfo,
    Family,
    Job,
    Offer,
    OptionModel,
    TemporaryError,
    Throttled,
    Unit,
    UnitState,
    pack_job,
    run_job,
)
from scaler.managers.loading import Driver
from scaler.managers.running import run_manager
from scaler.part import Ending

pytestmark = pytest.mark.timeout(120)


class Nothing(OptionModel):
    group: ClassVar[str] = "driver scripted"


@dataclass
class Cloud:
    """A driver whose jobs run in the call that asks for their state, unless the test holds them.

    before: called at the beginning of each hook, with its name and arguments; what it raises the hook raises.
    """

    before: Callable[[str, Any], None] = lambda name, asked: None
    held: bool = False
    settle_seconds: float = 0.0
    started: list[Job] = field(default_factory=list)
    units: dict[str, Unit] = field(default_factory=dict)
    outcomes: dict[str, bytes] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    opened: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def open(self, context: Any) -> None:
        self.opened += 1

    def validate(self, context: Any) -> None: ...

    def offer(self, context: Any) -> Offer:
        return Offer(most_workers=3, settle_seconds=self.settle_seconds, batch=10)

    def start(self, context: Any, requests: Sequence[Job]) -> list[Unit]:
        self.before("start", requests)
        for job in requests:
            if job.id not in self.units:
                self.started.append(job)
                self.tell(job.id, UnitState.RUNNING)
        return [self.units[job.id] for job in requests]

    def heartbeat(self, context: Any) -> list[Unit]:
        self.before("heartbeat", None)
        if not self.held:
            for job in self.started:
                if self.units.get(job.id) == Unit(job.id, job.id, UnitState.RUNNING):
                    self.outcomes[job.id] = run_job(pack_job(job))
                    self.tell(job.id, UnitState.SUCCEEDED)
        return list(self.units.values())

    def collect(self, context: Any, ids: Sequence[str]) -> dict[str, bytes]:
        self.before("collect", ids)
        return {id: self.outcomes[id] for id in ids if id in self.outcomes}

    def shutdown(self, context: Any, ids: Sequence[str]) -> None:
        self.before("shutdown", ids)
        with self.changed:
            for id in ids:
                if self.units.pop(id, None) is not None:
                    self.ended.append(id)
            self.changed.notify_all()

    def cleanup(self, context: Any, scope: Any, dry_run: bool) -> list[Any]:
        return []

    def tell(self, id: str, state: UnitState, detail: str = "", *, timed_out: bool = False) -> None:
        with self.changed:
            self.units[id] = Unit(id, id, state, detail, timed_out)
            self.changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE)


@dataclass
class Failing:
    """Raises each error once, in turn, in the calls of one hook."""

    hook: str
    errors: list[Exception]

    def __call__(self, name: str, asked: Any) -> None:
        if name == self.hook and self.errors:
            raise self.errors.pop(0)


@pytest.fixture(autouse=True)
def nothing_logged_is_kept(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Tracebacks in records would keep managers alive."""
    yield
    caplog.get_records("call").clear()


@pytest.fixture
def address(home: Path, run: Run) -> str:
    (home / "run").mkdir(mode=0o700)
    address = f"ipc://{home}/run/scheduler"
    run("scheduler", address, "--resync-seconds", "0.1").read_until("scheduler listens at")
    return address


@pytest.fixture
def manager(address: str) -> Callable[[Cloud], Any]:
    """Runs a manager of the cloud in a thread, and ends it."""

    @contextmanager
    def running(cloud: Cloud) -> Iterator[Client]:
        driver = Driver(DriverInfo("scripted", Family.OFFLOAD, Nothing), cloud, component_of(Nothing, "worker_manager"))
        options = WorkerManagerOptions(
            scheduler_address=address, heartbeat_interval_seconds=0.05, shutdown_timeout_seconds=5
        )
        ready, told, status = threading.Event(), SimpleNamespace(), []

        def watch(hurry: Any, leave: Any, seconds: float, say: Any) -> None:
            told.leave = leave

        def manage() -> None:
            make = lambda: cast(Ending, SimpleNamespace(watch=watch))  # noqa: E731
            status.append(run_manager(driver, options, Nothing(), make, lambda greeting: ready.set()))

        thread = threading.Thread(target=manage)
        thread.start()
        assert ready.wait(PATIENCE)
        try:
            with Client(address, timeout_seconds=PATIENCE) as client:
                yield client
        finally:
            told.leave()
            thread.join(PATIENCE)
        assert status == [0]
        assert cloud.units == {}, "all may be forgotten in the end"

    return running


def square(x: int) -> int:
    return x * x


@pytest.mark.parametrize("hook", ["start", "heartbeat", "collect", "shutdown"])
@pytest.mark.parametrize(
    "error",
    [lambda: Throttled("slowly", 0.05), CredentialsExpired, TemporaryError, RuntimeError],
    ids=["throttled", "credentials", "temporary", "unknown"],
)
def test_no_task_is_lost_or_run_twice_when_a_hook_fails(
    manager: Any, hook: str, error: Callable[[], Exception]
) -> None:
    cloud = Cloud(before=Failing(hook, [error(), error()]))
    with manager(cloud) as client:
        assert client.map(square, range(6)).results() == [x * x for x in range(6)]
    assert len(cloud.started) == 6
    assert (cloud.opened > 1) is (error is CredentialsExpired)


def test_what_can_never_be_started_fails_with_the_drivers_words(manager: Any) -> None:
    def before(name: str, asked: Any) -> None:
        if name == "start":
            raise ConfigurationError("The queue is disabled.", "queue", "enable it")

    with manager(Cloud(before=before)) as client, pytest.raises(ProcessorDiedError, match="The queue is disabled"):
        client.submit(square, 3).result()


def test_some_of_a_batch_may_fail(manager: Any) -> None:
    class Partly(Cloud):
        def start(self, context: Any, requests: Sequence[Job]) -> list[Unit]:
            found = super().start(context, requests)
            for job in requests:
                if job.attempt == 1 and b"\x01" in job.arguments:
                    self.tell(job.id, UnitState.FAILED, "no such instance type")
            return [self.units[each.id] for each in found]

    cloud = Partly()
    with manager(cloud) as client:
        assert client.map(square, range(6)).results() == [x * x for x in range(6)]


def test_an_answer_that_is_lost_after_the_start_starts_nothing_twice(manager: Any) -> None:
    class Losing(Cloud):
        lost = 0

        def start(self, context: Any, requests: Sequence[Job]) -> list[Unit]:
            found = super().start(context, requests)
            if self.lost < 2:
                self.lost += 1
                raise ConnectionResetError("the answer is lost")
            return found

    cloud = Losing()
    with manager(cloud) as client:
        assert client.map(square, range(6)).results() == [x * x for x in range(6)]
    assert len(cloud.started) == 6


def test_a_job_that_is_gone_is_tried_again(manager: Any) -> None:
    cloud = Cloud(held=True)
    with manager(cloud) as client:
        future = client.submit(square, 4)
        cloud.wait(lambda: len(cloud.started) == 1)
        cloud.held = False
        cloud.tell(cloud.started[0].id, UnitState.GONE, "reclaimed")
        assert future.result() == 16
    assert [job.attempt for job in cloud.started] == [1, 2]


def test_a_heartbeat_that_does_not_show_a_job_for_a_while_loses_nothing(manager: Any) -> None:
    class Forgetful(Cloud):
        empty = 0

        def heartbeat(self, context: Any) -> list[Unit]:
            found = super().heartbeat(context)
            if found and self.empty < 3:
                with self.changed:
                    self.empty += 1
                    self.changed.notify_all()
                return []
            return found

    cloud = Forgetful(held=True, settle_seconds=60.0)
    with manager(cloud) as client:
        future = client.submit(square, 4)
        cloud.wait(lambda: cloud.empty == 3)
        cloud.held = False
        assert future.result() == 16
    assert len(cloud.started) == 1


def test_cancelling_a_task_whose_job_cannot_be_started_yet_starts_nothing(manager: Any) -> None:
    asked = threading.Event()

    def before(name: str, wanted: Any) -> None:
        if name == "start":
            asked.set()
            raise Throttled("slowly", 0.5)

    cloud = Cloud(before=before)
    with manager(cloud) as client:
        future = client.submit(square, 4)
        assert asked.wait(PATIENCE)
        future.cancel()
        assert future.cancelled()
    assert cloud.started == []


def test_an_outcome_that_cannot_be_read_is_none(manager: Any) -> None:
    cloud = Cloud(held=True)
    with manager(cloud) as client:
        future = client.submit(square, 4)
        for attempt in (1, 2, 3):
            cloud.wait(lambda attempt=attempt: len(cloud.started) == attempt)
            job = cloud.started[-1]
            cloud.outcomes[job.id] = b"rubbish"
            cloud.tell(job.id, UnitState.SUCCEEDED)
        with pytest.raises(ProcessorDiedError, match="cannot be read"):
            future.result()


def test_a_time_out_of_the_infrastructures_own_is_one(manager: Any) -> None:
    cloud = Cloud(held=True)
    with manager(cloud) as client:
        future = client.submit_verbose(square, (4,), {}, timeout=600)
        cloud.wait(lambda: len(cloud.started) == 1)
        assert cloud.started[0].timeout == 600
        cloud.tell(cloud.started[0].id, UnitState.FAILED, "limit of the queue", timed_out=True)
        with pytest.raises(TaskTimeoutError, match="limit of the queue"):
            future.result()
    assert len(cloud.started) == 1


def test_the_host_ends_what_runs_too_long(manager: Any) -> None:
    cloud = Cloud(held=True)
    with manager(cloud) as client:
        with pytest.raises(TaskTimeoutError):
            client.submit_verbose(square, (4,), {}, timeout=0.2).result()
        cloud.wait(lambda: cloud.ended == [cloud.started[0].id])


def test_cancelling_before_the_start_starts_nothing_and_after_it_ends_the_job(manager: Any) -> None:
    cloud = Cloud(held=True)
    with manager(cloud) as client:
        running = client.map(square, range(3))
        cloud.wait(lambda: len(cloud.started) == 3)
        waiting = client.submit(square, 9)
        waiting.cancel()
        running.cancel()
        assert waiting.cancelled()
        cloud.wait(lambda: len(cloud.ended) == 3)
    assert len(cloud.started) == 3


def test_no_more_jobs_at_a_time_than_the_driver_offers(manager: Any) -> None:
    cloud = Cloud(held=True)
    with manager(cloud) as client:
        futures = client.map(square, range(5))
        cloud.wait(lambda: len(cloud.started) == 3)
        first = cloud.started[0]
        cloud.outcomes[first.id] = run_job(pack_job(first))
        cloud.tell(first.id, UnitState.SUCCEEDED)
        cloud.wait(lambda: len(cloud.started) == 4)
        assert sum(unit.state is UnitState.RUNNING for unit in cloud.units.values()) <= 3
        cloud.held = False
        assert futures.results() == [x * x for x in range(5)]
