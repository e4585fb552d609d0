"""How a task lives: from PROVISIONING to STOPPED, its containers as processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from scaler.testing.localcloud.cloud import Cloud
from scaler.testing.localcloud.ecs.metadata import Metadata
from scaler.testing.localcloud.ecs.network import release
from scaler.testing.localcloud.ecs.obstacles import Obstacles, log_options, stream_name
from scaler.testing.localcloud.ecs.task import Container, Task
from scaler.testing.localcloud.images import Images
from scaler.testing.localcloud.logs import Logs
from scaler.testing.localcloud.processes import Process
from scaler.testing.localcloud.settings import Settings

_FAILED = "TaskFailedToStart"


class Life:
    """All methods with the cloud's lock held. alive: whether somebody still knows the task; of those that nobody
    knows nothing starts any more. forget: called when a stopped task can no longer be described."""

    def __init__(
        self,
        cloud: Cloud,
        settings: Settings,
        obstacles: Obstacles,
        metadata: Metadata,
        alive: Callable[[Task], bool],
        forget: Callable[[Task], None],
    ) -> None:
        self._cloud = cloud
        self._settings = settings
        self._obstacles = obstacles
        self._metadata = metadata
        self._alive = alive
        self._forget = forget

    def begin(self, task: Task) -> None:
        """Of one that is PROVISIONING."""
        self._next(task, self._pend)

    def stop(self, task: Task, code: str, reason: str, longest: float | None = None) -> None:
        """SIGTERM, and SIGKILL after the container's stopTimeout, or after `longest` seconds. Fine for one that is
        stopping already."""
        if task.desired_status == "STOPPED":
            return
        task.desired_status = "STOPPED"
        task.stop_code, task.stopped_reason = code, reason
        task.stopping_at = time.time()
        task.version += 1
        if any(_runs(each) for each in task.containers):
            # Who stops it still sees it as it was.
            self._later(task, 0.0, lambda: self._end_containers(task, longest))
        else:
            self._later(task, 0.0, lambda: self._deprovision(task))

    def kill(self, task: Task) -> None:
        """As if its machine had crashed."""
        if not any(_runs(each) for each in task.containers):
            self.stop(task, _FAILED, "Task failed to start")
        for each in task.containers:
            if each.process is not None:
                each.process.kill()

    def _next(self, task: Task, step: Callable[[Task], None]) -> None:
        """After a step's time, where nobody has stopped the task meanwhile."""

        def do() -> None:
            if task.desired_status == "RUNNING":
                step(task)

        self._later(task, self._settings.step_seconds, do)

    def _later(self, task: Task, seconds: float, call: Callable[[], None]) -> None:
        def do() -> None:
            with self._cloud.lock:
                if self._alive(task):
                    call()

        self._cloud.processes.after(seconds, do)

    def _pend(self, task: Task) -> None:
        task.become("PENDING")
        task.interface.status = "ATTACHED"
        task.pull_started_at = time.time()
        self._next(task, self._activate)

    def _activate(self, task: Task) -> None:
        if obstacle := self._obstacles.to_pull(task):
            self.stop(task, _FAILED, obstacle)
            return
        task.pull_stopped_at = time.time()
        if obstacle := self._obstacles.to_log(task):
            self.stop(task, _FAILED, obstacle)
            return
        for each in task.containers:
            try:
                self._start(task, each)
            except OSError as error:
                self._fail(task, each, error)
                return
        task.started_at = time.time()
        task.become("RUNNING")

    def _start(self, task: Task, container: Container) -> None:
        definition = container.definition
        images = self._cloud.part(Images)
        image = definition["image"]
        own = {each["name"]: each.get("value", "") for each in definition.get("environment") or []}
        home = task.home / container.name
        container.process = self._cloud.processes.start(
            f"ecs {task.id} {container.name}",
            images.command(image, definition.get("entryPoint") or [], definition.get("command") or []),
            images.environment(image, {**self._metadata.variables(task, container), **own}, home),
            lambda process: self._ended(task, container, process),
            home,
        )
        container.last_status = "RUNNING"
        container.follower = self._follow(task, container, container.process)

    def _follow(self, task: Task, container: Container, process: Process) -> Any:
        options = log_options(container)
        if options is None:
            return None
        region, group = options["awslogs-region"], options["awslogs-group"]
        return self._cloud.part(Logs).open(region, group, stream_name(task, container), process.output)

    def _fail(self, task: Task, container: Container, error: OSError) -> None:
        container.reason = (
            "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task: "
            f'exec: "{error.filename}": {"executable file not found in $PATH" if error.errno == 2 else error.strerror}'
            ": unknown"
        )
        self.stop(task, _FAILED, container.reason)

    def _end_containers(self, task: Task, longest: float | None) -> None:
        if not any(_runs(each) for each in task.containers):
            return  # they have ended by themselves meanwhile
        task.become("STOPPING")
        most = self._settings.grace_seconds if longest is None else min(longest, self._settings.grace_seconds)
        for each in task.containers:
            if each.process is not None and _runs(each):
                self._cloud.processes.stop(each.process, min(each.stop_timeout, most))

    def _ended(self, task: Task, container: Container, process: Process) -> None:
        with self._cloud.lock:
            container.exit_code = process.exit_code
            container.last_status = "STOPPED"
            if not self._alive(task):
                return
            if container.follower is not None:
                self._cloud.part(Logs).close(container.follower)
            if container.essential:
                task.execution_stopped_at = task.execution_stopped_at or time.time()
                self.stop(task, "EssentialContainerExited", "Essential container in task exited")
            if not any(_runs(each) for each in task.containers):
                self.stop(task, "EssentialContainerExited", "Essential container in task exited")
                self._deprovision(task)

    def _deprovision(self, task: Task) -> None:
        if task.last_status in ("DEPROVISIONING", "STOPPED"):
            return
        task.become("DEPROVISIONING")
        self._later(task, self._settings.step_seconds, lambda: self._stopped(task))

    def _stopped(self, task: Task) -> None:
        release(task.region, task.interface)
        for each in task.containers:
            each.last_status = "STOPPED"
        task.stopped_at = time.time()
        task.become("STOPPED")
        self._later(task, self._settings.stopped_seconds, lambda: self._forget(task))


def _runs(container: Container) -> bool:
    return container.process is not None and container.process.exit_code is None
