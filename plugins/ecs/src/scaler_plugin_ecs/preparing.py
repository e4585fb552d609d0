"""What tasks need, looked for and made where it is missing, once before the first of them."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from scaler.managers.api import ConfigurationError, Owner, TemporaryError

from scaler_plugin_ecs import definition
from scaler_plugin_ecs.clients import Aws
from scaler_plugin_ecs.errors import Denied, Refused, UnknownOutcome
from scaler_plugin_ecs.finding import Found, find_cluster, find_definition, find_log_group
from scaler_plugin_ecs.options import DEFAULT_EXECUTION_ROLE, EcsOptions
from scaler_plugin_ecs.record import Record, names_of
from scaler_plugin_ecs.roles import MAKE_LINKED_ROLE, ensure_role, not_seen_yet
from scaler_plugin_ecs.tagging import as_list, belongs_to

_PROVIDERS = ["FARGATE", "FARGATE_SPOT"]
# How long others may not see yet what IAM has made: so long there is no sense in looking for it again.
IAM_SECONDS = 15.0


@dataclass(frozen=True)
class Prepared:
    """definition: an ARN. log_group, stream_prefix: of tasks' output, empty where it goes nowhere. new_role: the name
    of the role that was made for it, empty for none."""

    definition: str
    container: str
    log_group: str
    stream_prefix: str
    new_role: str = ""


class Preparation:
    """For all threads of a context: the first that needs it does it, and the others wait."""

    def __init__(self, aws: Aws, options: EcsOptions, owner: Owner, log: logging.Logger, record: Record) -> None:
        self._aws = aws
        self._options = options
        self._owner = owner
        self._log = log
        self._record = record
        self._lock = threading.Lock()
        self._prepared: Prepared | None = None
        self._at = 0.0
        self._tries = 0
        self._failure: Exception | None = None
        # The name of the role that was made last, and when.
        self._new_role, self._role_at = "", 0.0

    def ready(self) -> Prepared:
        """ConfigurationError: what is there under these names cannot be used. TemporaryError and the like: later."""
        found, tries = self._prepared, self._tries
        if found is not None:
            return found
        with self._lock:
            if self._prepared is None:
                if self._failure is not None and self._tries != tries:
                    # Whoever waited for it has no better luck; where nothing answers they would wait for each other.
                    raise self._failure
                self._try()
            assert self._prepared is not None
            return self._prepared

    def _try(self) -> None:
        self._tries += 1
        self._failure = None
        try:
            self._prepared = self._prepare()
        except UnknownOutcome as error:
            # Of this; of tasks nothing was begun, and what was made is found the next time.
            self._failure = TemporaryError(str(error))
            raise self._failure from error
        except Exception as error:
            self._failure = error
            raise
        self._at = time.monotonic()

    def again(self, prepared: Prepared, role: bool = False) -> None:
        """Something of it is not there any more, as far as ECS sees: the next `ready` looks.

        role: it may only be the role, which ECS does not see yet.
        """
        with self._lock:
            if self._prepared is prepared and not (role and time.monotonic() - self._at < IAM_SECONDS):
                self._prepared = None

    def doubt(self) -> None:
        """A task could not start, which may be for something that somebody has deleted."""
        if (found := self._prepared) is not None:
            self.again(found, role=True)

    def output_place(self) -> tuple[str, str]:
        """(log group, prefix of its streams) of tasks: as the options say, until it is known."""
        found = self._prepared
        if found is not None:
            return found.log_group, found.stream_prefix
        return self._options.ecs_log_group, definition.STREAM_PREFIX

    def _prepare(self) -> Prepared:
        self._record.use(names_of(self._options), self._owner.generation)
        if self._options.ecs_log_group:
            self._ensure_log_group(self._options.ecs_log_group)
        self._ensure_cluster(self._options.ecs_cluster)
        found = find_definition(self._aws, self._options.ecs_task_definition)
        if found is not None and not belongs_to(found.tags, self._owner):
            check_foreign(found, self._options)
        else:
            found = self._own_definition(found)
        container = definition.container_of(found.about)
        return Prepared(found.id, container["name"], *definition.log_group_of(found.about), self._fresh_role())

    def _fresh_role(self) -> str:
        """Which others may not see yet; empty: none."""
        return self._new_role if time.monotonic() - self._role_at < IAM_SECONDS else ""

    def _own_definition(self, found: Found | None) -> Found:
        role = self._options.ecs_execution_role_arn
        if not role:
            role, made = ensure_role(self._aws, DEFAULT_EXECUTION_ROLE, self._owner, self._log)
            if made:
                self._new_role, self._role_at = DEFAULT_EXECUTION_ROLE, time.monotonic()
        wanted = definition.wanted(self._options, role)
        if found is not None and definition.same(found.about, wanted):
            return found
        about = self._create("ecs:RegisterTaskDefinition", "task definition", wanted["family"], wanted)[
            "taskDefinition"
        ]
        self._log.info("made the task definition %s:%s", about["family"], about["revision"])
        return Found(about["taskDefinitionArn"], self._owner.tags(), about)

    def _ensure_cluster(self, name: str) -> None:
        spot = self._options.spot
        found = find_cluster(self._aws, name)
        if found is None:
            about: dict[str, Any] = {"clusterName": name, **({"capacityProviders": _PROVIDERS} if spot else {})}
            self._create("ecs:CreateCluster", "cluster", name, about)
            self._log.info("made the cluster %s", name)
        elif spot and not has_spot(found):
            if not belongs_to(found.tags, self._owner):
                raise without_spot(name)
            try:
                self._aws.call(
                    "ecs:PutClusterCapacityProviders",
                    creates=True,
                    cluster=name,
                    capacityProviders=_PROVIDERS,
                    defaultCapacityProviderStrategy=[],
                )
            except Refused as error:
                if _passes(error):
                    raise TemporaryError(str(error)) from error
                raise

    def _create(self, action: str, kind: str, name: str, about: dict[str, Any]) -> dict[str, Any]:
        """With the owner's tags, or without where those are not allowed."""
        try:
            return self._aws.call(action, creates=True, **about, tags=as_list(self._owner.tags()))
        except Denied as error:
            if error.action != "ecs:TagResource":
                raise
            self._log.warning(
                "the %s %s has no tags, for ecs:TagResource is not allowed: it is never deleted again", kind, name
            )
            return self._aws.call(action, creates=True, **about)
        except Refused as error:
            if _passes(error):
                raise TemporaryError(str(error)) from error
            if "service linked role" in error.message.lower():
                raise TemporaryError(f"{error}. To do: {MAKE_LINKED_ROLE}") from error
            if "role" in error.message.lower():
                # One that was just made may not be seen everywhere yet.
                raise (not_seen_yet(role) if (role := self._fresh_role()) else TemporaryError(str(error))) from error
            raise ConfigurationError(
                f"AWS refuses to make the {kind} {name}: {error.message.rstrip('.')} ({error.code}).",
                "the options of this manager",
                "mend what it names",
            ) from error

    def _ensure_log_group(self, name: str) -> None:
        try:
            try:
                self._aws.call("logs:CreateLogGroup", creates=True, logGroupName=name, tags=self._owner.tags())
                how = ": it goes with its logs when this manager ends; one that is there before stays"
            except Denied:
                self._aws.call("logs:CreateLogGroup", creates=True, logGroupName=name)
                how = " without tags, for logs:TagResource is not allowed: it is never deleted again"
        except Denied as error:
            if not self._has_log_group(name):
                mend = f"{error.mend}; or run without logs: --ecs-log-group ''"
                raise ConfigurationError(error.what, "--ecs-log-group", mend) from None
            return
        except Refused as error:
            if error.code == "ResourceAlreadyExistsException":
                return
            if error.code == "OperationAbortedException":  # another manager is just making it
                raise TemporaryError(str(error)) from error
            mend = "name another group, or none: --ecs-log-group ''"
            raise ConfigurationError(f"{error.message} ({error.code})", "--ecs-log-group", mend) from error
        self._log.info("made the log group %s%s", name, how)
        self._keep_logs_for(name, self._options.ecs_log_retention_days)

    def _has_log_group(self, name: str) -> bool:
        try:
            return find_log_group(self._aws, name) is not None
        except Denied:
            return False

    def _keep_logs_for(self, name: str, days: int) -> None:
        if days == 0:
            return
        try:
            self._aws.call("logs:PutRetentionPolicy", creates=True, logGroupName=name, retentionInDays=days)
        except Denied:
            self._log.warning(
                "the log group %s keeps its logs for ever, for logs:PutRetentionPolicy is not allowed", name
            )


def _passes(error: Refused) -> bool:
    """Something is just being changed or deleted."""
    return error.code in ("UpdateInProgressException", "ResourceInUseException") or "was not ACTIVE" in error.message


def check_foreign(found: Found, options: EcsOptions) -> None:
    """Of a task definition that is not ours. ConfigurationError: it is not what the options say."""
    name = f"{found.about['family']}:{found.about['revision']}"
    mend = "make the options as it is, or let another one be made: --ecs-task-definition ANOTHER-NAME"
    if not definition.container_of(found.about):
        what = f"The task definition {name} is not this manager's, and has no container {definition.CONTAINER}."
        raise ConfigurationError(what, "--ecs-task-definition", mend)
    if different := list(definition.differences(found.about, options)):
        what = f"The task definition {name} is not this manager's, and is not what the options say: "
        flags = ", ".join(["--ecs-task-definition", *(each.flag for each in different)])
        raise ConfigurationError(what + "; ".join(map(str, different)) + ".", flags, mend)


def has_spot(cluster: Found) -> bool:
    return "FARGATE_SPOT" in cluster.about.get("capacityProviders", ())


def without_spot(name: str) -> ConfigurationError:
    command = (
        f"aws ecs put-cluster-capacity-providers --cluster {name} --capacity-providers FARGATE FARGATE_SPOT "
        "--default-capacity-provider-strategy '[]'"
    )
    return ConfigurationError(
        f"The cluster {name} is not this manager's, and has no FARGATE_SPOT.",
        "--capacity-provider, --ecs-cluster",
        f"name another cluster, or let this one have it: {command}",
    )
