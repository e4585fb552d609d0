"""The life of instances: pending, running as a process, stopping and stopped, shutting down and terminated."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from scaler.testing.localcloud.cloud import Cloud
from scaler.testing.localcloud.ec2 import boot
from scaler.testing.localcloud.ec2.machine import BY_CRASH, BY_ITSELF, BY_SPOT, Machine, Reason
from scaler.testing.localcloud.ec2.programs import write_programs
from scaler.testing.localcloud.ec2.strays import MARK, kill_strays
from scaler.testing.localcloud.images import Images
from scaler.testing.localcloud.processes import Process
from scaler.testing.localcloud.settings import Settings

# What an operating system gives its services when it shuts down.
_GRACE_SECONDS = 90.0
# The first process kills the others after the grace; this is for one that does not.
_BEYOND_SECONDS = 2.0
# Strays of what ended within this time are looked for together.
_SWEEP_SECONDS = 0.05

_ON_THE_WAY = {"stopped": "stopping", "terminated": "shutting-down"}


class Life:
    """All with the cloud's lock held. What starts a process does it from the processes' own thread."""

    def __init__(self, cloud: Cloud, settings: Settings, site: str) -> None:
        """site: where the metadata service is, by the path of its address."""
        self._cloud = cloud
        self._site = site
        self._step = settings.step_seconds
        self._spot_seconds = settings.spot_seconds
        self._grace = min(_GRACE_SECONDS, settings.grace_seconds)
        self._programs: Path | None = None
        self._ended: set[str] = set()
        self._machines: dict[str, Machine] = {}

    def reset(self) -> None:
        """All processes have ended, but strays."""
        kill_strays(self._machines)
        self._machines = {}
        self._ended = set()

    @property
    def machines(self) -> Mapping[str, Machine]:
        return self._machines

    def begin(self, machine: Machine) -> None:
        """Of a new one, and of one that was stopped."""
        self._machines[machine.id] = machine
        machine.goal = ""
        machine.set_state("pending")
        self._cloud.processes.after(self._step, lambda: self._boot(machine))

    def end(self, machine: Machine, goal: str, reason: Reason) -> None:
        """goal: "stopped" or "terminated". One that is on its way there already goes on."""
        if machine.state in (goal, "terminated", "shutting-down"):
            return
        machine.goal, machine.reason = goal, reason
        machine.set_state(_ON_THE_WAY[goal], reason)
        if machine.process is not None:
            self._cloud.processes.stop(machine.process, self._grace + _BEYOND_SECONDS)
        else:
            self._cloud.processes.after(self._step, lambda: self._arrive_later(machine))

    def restart(self, machine: Machine) -> None:
        if machine.process is not None and not machine.goal:
            machine.goal = "running"
            self._cloud.processes.stop(machine.process, self._grace + _BEYOND_SECONDS)

    def interrupt(self, machine: Machine) -> None:
        """Its notice is out; the end comes in its time."""
        machine.notice_at = time.time() + self._spot_seconds

        def take() -> None:
            with self._cloud.lock:
                if self._machines.get(machine.id) is machine:
                    self.end(machine, "terminated", BY_SPOT)

        self._cloud.processes.after(self._spot_seconds, take)

    def crash(self, machine: Machine) -> None:
        """Without any notice, and for good."""
        machine.goal, machine.reason = "terminated", BY_CRASH
        if machine.process is not None:
            machine.process.kill()
        else:
            self._arrive(machine)

    def _boot(self, machine: Machine) -> None:
        with self._cloud.lock:
            if machine.state != "pending" or self._machines.get(machine.id) is not machine:
                return
            home = self._cloud.folder / machine.id
            home.mkdir(exist_ok=True)
            command = [sys.executable, "-I", "-S", str(boot.__file__), str(self._grace)]
            # User data is for the first start alone.
            if machine.script and not machine.has_run:
                path = home / "user-data"
                path.write_bytes(machine.script)
                path.chmod(0o700)
                command.append(str(path))
            machine.has_run = True
            environment = self._environment(machine, home)
            process = self._cloud.processes.start(
                machine.id, command, environment, lambda ended: self._on_end(machine, ended), home
            )
            machine.process = process
            machine.outputs.append(process.output)
            machine.set_state("running")

    def _environment(self, machine: Machine, home: Path) -> dict[str, str]:
        if self._programs is None:
            self._programs = write_programs(self._cloud.folder / "instance-programs")
        metadata = f"{self._cloud.endpoint}{self._site}{machine.id}/"
        own = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata, MARK: machine.id, "USER": "root"}
        environment = self._cloud.part(Images).environment(str(machine.instance.image_id), own, home)
        return {**environment, "PATH": f"{self._programs}:{environment['PATH']}"}

    def _on_end(self, machine: Machine, process: Process) -> None:
        with self._cloud.lock:
            self._sweep(machine)
            if machine.process is not process or self._machines.get(machine.id) is not machine:
                return
            machine.process = None
            if not machine.goal:
                self._ended_by_itself(machine, process.exit_code)
            if machine.goal == "running":
                self._boot_again(machine)
            else:
                self._arrive(machine)

    def _ended_by_itself(self, machine: Machine, exit_code: int | None) -> None:
        machine.reason = BY_ITSELF
        if exit_code == boot.REBOOTED:
            machine.goal = "running"
        elif exit_code == boot.POWERED_OFF:
            behaviour = machine.instance.instance_initiated_shutdown_behavior
            machine.goal = "terminated" if behaviour == "terminate" else "stopped"
        else:
            machine.goal, machine.reason = "stopped", BY_CRASH

    def _boot_again(self, machine: Machine) -> None:
        """A reboot cannot be seen from outside: it is running all the time."""
        machine.goal = ""
        machine.set_state("pending")
        self._boot(machine)

    def _arrive_later(self, machine: Machine) -> None:
        with self._cloud.lock:
            if self._machines.get(machine.id) is machine and machine.state in _ON_THE_WAY.values():
                self._arrive(machine)

    def _arrive(self, machine: Machine) -> None:
        goal, machine.goal = machine.goal, ""
        if goal == "terminated":
            machine.release()
        elif goal == "stopped":
            machine.instance.stop()
        machine.set_state(goal, machine.reason)

    def _sweep(self, machine: Machine) -> None:
        if not self._ended:
            self._cloud.processes.after(_SWEEP_SECONDS, self._sweep_now)
        self._ended.add(machine.id)

    def _sweep_now(self) -> None:
        with self._cloud.lock:
            ended, self._ended = self._ended, set()
            # One that has started again has every right to its processes.
            gone = {each for each in ended if (found := self._machines.get(each)) is None or found.process is None}
        kill_strays(gone)
