"""Offload drivers: each task is a job, by the example driver whose jobs are processes of this machine."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from pathlib import Path

import psutil
import pytest
from commands import PATIENCE, Command, Run
from scaler import Client
from scaler.errors import NotSupportedError, ProcessorDiedError, TaskTimeoutError

pytestmark = pytest.mark.timeout(180)

EXAMPLE = Path(__file__).parents[2] / "examples" / "local_jobs"
MODULE = "scaler_plugin_local_jobs.job"


class Jobs:
    """A scheduler with storage, and managers of local_jobs."""

    def __init__(self, folder: Path, run: Run, address: str) -> None:
        self.folder = folder
        self.address = address
        self._run = run
        package = folder / "installed" / "scaler_plugin_local_jobs-0.1.0.dist-info"
        package.mkdir(parents=True)
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: scaler-plugin-local-jobs\nVersion: 0.1.0\n")
        (package / "entry_points.txt").write_text("[scaler.drivers]\nlocal_jobs = scaler_plugin_local_jobs.driver\n")
        (package / "RECORD").write_text("")
        self.path = os.pathsep.join([str(package.parent), str(EXAMPLE / "src"), os.environ["PYTHONPATH"]])

    def manager(self, *more: str, slots: int = 4) -> Command:
        """Ready: the scheduler has welcomed it."""
        command = self.start(*more, slots=slots)
        command.read_until("jobs at a time serve")
        return command

    def start(self, *more: str, slots: int = 4) -> Command:
        options = ["--max-task-concurrency", str(slots), "--heartbeat-interval-seconds", "0.1"]
        arguments = ["local_jobs", self.address, *options, "--state-directory", str(self.folder / "state"), *more]
        return self._run("worker_manager", *arguments, PYTHONPATH=self.path)

    def running(self) -> list[psutil.Process]:
        """Processes of jobs."""
        found = []
        for each in psutil.process_iter(["cmdline"]):
            command = each.info["cmdline"] or []
            if MODULE in command and any(str(self.folder) in word for word in command):
                found.append(each)
        return found


@pytest.fixture
def jobs(home: Path, run: Run) -> Jobs:
    storage = run("object_storage_server", "tcp://127.0.0.1:0")
    objects = storage.read_until("listens at tcp://127.0.0.1:").split("listens at ")[1].split()[0]
    scheduler = run("scheduler", "tcp://127.0.0.1:0", "--object-storage-address", objects.strip(",;."))
    address = scheduler.read_until("scheduler listens at tcp://127.0.0.1:").split("listens at ")[1].split(",")[0]
    return Jobs(home, run, address)


def square(x: int) -> int:
    return x * x


def test_each_task_of_a_map_is_a_job(jobs: Jobs) -> None:
    jobs.manager()
    with Client(jobs.address) as client:
        assert client.map(square, range(10)).results() == [x * x for x in range(10)]
