"""RunTask for a worker group: what is asked for, and what AWS's answers mean."""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from scaler.managers.api import ConfigurationError, DriverError, Owner, TemporaryError, WorkerGroup

from scaler_plugin_ecs.clients import Aws
from scaler_plugin_ecs.definition import STOP_SECONDS
from scaler_plugin_ecs.errors import Refused, UnknownOutcome
from scaler_plugin_ecs.options import EcsOptions
from scaler_plugin_ecs.preparing import IAM_SECONDS, Preparation, Prepared
from scaler_plugin_ecs.probing import Probe
from scaler_plugin_ecs.requirements import Software
from scaler_plugin_ecs.roles import MAKE_LINKED_ROLE, not_seen_yet
from scaler_plugin_ecs.tagging import as_list, unit_tags

# From SIGTERM on: what is left then is time to say what has not finished.
DRAIN_SECONDS = STOP_SECONDS - 10
# Of all overrides of a call, as JSON.
MOST_OVERRIDES = 8192
# How often what was not there any more is looked for and made again, in one call.
_TRIES = 3
# A role that ECS refuses for longer is not new, but wrong.
_ROLE_SECONDS = 60.0
_ROLE_MEND = (
    "check the role's trust policy (ecs-tasks.amazonaws.com) and iam:PassRole, --ecs-task-role-arn, "
    "--ecs-execution-role-arn"
)


class Gone(DriverError):
    """The group had a task once, of which AWS knows nothing any more."""


class Launcher:
    """For all threads of a context."""

    def __init__(
        self,
        aws: Aws,
        options: EcsOptions,
        owner: Owner,
        log: logging.Logger,
        preparation: Preparation,
        software: Software,
    ) -> None:
        self._aws = aws
        self._options = options
        self._owner = owner
        self._log = log
        self._preparation = preparation
        self._software = software
        self._probe = Probe()
        self._lock = threading.Lock()
        # Refusals of Spot capacity since it was last had; and groups that are to start on demand, for AWS refuses it
        # also of tasks that it has taken.
        self._refusals = 0
        self._owed = 0
        # Since when ECS refuses the role.
        self._role_refused_at: float | None = None

    def launch(self, group: WorkerGroup) -> Mapping[str, Any]:
        """The group's task, as AWS describes it; the one that is there already, where the call is a second one.

        TemporaryError and the like: nothing was started. `Refused`: this group cannot be. `UnknownOutcome`; `Gone`.
        """
        refusal = ""
        for _ in range(_TRIES):
            prepared = self._preparation.ready()
            try:
                return self._probe.ask(prepared.definition, partial(self._run_or_wait, group, prepared))
            except Refused as error:
                if not self._mended(error, prepared):
                    raise
                refusal = str(error)
        raise TemporaryError(
            f"what the tasks need was looked for {_TRIES} times, and ECS does not find it yet: {refusal}"
        )

    def _run_or_wait(self, group: WorkerGroup, prepared: Prepared) -> Mapping[str, Any]:
        try:
            task = self._run(group, prepared)
            self._role_refused_at = None
            return task
        except Refused as error:
            if not _is_about_role(error):
                raise
            # Made a moment ago, it is not seen everywhere yet; or another manager has deleted it.
            self._preparation.again(prepared, role=True)
            later = self._role_words(error, prepared)
            self._probe.too_early(str(later))
            raise later from error

    def _role_words(self, error: Refused, prepared: Prepared) -> TemporaryError:
        now = time.monotonic()
        with self._lock:
            if self._role_refused_at is None:
                self._role_refused_at = now
            seconds = now - self._role_refused_at
        role = prepared.new_role
        if role and seconds < IAM_SECONDS and (role in error.message or "role/" not in error.message):
            return not_seen_yet(role)
        return TemporaryError(f"{error}; {_ROLE_MEND}" if seconds > _ROLE_SECONDS else str(error))

    def _mended(self, error: Refused, prepared: Prepared) -> bool:
        """Whether it is worth another try, which makes what is missing again. TemporaryError: later."""
        if error.code == "ClusterNotFoundException" or (
            "taskdefinition" in error.message.lower().replace(" ", "")
            and any(word in error.message.lower() for word in ("inactive", "not found", "unable to describe"))
        ):
            self._preparation.again(prepared)
            return True
        if "service linked role" in error.message.lower():
            raise TemporaryError(f"{error}. To do: {MAKE_LINKED_ROLE}") from error
        if "reached the limit" in error.message.lower():
            mend = "ask AWS for more (Service Quotas, AWS Fargate), or lower --max-task-concurrency"
            raise TemporaryError(f"{error}; {mend}") from error
        if error.code == "BlockedException":
            raise ConfigurationError(str(error), "the AWS account of this manager", "ask AWS Support") from error
        if "new ARN and resource ID format must be enabled" in error.message:
            mend = "aws ecs put-account-setting-default --name taskLongArnFormat --value enabled"
            raise ConfigurationError(str(error), "the AWS account and region of this manager", mend) from error
        if error.code in ("PlatformUnknownException", "UnsupportedFeatureException"):
            where = "the AWS account and region of this manager"
            raise ConfigurationError(str(error), where, "ask AWS, or use another --aws-region") from error
        if "capacity provider" in error.message and self._options.spot:
            # Whoever took it away: of a cluster that is not this manager's the next look says so.
            self._preparation.again(prepared)
            return True
        for word, flag in (("subnet", "--ecs-subnets"), ("security group", "--ecs-security-group-ids")):
            if word in error.message.lower():
                raise ConfigurationError(error.message, flag, "name one that is there, in the same VPC") from error
        return False

    def _run(self, group: WorkerGroup, prepared: Prepared) -> Mapping[str, Any]:
        request = self._request(group, prepared)
        if not self._options.spot:
            return self._ask(request, on_demand=True)
        if not self._takes_owed():
            try:
                return self._ask(request, on_demand=False)
            except _NoCapacity:
                if not self._counts():
                    raise
        self._log.warning(
            "worker group %s is started on demand: Spot capacity was refused %d times in a row; "
            "--spot-fallback 0 would wait for it",
            group.id,
            self._refusals,
        )
        return self._ask(request, on_demand=True)

    def refused(self) -> None:
        """A task could not start for want of Spot capacity. The group in its place is on demand, if it is enough."""
        if self._counts():
            with self._lock:
                self._owed += 1

    def had(self) -> None:
        """A Spot task has begun to run."""
        with self._lock:
            self._refusals = self._owed = 0

    def _counts(self) -> bool:
        """One refusal more; whether it is enough."""
        with self._lock:
            self._refusals += 1
            return 0 < self._options.spot_fallback <= self._refusals

    def _takes_owed(self) -> bool:
        with self._lock:
            self._owed -= (taken := self._owed > 0)
            return taken

    def _request(self, group: WorkerGroup, prepared: Prepared) -> dict[str, Any]:
        overrides = overrides_of(group, prepared.container, self._software)
        network: dict[str, Any] = {
            "subnets": list(self._options.ecs_subnets),
            "assignPublicIp": self._options.ecs_assign_public_ip,
        }
        if self._options.ecs_security_group_ids:
            network["securityGroups"] = list(self._options.ecs_security_group_ids)
        return {
            "cluster": self._options.ecs_cluster,
            "taskDefinition": prepared.definition,
            "count": 1,
            "clientToken": token_of(self._owner, group.id),
            "startedBy": self._owner.hash,
            "tags": as_list(unit_tags(self._owner, group.id)),
            "overrides": overrides,
            "networkConfiguration": {"awsvpcConfiguration": network},
        }

    def _ask(self, request: dict[str, Any], on_demand: bool) -> Mapping[str, Any]:
        # On demand by the launch type: unlike a capacity provider it needs nothing of the cluster.
        how: dict[str, Any] = {"launchType": "FARGATE"}
        if not on_demand:
            how = {"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]}
        try:
            answer = self._asked_twice({**request, **how})
        except Refused as error:
            if error.code != "ConflictException":
                raise
            # With a newer join token the same group is another request: its task is there.
            return self._existing(request["cluster"], error)
        if answer.get("tasks"):
            task: Mapping[str, Any] = answer["tasks"][0]
            return task
        failure = (answer.get("failures") or [{}])[0]
        raise _failed(str(failure.get("reason") or ""), str(failure.get("detail") or ""))

    def _asked_twice(self, request: dict[str, Any]) -> dict[str, Any]:
        """Once more where the answer was lost: the token makes it the same task, whatever became of the first call."""
        try:
            return self._aws.call("ecs:RunTask", creates=True, **request)
        except UnknownOutcome as unknown:
            if unknown.late:
                raise
            try:
                return self._aws.call("ecs:RunTask", creates=True, **request)
            except Refused:
                raise
            except Exception as error:
                # Of the first call that says nothing.
                raise unknown from error

    def _existing(self, cluster: str, error: Refused) -> Mapping[str, Any]:
        if arns := error.more.get("resourceIds"):
            for task in self._aws.call("ecs:DescribeTasks", cluster=cluster, tasks=arns[:1]).get("tasks", ()):
                found: Mapping[str, Any] = task
                return found
            raise UnknownOutcome(f"its task is there, and ECS does not describe it yet ({error.message})")
        raise Gone(f"its task has ended, and AWS does not know it any more ({error.message})")


def _is_about_role(error: Refused) -> bool:
    return "assume the role" in error.message or "role is not valid" in error.message.lower()


class _NoCapacity(TemporaryError):
    pass


def _failed(reason: str, detail: str) -> Exception:
    """Of a call that made no task, and has a reason for it."""
    text = "; ".join(filter(None, (reason, detail))) or "AWS started no task and does not say why"
    if "capacity" in reason.lower() or reason.startswith("RESOURCE"):
        return _NoCapacity(f"{text.rstrip('.')}; other subnets (--ecs-subnets) may have it")
    return Refused("ecs:RunTask", reason or "failure", text)


def token_of(owner: Owner, group: str) -> str:
    """The client token of a group: 64 characters, the same whoever of this owner asks.

    Not the id alone: another manager in the same ECS cluster may use it too, and not every id is of AWS's characters.
    """
    return hashlib.sha256(f"{owner.hash}/{group}".encode()).hexdigest()


def overrides_of(group: WorkerGroup, container: str, software: Software) -> dict[str, Any]:
    """What a group's container has besides its definition. ConfigurationError: it is too much for AWS."""
    environment = {
        # In the place of the shell, so that SIGTERM reaches the agent. What a task has not finished when its time is
        # nearly over runs elsewhere, and that is no attempt.
        "COMMAND": f"exec {shlex.join([*group.launch.command(), f'--drain-limit-seconds={DRAIN_SECONDS}'])}",
        **software.environment(),
        **group.launch.environment,
    }
    variables = [{"name": name, "value": value} for name, value in sorted(environment.items())]
    overrides = {"containerOverrides": [{"name": container, "environment": variables}]}
    check_overrides(overrides)
    return overrides


def check_overrides(overrides: dict[str, Any], more: int = 0) -> None:
    """more: characters that are to come. ConfigurationError: it is too long."""
    length = len(json.dumps(overrides, separators=(",", ":"))) + more
    if length > MOST_OVERRIDES:
        raise ConfigurationError(
            f"What a task is told is {length} characters long, and AWS takes {MOST_OVERRIDES}.",
            "--ecs-python-requirements",
            "name fewer packages, or put them into the image: --ecs-task-image",
        )
