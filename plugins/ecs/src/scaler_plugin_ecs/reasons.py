"""From what AWS tells of a task to what people read: why it has ended or waits, and what mends that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scaler.managers.api import UnitState

from scaler_plugin_ecs.definition import CONTAINER

_ENDED = "STOPPED"
_BEFORE_RUNNING = {"PROVISIONING", "PENDING", "ACTIVATING"}
# A task that takes longer than so many seconds says what it waits for.
_PATIENCE = 60.0
# Of a task's output, how much is worth telling.
_LINES = 5
_LINE_CHARACTERS = 300

_ROUTE = (
    "its subnet needs a route to the internet: --ecs-assign-public-ip ENABLED in a public subnet, or a NAT gateway or "
    "VPC endpoints"
)
_INTERRUPTED = "Spot capacity was taken back; --capacity-provider FARGATE is never interrupted"

# Patterns of AWS's reasons and of the container's, and what to do. The first that is found counts.
_MENDS: tuple[tuple[str, str], ...] = (
    (r"SpotInterruption|Spot Task was interrupted", _INTERRUPTED),
    (
        r"CannotPull.*(timeout|deadline exceeded|dial tcp|connection refused|no route|i/o)",
        f"the registry of --ecs-task-image is not reached: {_ROUTE}",
    ),
    (
        r"CannotPull.*(denied|not authorized|unauthorized|403|no basic auth)",
        "the execution role may not pull --ecs-task-image, or the registry wants a login: attach "
        "AmazonECSTaskExecutionRolePolicy to it, or name a public image",
    ),
    (r"CannotPull.*(platform|manifest.*linux|architecture)", "--ecs-task-image must have a variant for linux/amd64"),
    (r"CannotPull", "check --ecs-task-image: is there such an image and tag? And " + _ROUTE),
    (
        r"log group does not exist|failed to validate logger args|create.*log stream",
        "the log group is not there or the execution role may not write to it: name another one by --ecs-log-group, or "
        "attach AmazonECSTaskExecutionRolePolicy to the role",
    ),
    (
        r"ResourceInitializationError.*(AccessDenied|not authorized)",
        "the execution role lacks rights: attach AmazonECSTaskExecutionRolePolicy to it",
    ),
    (r"ResourceInitializationError", f"{_ROUTE}; and the execution role needs AmazonECSTaskExecutionRolePolicy"),
    (r"OutOfMemory", "it needs more memory: --ecs-task-memory"),
    (r"[Cc]apacity is unavailable", "other subnets (--ecs-subnets), or a smaller --ecs-task-cpu"),
    (r"TaskFailedToStart.*ENI|network interface", "check that --ecs-subnets have free addresses"),
)
# Patterns of the agent's own output, of all its lines together.
_SAID: tuple[tuple[str, str], ...] = (
    (
        r"scaler_cluster: (command )?not found|No module named .?scaler|"
        r"scaler_cluster: error: (unrecognized arguments|the following arguments)",
        "the task has no scaler, or another software of that name: name an image that has it by --ecs-task-image, or "
        "say how tasks get it by --worker-package",
    ),
    (
        r"worker image: error: .*cannot be had",
        "--ecs-python-version: one that uv has, or the image's own; or give its subnet a route to the internet",
    ),
    (
        r"worker image: error: .*cannot be installed",
        "correct --ecs-python-requirements or --worker-package, or give its subnet a route to the package index",
    ),
    (
        r"No solution found|not find a version|No matching distribution|not found in the package registry|"
        r"[Ff]ailed to (build|download|fetch)",
        "what --ecs-python-requirements or --worker-package name cannot be installed there",
    ),
    (
        r"[Nn]obody answers|has no address|does not speak|[Cc]annot connect|[Cc]onnection (refused|timed out)|No route",
        "its scheduler is not reached from there: --worker-scheduler-address must be an address that tasks can reach "
        "(and --object-storage-address too), and the security group there must let them in on that port",
    ),
)


def state_of(task: Mapping[str, Any], asked_to_stop: bool = False) -> UnitState:
    """asked_to_stop: it counts as there until AWS has stopped it, for what it uses can be deleted only then."""
    status = task.get("lastStatus", "")
    if status in _BEFORE_RUNNING:
        return UnitState.PENDING
    if not (status == _ENDED or (not asked_to_stop and _has_ended(task))):
        return UnitState.RUNNING
    if is_interruption(task):
        return UnitState.GONE
    return UnitState.SUCCEEDED if exit_code(task) == 0 else UnitState.FAILED


def _has_ended(task: Mapping[str, Any]) -> bool:
    """What ran in it, at least: AWS takes a while to take the rest down."""
    containers = task.get("containers", ())
    return bool(
        task.get("lastStatus") in {"DEACTIVATING", "STOPPING", "DEPROVISIONING"}
        and task.get("stoppedReason")
        and containers
        and all(each.get("lastStatus") == _ENDED for each in containers)
    )


def is_interruption(task: Mapping[str, Any]) -> bool:
    return task.get("stopCode") == "SpotInterruption"


def could_not_start(task: Mapping[str, Any]) -> bool:
    """For what it needs besides its image: its role, its log group."""
    return str(task.get("stoppedReason") or "").startswith("ResourceInitializationError")


def is_spot(task: Mapping[str, Any]) -> bool:
    return task.get("capacityProviderName") == "FARGATE_SPOT"


def lacked_capacity(task: Mapping[str, Any]) -> bool:
    """AWS took it, and found no place for it then."""
    return task.get("stopCode") == "TaskFailedToStart" and "apacity is unavailable" in str(task.get("stoppedReason"))


def exit_code(task: Mapping[str, Any]) -> int | None:
    code = _container(task).get("exitCode")
    return None if code is None else int(code)


def _container(task: Mapping[str, Any]) -> Mapping[str, Any]:
    containers: Sequence[Mapping[str, Any]] = task.get("containers", ())
    named = [each for each in containers if each.get("name") == CONTAINER] or containers
    return named[0] if named else {}


def why_it_ended(task: Mapping[str, Any], output: Iterable[str] = ()) -> str:
    """In one line: AWS's reason, the container's, its exit code, its last words, and what to do."""
    reason = str(task.get("stoppedReason") or "").strip().rstrip(".")
    inner = str(_container(task).get("reason") or "").strip().rstrip(".")
    code = exit_code(task)
    said = [line for line in (" ".join(each.split())[:_LINE_CHARACTERS] for each in output) if line][-_LINES:]
    parts = [part for part in (reason, inner if inner not in reason else "") if part]
    if code is not None:
        parts.append(f"exit code {code}{_signal(code)}")
    words = "; ".join(parts) or "AWS does not say why it stopped"
    if said:
        words += f"; its last words: {' | '.join(said)}"
    mend = _mend(f"{task.get('stopCode', '')}: {reason}; {inner}", code, " ".join(said))
    return f"{words}. To do: {mend}" if mend else words


def _signal(code: int) -> str:
    return {137: " (killed)", 143: " (terminated)", 139: " (segmentation fault)"}.get(code, "")


def _mend(reason: str, code: int | None, said: str) -> str:
    for pattern, mend in _MENDS:
        if re.search(pattern, reason, re.DOTALL):
            return mend
    if re.search(r"worker image: error: .* To do: .*\.$", said):
        return ""  # it was said whole
    for pattern, mend in _SAID:
        if re.search(pattern, said):
            return mend
    if code == 137 and "UserInitiated" not in reason:
        return "it was killed, perhaps for its memory: --ecs-task-memory"
    if code == 127:
        return "the image lacks a program that it was told to run: --ecs-task-image, --worker-package"
    return ""


def what_it_waits_for(task: Mapping[str, Any], seconds: float) -> str:
    """Of a task that was asked for so many seconds ago. Empty: it is in its time."""
    if seconds < _PATIENCE:
        return ""
    status = task.get("lastStatus", "")
    waits = f"{status} for {seconds:.0f} s: "
    if status == "PROVISIONING":
        return (
            waits + "AWS has no place or no network interface for it yet; check that --ecs-subnets have free addresses"
        )
    if status == "PENDING" and not task.get("pullStoppedAt"):
        return f"{waits}its image is being pulled ({_image(task)}); where that takes long, {_ROUTE}"
    return waits + "AWS is about to start its container"


def _image(task: Mapping[str, Any]) -> str:
    return str(_container(task).get("image") or "--ecs-task-image")
