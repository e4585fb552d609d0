"""What a task has printed, from its log group."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scaler.managers.api import ConfigurationError, DriverError

from scaler_plugin_ecs.clients import Aws
from scaler_plugin_ecs.definition import CONTAINER
from scaler_plugin_ecs.errors import Denied

# Before a task's end, in milliseconds: what is older does not say why it ended.
_WINDOW = 120_000


class Output:
    """place: (log group, prefix of streams) of the tasks, empty where their output goes nowhere."""

    def __init__(self, aws: Aws, place: Callable[[], tuple[str, str]], log: logging.Logger) -> None:
        self._aws = aws
        self._place = place
        self._log = log
        self._denied = False

    def last_lines(self, task: Mapping[str, Any]) -> Sequence[str]:
        """Those before its end, oldest first; none where they cannot be had."""
        group, prefix = self._place()
        if not group or self._denied or task.get("startedAt") is None:
            return ()
        stream = f"{prefix}/{_container(task)}/{task['taskArn'].rpartition('/')[2]}"
        ended = task.get("executionStoppedAt") or task.get("stoppedAt") or task.get("stoppingAt")
        since: dict[str, Any] = {} if ended is None else {"startTime": max(0, int(ended.timestamp() * 1000) - _WINDOW)}
        try:
            answer = self._aws.call("logs:FilterLogEvents", logGroupName=group, logStreamNames=[stream], **since)
        except Denied:
            self._denied = True
            self._log.warning("why a task fails is told without its output, for logs:FilterLogEvents is not allowed")
            return ()
        except (DriverError, ConfigurationError) as error:
            # It is told without; the next task may have it.
            self._log.debug("the output of %s cannot be had: %s", stream, error)
            return ()
        return [str(each.get("message", "")) for each in answer.get("events", ())]


def _container(task: Mapping[str, Any]) -> str:
    names = [str(each.get("name", "")) for each in task.get("containers", ())]
    return CONTAINER if CONTAINER in names or not names else names[0]
