"""Offload drivers: each task is a job, by the example driver whose jobs are processes of this machine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from commands import PATIENCE, Command, Run
from gates import Gate
from scaler import Client
from scaler.errors import NotSupportedError, ProcessorDiedError, TaskTimeoutError

pytestmark = pytest.mark.timeout(180)

EXAMPLE = Path(__file__).parents[2] / "examples" / "local_jobs"
MODULE = "scaler_plugin_local_jobs.job"
LARGE = 300 << 10


class Jobs:
    """A scheduler with an object storage, and managers of local_jobs."""

    def __init__(self, folder: Path, run: Run) -> None:
        (folder / "run").mkdir(mode=0o700)
        self.folder = folder
        self.address = f"ipc://{folder}/run/scheduler"
        self.run = run
        run("object_storage_server", self._objects).read_until("object storage listens at")
        self.scheduler = self.start_scheduler()
        about = folder / "site" / "scaler_plugin_local_jobs-0.1.0.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: scaler-plugin-local-jobs\nVersion: 0.1.0\n")
        (about / "entry_points.txt").write_text("[scaler.drivers]\nlocal_jobs = scaler_plugin_local_jobs.driver\n")
        (about / "RECORD").touch()
        self.path = os.pathsep.join([str(about.parent), str(EXAMPLE / "src"), os.environ["PYTHONPATH"]])

    @property
    def _objects(self) -> str:
        return f"ipc://{self.folder}/run/objects"

    def start_scheduler(self) -> Command:
        typed = ["--object-storage-address", self._objects, "--resync-seconds", "1"]
        command = self.run("scheduler", self.address, *typed)
        command.read_until("scheduler listens at")
        return command

    def manager(self, *more: str, slots: int = 4) -> Command:
        """Ready: the scheduler has welcomed it."""
        command = self.start(*more, slots=slots)
        command.read_until(f"up to {slots} jobs at a time serve")
        return command

    def start(self, *more: str, slots: int = 4) -> Command:
        typed = ["--max-task-concurrency", str(slots), "--heartbeat-interval-seconds", "0.1", *more]
        return self.run("worker_manager", "local_jobs", self.address, *typed, PYTHONPATH=self.path)

    def client(self) -> Client:
        return Client(self.address, timeout_seconds=PATIENCE)

    def running(self) -> list[psutil.Process]:
        """Processes of jobs, of whatever manager."""
        found = []
        for each in psutil.process_iter(["cmdline", "status"]):
            command = each.info["cmdline"] or []
            if MODULE in command and any(str(self.folder) in word for word in command):
                found.append(each)
        return found

    def wait_until_over(self) -> None:
        """No process of a job is there any more."""
        psutil.wait_procs(self.running(), timeout=PATIENCE)
        assert self.running() == []

    def end(self, manager: Command) -> str:
        """What it printed. Nothing is left of its jobs."""
        code, output = manager.end(signal.SIGTERM)
        assert (code, "Traceback" in output) == (0, False), output
        self.wait_until_over()
        assert [each.name for each in self.folder.rglob("jobs/*")] == []
        return output


@pytest.fixture
def jobs(home: Path, run: Run) -> Iterator[Jobs]:
    jobs = Jobs(home, run)
    yield jobs
    for each in jobs.running():  # of a test that has failed: jobs outlive their managers
        each.kill()


@pytest.fixture
def gate(home: Path) -> Gate:
    return Gate(home)


def square(x: int) -> int:
    return x * x


def describe(*args: Any, **kwargs: Any) -> tuple[int, Any, Any]:
    return os.getpid(), args, kwargs


def reversed_bytes(data: bytes) -> bytes:
    return data[::-1]


def add(left: int, right: int) -> int:
    return left + right


class Odd(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(f"{number} is odd")
        self.number = number


def only_even(number: int) -> int:
    if number % 2:
        raise Odd(number)
    return number


def use_a_client() -> None:
    Client()


def die(once: str = "") -> str:
    """By SIGKILL; with `once` the first time only."""
    if not once or not os.path.exists(once):
        if once:
            Path(once).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def sleep_long() -> None:
    time.sleep(600)


def test_each_task_of_a_map_is_a_job_of_its_own(jobs: Jobs) -> None:
    manager = jobs.manager(slots=8)
    with jobs.client() as client:
        assert client.map(square, range(50)).results() == [x * x for x in range(50)]
        pids = {client.submit(describe).result()[0] for _ in range(3)}
    assert len(pids) == 3
    jobs.end(manager)


def test_arguments_and_results_of_all_kinds_go_there_and_back(jobs: Jobs) -> None:
    """By position and name, large ones, objects, other tasks' values, lambdas; in each way in which clients pack."""
    manager = jobs.manager()
    large = os.urandom(LARGE)
    with jobs.client() as client:
        _, args, kwargs = client.submit(describe, 1, "two", three=[3]).result()
        assert (args, kwargs) == ((1, "two"), {"three": [3]})
        assert client.submit(reversed_bytes, large).result() == large[::-1]
        reference = client.send_object(large)
        assert client.submit(lambda data, size: data[:size], reference, 9).result() == large[:9]
        first = client.submit(add, 1, 2)
        assert client.submit(add, first, 10).result() == 13
        produced = client.submit(reversed_bytes, large)
        assert client.submit(reversed_bytes, produced).result() == large
        assert client.map(add, [1, 2], [[3][0], 4]).results() == [4, 6]
        assert client.map(len, [[1], [1, 2]]).results() == [1, 2]
    jobs.end(manager)


def test_an_exception_comes_back_as_itself(jobs: Jobs) -> None:
    manager = jobs.manager()
    with jobs.client() as client:
        futures = client.map(only_even, [0, 1])
        assert futures[0].result() == 0
        with pytest.raises(Odd) as raised:
            futures[1].result()
        assert raised.value.number == 1
    jobs.end(manager)


def test_a_client_in_a_job_says_what_to_do(jobs: Jobs) -> None:
    manager = jobs.manager()
    with jobs.client() as client, pytest.raises(NotSupportedError, match="SCALER_SCHEDULER_ADDRESS"):
        client.submit(use_a_client).result()
    jobs.end(manager)


def test_a_cancelled_job_ends(jobs: Jobs, gate: Gate) -> None:
    manager = jobs.manager(slots=1)
    with jobs.client() as client:
        held = client.submit(Gate.hold, *gate.names)
        gate.wait()
        waiting = client.submit(square, 3)
        dropped = client.submit(square, 4)
        dropped.cancel()
        held.cancel()
        assert held.cancelled()
        assert dropped.cancelled()
        # Its slot has room again.
        assert waiting.result() == 9
    jobs.end(manager)


def test_a_job_that_takes_too_long_times_out(jobs: Jobs) -> None:
    manager = jobs.manager()
    with jobs.client() as client:
        future = client.submit_verbose(sleep_long, (), {}, timeout=3)
        with pytest.raises(TaskTimeoutError):
            future.result()
    jobs.end(manager)


def test_a_killed_job_is_tried_again_and_its_death_told_in_the_end(jobs: Jobs, home: Path) -> None:
    manager = jobs.manager()
    with jobs.client() as client:
        assert client.submit(die, str(home / "died")).result() == "alive"
        with pytest.raises(ProcessorDiedError, match="SIGKILL") as raised:
            client.submit(die).result()
        assert raised.value.attempts == 3
        assert "without an outcome" in str(raised.value)
    jobs.end(manager)


def test_jobs_of_a_killed_manager_go_on_and_are_found_by_the_next_one(jobs: Jobs, gate: Gate) -> None:
    manager = jobs.manager()
    with jobs.client() as client:
        held = client.submit(Gate.hold, *gate.names, "the same job")
        gate.wait()
        waiting = client.map(square, range(20))
        manager.end(signal.SIGKILL)
        manager = jobs.manager()
        assert waiting.results() == [x * x for x in range(20)]
        # Nothing but the first job opens the pipe: a second one would wait for somebody who reads that it has started.
        gate.release()
        assert held.result() == "the same job"
    assert "goes on" in jobs.end(manager)


def test_jobs_go_on_while_the_scheduler_is_killed_and_started_again(jobs: Jobs, gate: Gate) -> None:
    manager = jobs.manager()
    with jobs.client() as client:
        held = client.submit(Gate.hold, *gate.names)
        gate.wait()
        jobs.scheduler.end(signal.SIGKILL)
        jobs.start_scheduler()
        assert client.submit(square, 3).result() == 9
        gate.release()
        assert held.result() == "held"
    jobs.end(manager)


def test_jobs_of_a_killed_manager_that_nobody_asks_for_end(jobs: Jobs, gate: Gate) -> None:
    manager = jobs.manager()
    with jobs.client() as client:
        client.submit(Gate.hold, *gate.names)
        gate.wait()
        manager.end(signal.SIGKILL)
    assert len(jobs.running()) == 1
    manager = jobs.manager()
    manager.read_until("nobody waits for this job")
    jobs.wait_until_over()
    jobs.end(manager)


def test_a_manager_that_is_told_to_end_lets_jobs_finish(jobs: Jobs, gate: Gate) -> None:
    manager = jobs.manager(slots=1)
    with jobs.client() as client:
        held = client.submit(Gate.hold, *gate.names)
        gate.wait()
        waiting = client.submit(square, 5)
        manager.process.send_signal(signal.SIGTERM)
        manager.read_until("jobs finish what they run")
        gate.release()
        assert held.result() == "held"
        assert manager.finish()[0] == 0
        # It gave back what had not started.
        other = jobs.manager()
        assert waiting.result() == 25
    jobs.end(other)


def test_jobs_end_with_their_manager_when_its_time_is_over_and_are_for_the_next_one(jobs: Jobs, gate: Gate) -> None:
    manager = jobs.manager("--shutdown-timeout-seconds", "0.2")
    with jobs.client() as client:
        held = client.submit(Gate.hold, *gate.names)
        gate.wait()
        jobs.end(manager)
        other = jobs.manager()
        gate.wait()
        gate.release()
        assert held.result() == "held"
    jobs.end(other)


def test_a_second_manager_of_a_name_is_refused(jobs: Jobs) -> None:
    manager = jobs.manager()
    code, output = jobs.start("--state-directory", str(jobs.folder / "another")).finish()
    assert (code, "Another worker manager is called 'local_jobs'" in output) == (2, True), output
    jobs.end(manager)


def test_workers_are_used_before_jobs(jobs: Jobs, gate: Gate) -> None:
    workers = jobs.run("worker_manager", "native", jobs.address, "--mode", "fixed", "--max-task-concurrency", "1")
    workers.read_until("1 workers serve")
    manager = jobs.manager()
    with jobs.client() as client:
        pids = {client.submit(os.getpid).result() for _ in range(3)}
        assert len(pids) == 1, "all by the one worker"
        held = client.submit(Gate.hold, *gate.names)
        gate.wait()
        assert client.submit(os.getpid).result() not in pids
        gate.release()
        held.result()
    jobs.end(manager)


def test_cleanup_ends_what_a_killed_manager_has_left(jobs: Jobs, gate: Gate) -> None:
    manager = jobs.manager()
    with jobs.client() as client:
        client.submit(Gate.hold, *gate.names)
        gate.wait()
        manager.end(signal.SIGKILL)
    # On a local path there are no keys.
    typed = ["cleanup", jobs.address, "--insecure"]
    code, output = jobs.run("worker_manager", "local_jobs", *typed, PYTHONPATH=jobs.path).finish()
    assert (code, "ended" in output) == (0, True), output
    assert jobs.running() == []
