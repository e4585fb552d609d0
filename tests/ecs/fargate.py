"""A scheduler that scales, a manager of Fargate tasks, and the local cloud in which these run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from commands import PATIENCE, Command, Run
from scaler import Client
from scaler.testing.localcloud import LocalCloud

VANILLA = "allocate=even_load; scaling=vanilla"
# Workers have the Python of this machine: there is no other in the local cloud.
PYTHON = ".".join(map(str, sys.version_info[:3]))


@dataclass
class Fargate:
    """address: of the scheduler."""

    run: Run
    cloud: LocalCloud
    scheduler: Command
    address: str

    def client(self) -> Client:
        return Client(self.address, timeout_seconds=2 * PATIENCE)

    def manager(
        self, *arguments: str, most: int = 4, cpu: str = "2", memory: str = "4", until: str = "workers serve"
    ) -> Command:
        command = self.run(*self.typed(*arguments, most=most, cpu=cpu, memory=memory), **self.cloud.environment)
        if until:
            command.read_until(until)
        return command

    def typed(self, *arguments: str, most: int = 4, cpu: str = "2", memory: str = "4") -> list[str]:
        typed = ["worker_manager", "aws_raw_ecs", self.address, "--worker-manager-id", "wm-ecs"]
        typed += ["--ecs-subnets", self.cloud.subnet, "--aws-region", "us-east-1", "-his", "0.2"]
        typed += ["--ecs-task-cpu", cpu, "--ecs-task-memory", memory, "--max-task-concurrency", str(most)]
        return [*typed, "--ecs-python-version", PYTHON, *arguments]

    def tasks(self, *states: str) -> list[dict[str, Any]]:
        """Those that are in one of these states; in any but STOPPED without."""
        found = self.cloud.resources("ecs task")
        return [each for each in found if (each["state"] in states if states else each["state"] != "STOPPED")]

    def wait_until(self, true: Callable[[], object], what: str, seconds: float = 2 * PATIENCE) -> None:
        """It looks each time that the scheduler has said something, and now and then."""
        deadline = time.monotonic() + seconds
        while not true():
            self.scheduler.read_more(0.05)
            said = self.scheduler.output.decode()
            assert time.monotonic() < deadline, f"not {what}; the scheduler: {said[-4000:]}; {self.tasks()}"


def scaled(run: Run, cloud: LocalCloud, *arguments: str, policy: str = VANILLA) -> Fargate:
    options = ["--resync-seconds", "0.5", "-pc", policy, "-sdc", "0.5", *arguments]
    scheduler = run("scheduler", "tcp://127.0.0.1:0", *options)
    told = scheduler.read_until("scheduler listens at").split("listens at ")[1].split(",")[0]
    return Fargate(run, cloud, scheduler, told)


def ends_well(manager: Command) -> str:
    """All output, once it was told to end and has."""
    manager.process.terminate()
    rest, _ = manager.process.communicate(timeout=150)
    code, output = manager.process.returncode, (manager.output + rest).decode()
    assert (code, "Traceback" in output) == (0, False), output
    return output
