"""One attempt of a job: its container as a process, with what AWS puts into it, until it ends or is ended."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable
from typing import Any

from scaler.testing.localcloud.batch import job as states
from scaler.testing.localcloud.batch.era import Era
from scaler.testing.localcloud.batch.job import Attempt, Job
from scaler.testing.localcloud.batch.submission import command
from scaler.testing.localcloud.cloud import ACCOUNT, Cloud
from scaler.testing.localcloud.faults import Faults
from scaler.testing.localcloud.iam.identity import make_session
from scaler.testing.localcloud.images import Images, is_image
from scaler.testing.localcloud.logs import Logs
from scaler.testing.localcloud.moto_part import backend
from scaler.testing.localcloud.processes import Process
from scaler.testing.localcloud.roles import is_assumable
from scaler.testing.localcloud.settings import Settings

LOG_GROUP = "/aws/batch/job"
# A job runs through ECS, as a container override: ECS's limit, with the brackets and commas of its JSON.
_MOST_OVERRIDES = 8192
# From SIGTERM to SIGKILL; ECS's default, which Batch has no option for.
_GRACE_SECONDS = 30.0
_SESSION_SECONDS = 6 * 3600


class Runner:
    """All methods with the cloud's lock held. ended: called once for each attempt that was started."""

    def __init__(self, cloud: Cloud, settings: Settings) -> None:
        self._cloud = cloud
        self._settings = settings
        self._era = Era(cloud)
        self.ended: Callable[[Job, Attempt], None] = lambda job, attempt: None

    def new_attempt(self, job: Job) -> Attempt:
        task = secrets.token_hex(16)
        cluster = job.environment.rpartition("/")[2] + "_Batch"
        arn = f"arn:aws:ecs:{job.wanted.region}:{ACCOUNT}:task/{cluster}/{task}"
        stream = f"{_stream_prefix(job)}/default/{task}"
        return Attempt(arn, stream, f"i-{secrets.token_hex(8)[:17]}")

    def start(self, job: Job, attempt: Attempt) -> None:
        """In the thread of the processes. Nothing where it was ended meanwhile."""
        if attempt.stopped_at or job.attempt is not attempt:
            return
        executed = command(job.wanted.container, job.wanted.parameters)
        environment = self._environment(job)
        if _override_length(executed, environment) > _MOST_OVERRIDES:
            attempt.retried = False
            return self._fail(job, attempt, f"Container Overrides length must be at most {_MOST_OVERRIDES}")
        role = job.wanted.container.get("jobRoleArn")
        if role and not is_assumable(self._cloud, role, "ecs-tasks.amazonaws.com"):
            return self._fail(
                job,
                attempt,
                f"ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the "
                "role being passed has the proper trust relationship and permissions and that your IAM user has "
                "permissions to pass this role.",
            )
        if why := self._not_pulled(str(job.wanted.container["image"])) or self._no_log_group(job):
            return self._fail(job, attempt, "Task failed to start", why)
        self._run(job, attempt, executed, {**_surroundings(job), **environment})

    def terminate(self, job: Job, attempt: Attempt, because: str) -> None:
        """SIGTERM, then SIGKILL; its status reason will be this. One that is STARTING ends at once."""
        attempt.because, attempt.retried = because, False
        if attempt.process is None:
            attempt.status_reason = because
            self.ended(job, attempt)
        else:
            self._cloud.processes.stop(attempt.process, min(_GRACE_SECONDS, self._settings.grace_seconds))

    def lose(self, attempt: Attempt) -> None:
        """Its machine is gone, with the container and its exit code."""
        attempt.lost = True
        attempt.because = attempt.because or f"Host EC2 (instance {attempt.instance}) terminated."
        if attempt.process is not None:
            attempt.process.kill()

    def reset(self) -> None:
        self._era.end()

    def _run(self, job: Job, attempt: Attempt, executed: list[str], environment: dict[str, str]) -> None:
        images, logs = self._cloud.part(Images), self._cloud.part(Logs)
        image = str(job.wanted.container["image"])
        home = self._cloud.folder / "batch" / attempt.task_arn.rpartition("/")[2]

        def on_end(process: Process) -> None:
            logs.close(follower)
            self._over(job, attempt, process)

        try:
            process = self._cloud.processes.start(
                f"batch {job.id}",
                images.command(image, [], executed),
                images.environment(image, environment, home),
                self._era.bound(on_end),
                home,
            )
        except OSError as error:
            why = f'exec: "{error.filename}": executable file not found in $PATH: unknown'
            attempt.exit_code = 127
            return self._fail(
                job, attempt, "Task failed to start", f"CannotStartContainerError: failed to create task: {why}"
            )
        follower = logs.open(job.wanted.region, _log_group(job), attempt.log_stream, process.output)
        attempt.process = process
        attempt.started_at = states.now()
        job.started_at = attempt.started_at
        if job.parent is not None:
            job.parent.started_at = job.parent.started_at or attempt.started_at
        job.move(states.RUNNING)
        if job.wanted.timeout:
            seconds = job.wanted.timeout * self._settings.batch_minute_seconds / 60
            self._cloud.processes.after(seconds, lambda: self._time_is_up(job, attempt))

    def _time_is_up(self, job: Job, attempt: Attempt) -> None:
        with self._cloud.lock:
            if not attempt.stopped_at and not attempt.because and attempt.process is not None:
                self.terminate(job, attempt, "Job attempt duration exceeded timeout")

    def _over(self, job: Job, attempt: Attempt, process: Process) -> None:
        attempt.exit_code = None if attempt.lost else process.exit_code
        attempt.status_reason = attempt.because or "Essential container in task exited"
        self.ended(job, attempt)

    def _fail(self, job: Job, attempt: Attempt, status_reason: str, reason: str = "") -> None:
        attempt.status_reason, attempt.reason = status_reason, reason
        attempt.because = attempt.because or status_reason
        self.ended(job, attempt)

    def _not_pulled(self, image: str) -> str:
        if is_image(image) and not self._cloud.part(Faults).active("pull", image=image):
            return ""
        return (
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref "
            f"{image}: {image}: not found"
        )

    def _no_log_group(self, job: Job) -> str:
        """Makes Batch's own."""
        group, region = _log_group(job), job.wanted.region
        if group == LOG_GROUP:
            backend("logs", region).ensure_log_group(group)
        if self._cloud.part(Logs).has_group(region, group):
            return ""
        return (
            "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
            "failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist."
        )

    def _environment(self, job: Job) -> dict[str, str]:
        """What the override has."""
        own = {each["name"]: each["value"] for each in job.wanted.container["environment"]}
        given = {
            "AWS_BATCH_JOB_ID": job.id,
            "AWS_BATCH_JOB_ATTEMPT": str(len(job.attempts)),
            "AWS_BATCH_JQ_NAME": job.wanted.queue_arn.rpartition("/")[2],
            "AWS_BATCH_CE_NAME": job.environment.rpartition("/")[2],
        }
        if job.parent is not None:
            given["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
            given["AWS_BATCH_JOB_ARRAY_SIZE"] = str(len(job.parent.children))
        return {**given, **own}


def _override_length(executed: list[str], environment: dict[str, str]) -> int:
    pairs = [{"name": name, "value": value} for name, value in environment.items()]
    override = {"containerOverrides": [{"name": "default", "command": executed, "environment": pairs}]}
    return len(json.dumps(override, separators=(",", ":"), ensure_ascii=False))


def _surroundings(job: Job) -> dict[str, str]:
    """What an SDK finds out at AWS by itself: the region, and from an address the credentials of the job's role."""
    region = job.wanted.region
    found = {"AWS_DEFAULT_REGION": region, "AWS_REGION": region, "AWS_EC2_METADATA_DISABLED": "true"}
    role = job.wanted.container.get("jobRoleArn")
    return {**found, **_session(role)} if role else found


def _session(role: str) -> dict[str, str]:
    made = make_session(role, uuid.uuid4().hex, _SESSION_SECONDS)
    return {
        "AWS_ACCESS_KEY_ID": made.access_key,
        "AWS_SECRET_ACCESS_KEY": made.secret,
        "AWS_SESSION_TOKEN": made.token,
    }


def _log_options(job: Job) -> dict[str, Any]:
    configuration = job.wanted.container.get("logConfiguration") or {}
    return configuration.get("options") or {}


def _log_group(job: Job) -> str:
    return str(_log_options(job).get("awslogs-group", LOG_GROUP))


def _stream_prefix(job: Job) -> str:
    definition = job.wanted.definition_arn.rpartition("/")[2].rpartition(":")[0]
    return str(_log_options(job).get("awslogs-stream-prefix", definition))
