"""Deletes what was made besides tasks: first what nothing else needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scaler.managers.api import (
    ConfigurationError,
    Context,
    CredentialsExpired,
    DriverError,
    Resource,
    Scope,
    TemporaryError,
    Throttled,
)

from scaler_plugin_ecs.clients import Aws
from scaler_plugin_ecs.errors import Denied, Refused, UnknownOutcome
from scaler_plugin_ecs.finding import find_cluster, find_log_group, find_revision, find_role
from scaler_plugin_ecs.patience import Patient
from scaler_plugin_ecs.record import Names, Record, names_of
from scaler_plugin_ecs.tagging import as_dict, in_scope
from scaler_plugin_ecs.tasks import describe, stop_task

_TASK = "task"
_DRY = "would be deleted"
_DELETED = "deleted"
# How long tasks may take to end, and their cluster to be empty then, where people wait for it, in seconds.
_PATIENCE = {Scope.MANAGER: 90.0, Scope.CLUSTER: 240.0}
# At a manager's end: it has been told how much time there is for all of that.
_LEAST_PATIENCE, _MOST_PATIENCE = 5.0, 60.0
_FIRST_PAUSE = 0.2
# What AWS says of a cluster in which something is just ending.
_BUSY = ("ClusterContainsTasksException", "UpdateInProgressException")
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True)
class _Item:
    """Something to delete. names: of what it is one. delete: does it; what it raises is why it is left."""

    kind: str
    id: str
    names: Names
    delete: Callable[[], None]


class Cleaning:
    """One call of `cleanup`. Only what has exactly the names of the options, now or once, is looked at."""

    def __init__(self, aws: Aws, context: Context, record: Record, scope: Scope) -> None:
        self._aws = Patient(aws)
        self._owner = context.owner
        self._log = context.log
        self._record = record
        self._scope = scope
        self._used = record.is_used_by(context.owner.generation)
        self._names = list(dict.fromkeys([*record.names(), names_of(context.options)]))
        # Of them lists may still say that they are wanted.
        self._stopped: set[str] = set()
        at_end = min(max(_LEAST_PATIENCE, context.shutdown_seconds), _MOST_PATIENCE)
        self._deadline = time.monotonic() + _PATIENCE.get(scope, at_end)

    def run(self, dry_run: bool) -> list[Resource]:
        """Throttled, CredentialsExpired, TemporaryError: it is to be called again."""
        if self._scope is Scope.RUN and not self._used:
            return []
        items = list(self._items())
        if dry_run:
            return [Resource(each.kind, each.id, _DRY) for each in items]
        found = [self._delete(each) for each in items]
        if all(each.outcome == _DELETED for each in found) and self._scope is not Scope.RUN:
            self._record.forget(self._names)
        return found

    def _delete(self, item: _Item) -> Resource:
        try:
            if item.kind != _TASK and (users := self._users(item.names)):
                raise DriverError(f"tasks that live in the cluster {item.names.cluster} may need it: {users}")
            item.delete()
        except (Throttled, CredentialsExpired, TemporaryError):
            raise
        except UnknownOutcome as error:
            raise TemporaryError(str(error)) from error
        except (DriverError, ConfigurationError) as error:
            text = " ".join(str(error).split())
            self._log.warning("%s %s is left: %s", item.kind, item.id, text)
            return Resource(item.kind, item.id, f"left: {text}")
        return Resource(item.kind, item.id, _DELETED)

    def _items(self) -> Iterator[_Item]:
        seen: set[tuple[str, str]] = set()
        for look in (self._tasks, self._definitions, self._log_groups, self._roles, self._clusters):
            for names in self._names:
                for item in self._looked(look, names):
                    if (item.kind, item.id) not in seen:
                        seen.add((item.kind, item.id))
                        yield item

    def _looked(self, look: Callable[[Names], Iterator[_Item]], names: Names) -> Iterator[_Item]:
        try:
            yield from look(names)
        except Denied as error:
            self._log.warning("whether something is left cannot be seen, for %s is not allowed", error.action)

    def _ours(self, tags: Mapping[str, str]) -> bool:
        return in_scope(tags, self._owner, self._scope, self._used)

    def _tasks(self, names: Names) -> Iterator[_Item]:
        """Of managers that will never come back; those of this one were ended before."""
        if self._scope is not Scope.CLUSTER:
            return
        try:
            arns = list(self._aws.pages("ecs:ListTasks", "taskArns", region=names.region, cluster=names.cluster))
            tasks = describe(self._aws, names.cluster, arns, True, names.region)
        except Refused as error:
            if error.code != "ClusterNotFoundException":
                raise
            return
        for task in tasks:
            if self._ours(as_dict(task.get("tags"))):
                yield _Item(_TASK, task["taskArn"], names, self._stopping(names, task["taskArn"]))

    def _stopping(self, names: Names, arn: str) -> Callable[[], None]:
        def stop() -> None:
            stop_task(self._aws, names.cluster, arn, names.region)
            self._stopped.add(arn)

        return stop

    def _definitions(self, names: Names) -> Iterator[_Item]:
        """All revisions of the family; of nothing else is asked."""
        for status in ("ACTIVE", "INACTIVE"):
            arns = self._aws.pages(
                "ecs:ListTaskDefinitions",
                "taskDefinitionArns",
                region=names.region,
                familyPrefix=names.family,
                status=status,
            )
            for arn in list(arns):
                found = find_revision(self._aws, arn, names.region)
                if found is not None and self._ours(found.tags):
                    yield _Item("task definition", arn, names, self._deleting_definition(names, arn, status))

    def _deleting_definition(self, names: Names, arn: str, status: str) -> Callable[[], None]:
        def delete() -> None:
            if status == "ACTIVE":
                self._deregister(names, arn)
            answer = self._call("ecs:DeleteTaskDefinitions", names.region, taskDefinitions=[arn])
            for failure in answer.get("failures", ()):
                reason = str(failure.get("reason"))
                # A call whose answer was lost has done it.
                if reason != "MISSING" and "delete" not in reason.lower():
                    raise Refused("ecs:DeleteTaskDefinitions", reason, str(failure.get("detail")))

        return delete

    def _deregister(self, names: Names, arn: str) -> None:
        try:
            self._call("ecs:DeregisterTaskDefinition", names.region, taskDefinition=arn)
        except Refused as error:
            # As after a call whose answer was lost.
            if "inactive" not in error.message.lower():
                raise

    def _log_groups(self, names: Names) -> Iterator[_Item]:
        found = find_log_group(self._aws, names.log_group, names.region) if names.log_group else None
        if found is not None and self._ours(found.tags):
            yield _Item(
                "log group",
                found.id,
                names,
                lambda: self._gone_is_fine("logs:DeleteLogGroup", names.region, logGroupName=names.log_group),
            )

    def _roles(self, names: Names) -> Iterator[_Item]:
        found = find_role(self._aws, names.role) if names.role else None
        if found is not None and self._ours(found.tags):
            yield _Item("role", found.id, names, lambda: self._delete_role(names.role))

    def _delete_role(self, name: str) -> None:
        for each in self._call("iam:ListAttachedRolePolicies", RoleName=name).get("AttachedPolicies", ()):
            self._gone_is_fine("iam:DetachRolePolicy", RoleName=name, PolicyArn=each["PolicyArn"])
        self._gone_is_fine("iam:DeleteRole", RoleName=name)

    def _clusters(self, names: Names) -> Iterator[_Item]:
        found = find_cluster(self._aws, names.cluster, names.region)
        if found is not None and self._ours(found.tags):
            yield _Item("cluster", found.id, names, lambda: self._delete_cluster(names))

    def _delete_cluster(self, names: Names) -> None:
        """Again, while tasks in it are just ending."""
        pause = _FIRST_PAUSE
        while True:
            try:
                self._gone_is_fine("ecs:DeleteCluster", names.region, cluster=names.cluster)
                return
            except Refused as error:
                if error.code not in _BUSY or time.monotonic() > self._deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _users(self, names: Names) -> int:
        """Tasks in the cluster that nobody has asked to stop: another manager's, perhaps. They need what was made here,
        and those that are about to start would fail without."""
        try:
            arns = set(self._aws.pages("ecs:ListTasks", "taskArns", region=names.region, cluster=names.cluster))
        except Refused as error:
            if error.code != "ClusterNotFoundException":
                raise
            return 0
        return len(arns - self._stopped)

    def _call(self, action: str, region: str = "", **parameters: Any) -> dict[str, Any]:
        return self._aws.call(action, creates=True, region=region, **parameters)

    def _gone_is_fine(self, action: str, region: str = "", **parameters: Any) -> None:
        try:
            self._call(action, region, **parameters)
        except Refused as error:
            if not error.code.startswith(("NoSuchEntity", "ResourceNotFound", "ClusterNotFound")):
                raise


def clean(aws: Aws, context: Context, record: Record, scope: Scope, dry_run: bool) -> list[Resource]:
    """As the hook `cleanup`."""
    return Cleaning(aws, context, record, scope).run(dry_run)
