"""A manager's tasks: what is known of them, how they are asked for, and how they are ended.

AWS lists tasks by who started them, and describes a hundred a call. So they are listed when this process cannot know
all: at the start, when a call's outcome is unknown, and every tenth time; otherwise those that are known are described.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaler.managers.api import Owner, TemporaryError, Unit, UnitState, WorkerGroup, batches

from scaler_plugin_ecs.clients import Aws, Calling
from scaler_plugin_ecs.errors import Refused, UnknownOutcome
from scaler_plugin_ecs.launching import Gone, Launcher
from scaler_plugin_ecs.output import Output
from scaler_plugin_ecs.reasons import (
    could_not_start,
    is_spot,
    lacked_capacity,
    state_of,
    what_it_waits_for,
    why_it_ended,
)
from scaler_plugin_ecs.tagging import GROUP, as_dict, belongs_to, decode

DESCRIBED_AT_ONCE = 100
_LISTED_EVERY = 10
# So long after its start a task may not be seen by all of ECS.
_SETTLING_SECONDS = 60.0
_LIVE = (UnitState.PENDING, UnitState.RUNNING)
_REASON = "scaler: its worker manager has ended it"
# Output that is fetched in one heartbeat, of so many tasks: it takes a call each.
_MOST_OUTPUT = 10


@dataclass
class _Known:
    """unit: as it was told last. since: when it became known here. stopping: StopTask was called for it."""

    arn: str
    unit: Unit
    since: float
    stopping: bool = False

    @property
    def lives(self) -> bool:
        return self.unit.state in _LIVE


class Tasks:
    """For all threads of a context; the lock is never held in a call."""

    def __init__(
        self, aws: Aws, cluster: str, owner: Owner, launcher: Launcher, output: Output, doubt: Callable[[], None]
    ) -> None:
        """doubt: called when a task could not start for what it needs besides its image."""
        self._aws = aws
        self._cluster = cluster
        self._owner = owner
        self._launcher = launcher
        self._output = output
        self._doubt_needs = doubt
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}
        self._heartbeats = 0
        # Counts what cannot be known without a list; the last number that was listed.
        self._doubts = 1
        self._cleared = 0

    def start(self, group: WorkerGroup) -> Unit:
        """What `Launcher.launch` raises but `Refused` and `Gone`: those are FAILED units."""
        with self._lock:
            for each in self._known.values():
                if each.unit.id == group.id and not each.stopping:
                    return each.unit
        try:
            task = self._launcher.launch(group)
        except Gone as error:
            return Unit(group.id, "", UnitState.FAILED, str(error))
        except Refused as error:
            return Unit(group.id, "", UnitState.FAILED, f"{error.message.rstrip('.')} ({error.code})")
        except UnknownOutcome:
            self._doubt()
            raise
        return self._learn(group.id, task, {}).unit

    def heartbeat(self) -> list[Unit]:
        with self._lock:
            listed = self._cleared < self._doubts or self._heartbeats % _LISTED_EVERY == 0
        self._look(listed)
        with self._lock:
            self._heartbeats += 1
            units = self._units()
            # Once more, so that the host need not wait for what may not show yet.
            for arn in [each.arn for each in self._known.values() if each.stopping and not each.lives]:
                del self._known[arn]
            return units

    def stop(self, groups: Sequence[str]) -> None:
        """Once AWS has taken note. What is not there is fine."""
        with self._lock:
            missing = set(groups) - {each.unit.id for each in self._known.values()}
            doubtful = self._cleared < self._doubts
        if missing and doubtful:
            self._look(True)
        with self._lock:
            wanted = [each for each in self._known.values() if each.unit.id in set(groups)]
        for each in wanted:
            if each.lives and not each.stopping:
                stop_task(self._aws, self._cluster, each.arn)
            with self._lock:
                each.stopping = True
                if not each.lives:
                    self._known.pop(each.arn, None)

    def _doubt(self) -> None:
        with self._lock:
            self._doubts += 1

    def _look(self, listed: bool) -> None:
        """At what is known, and, where it is listed, at what is not."""
        with self._lock:
            doubts = self._doubts
            known = [each.arn for each in self._known.values() if each.lives]
        try:
            unknown = self._unknown() if listed else []
            found = [*describe(self._aws, self._cluster, known), *describe(self._aws, self._cluster, unknown, True)]
        except Refused as error:
            if error.code != "ClusterNotFoundException":
                raise
            unknown, found = [], []
        told = {task["taskArn"]: task for task in found}
        ended = 0
        for arn in known:
            if arn in told:
                ended += self._update(arn, told[arn], ended < _MOST_OUTPUT)
            else:
                self._miss(arn)
        for arn in unknown:
            if arn in told:
                self._adopt(told[arn])
        # What is listed and not described yet may be what is looked for.
        if listed and all(arn in told for arn in unknown):
            with self._lock:
                self._cleared = max(self._cleared, doubts)

    def _unknown(self) -> list[str]:
        """Those that AWS lists, and nobody here knows. What is being stopped is not listed."""
        arns = list(
            self._aws.pages(
                "ecs:ListTasks", "taskArns", cluster=self._cluster, startedBy=self._owner.hash, maxResults=100
            )
        )
        with self._lock:
            return [arn for arn in arns if arn not in self._known]

    def _adopt(self, task: Mapping[str, Any]) -> None:
        tags = as_dict(task.get("tags"))
        if belongs_to(tags, self._owner) and GROUP in tags:
            self._learn(decode(tags[GROUP]), task, tags)

    def _learn(self, group: str, task: Mapping[str, Any], tags: Mapping[str, str]) -> _Known:
        unit = self._unit(group, task, False, True)
        with self._lock:
            return self._known.setdefault(task["taskArn"], _Known(task["taskArn"], unit, time.monotonic()))

    def _update(self, arn: str, task: Mapping[str, Any], with_output: bool) -> bool:
        """Whether it has ended by now."""
        with self._lock:
            known = self._known.get(arn)
            if known is None:
                return False
            group, stopping = known.unit.id, known.stopping
        unit = self._unit(group, task, stopping, with_output)
        if known.unit.state is UnitState.PENDING and unit.state is UnitState.RUNNING and is_spot(task):
            self._launcher.had()
        with self._lock:
            known.unit = unit
        return not known.lives

    def _unit(self, group: str, task: Mapping[str, Any], stopping: bool, with_output: bool) -> Unit:
        state = state_of(task, stopping)
        detail = ""
        if state is UnitState.PENDING:
            detail = what_it_waits_for(task, _seconds_since(task.get("createdAt")))
        elif state is not UnitState.RUNNING and not stopping:
            if could_not_start(task):
                self._doubt_needs()
            if lacked_capacity(task) and is_spot(task):
                self._launcher.refused()
            wanted = with_output and state is UnitState.FAILED
            detail = why_it_ended(task, self._output.last_lines(task) if wanted else ())
        return Unit(group, task["taskArn"], state, detail)

    def _miss(self, arn: str) -> None:
        """AWS does not describe it: it has ended long ago, or was started a moment ago."""
        with self._lock:
            known = self._known.get(arn)
            if known is None or (not known.stopping and time.monotonic() - known.since < _SETTLING_SECONDS):
                return
            known.unit = Unit(known.unit.id, arn, UnitState.GONE, "AWS does not know its task any more")

    def _units(self) -> list[Unit]:
        """One a group; of several tasks, which nobody has wanted, one that lives."""
        found: dict[str, Unit] = {}
        for each in self._known.values():
            if each.unit.id not in found or each.lives:
                found[each.unit.id] = each.unit
        return list(found.values())


def describe(
    aws: Calling, cluster: str, arns: Iterable[str], with_tags: bool = False, region: str = ""
) -> list[Mapping[str, Any]]:
    """What AWS knows of these tasks; those that it does not know are left out."""
    found: list[Mapping[str, Any]] = []
    for batch in batches(arns, DESCRIBED_AT_ONCE):
        include: dict[str, Any] = {"include": ["TAGS"]} if with_tags else {}
        answer = aws.call("ecs:DescribeTasks", region=region, cluster=cluster, tasks=batch, **include)
        found += answer.get("tasks", ())
    return found


def stop_task(aws: Calling, cluster: str, arn: str, region: str = "") -> None:
    """Says SIGTERM to it. One that is not there is fine."""
    try:
        aws.call("ecs:StopTask", creates=True, region=region, cluster=cluster, task=arn, reason=_REASON)
    except UnknownOutcome as error:
        raise TemporaryError(str(error)) from error  # it may be said again
    except Refused as error:
        if error.code == "ClusterNotFoundException" or "not found" in error.message.lower():
            return
        raise


def _seconds_since(moment: Any) -> float:
    """moment: a datetime as boto3 has it; 0 of none."""
    return time.time() - float(moment.timestamp()) if hasattr(moment, "timestamp") else 0.0
