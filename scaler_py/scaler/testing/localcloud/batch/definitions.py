"""What AWS refuses in a job definition, and in what a request says instead of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaler.testing.localcloud.batch.errors import NAME, client_error, executing_error
from scaler.testing.localcloud.ecs import fargate

_MOST_ATTEMPTS = 10
_MOST_CONDITIONS = 5
_MOST_TAGS = 50
_LEAST_TIMEOUT = 60


def check_definition(given: Mapping[str, Any]) -> None:
    if not NAME.fullmatch(given.get("jobDefinitionName", "")):
        raise executing_error("Job definition name should match valid pattern")
    if given.get("type") != "container":
        raise executing_error(f"type {given.get('type')!r}: this cloud runs jobs of type container only")
    properties = given.get("containerProperties")
    if not properties or not properties.get("image"):
        raise executing_error("containerProperties must have an image")
    for kind in ("VCPU", "MEMORY"):
        if requirement(properties, kind) is None:
            raise executing_error(f"containerProperties must have {kind} in resourceRequirements")
    if "FARGATE" in (given.get("platformCapabilities") or ()):
        _check_fargate(properties)
    elif properties.get("networkConfiguration"):
        raise executing_error("networkConfiguration not applicable for EC2.")
    check_shared(given, properties)


def _check_fargate(properties: Mapping[str, Any]) -> None:
    if not properties.get("executionRoleArn"):
        raise executing_error("executionRoleArn is required for Fargate jobs")
    vcpus, mebibytes = requirement(properties, "VCPU") or 0.0, int(requirement(properties, "MEMORY") or 0)
    if not fargate.exists(round(vcpus * 1024), mebibytes):
        raise executing_error(f"Fargate resource requirements ({vcpus:.2f} vCPU, {mebibytes} MiB) not valid.")


def check_shared(given: Mapping[str, Any], container: Mapping[str, Any]) -> None:
    """What definitions and requests have in common. container: containerProperties or containerOverrides."""
    if any(each == "" for each in container.get("command") or ()):
        raise client_error("Command cannot be empty")
    for each in container.get("environment") or ():
        if each.get("name", "").startswith("AWS_BATCH"):
            raise executing_error("Environment variables cannot start with AWS_BATCH")
    timeout = (given.get("timeout") or {}).get("attemptDurationSeconds")
    if timeout is not None and timeout < _LEAST_TIMEOUT:
        raise executing_error(f"Job timeout must be at least {_LEAST_TIMEOUT} seconds")
    retry = given.get("retryStrategy") or {}
    attempts, conditions = retry.get("attempts"), retry.get("evaluateOnExit") or ()
    if attempts is not None and not 1 <= attempts <= _MOST_ATTEMPTS:
        raise executing_error(f"Retry strategy attempts must be between 1 and {_MOST_ATTEMPTS}")
    if conditions and attempts is None:
        raise executing_error("attempts must be specified with evaluateOnExit")
    if len(conditions) > _MOST_CONDITIONS:
        raise executing_error(f"evaluateOnExit must have at most {_MOST_CONDITIONS} entries")
    if len(given.get("tags") or {}) > _MOST_TAGS:
        raise executing_error(f"Too many tags: at most {_MOST_TAGS}")


def requirement(container: Mapping[str, Any], kind: str) -> float | None:
    """kind: VCPU or MEMORY (MiB); also where it is said the old way."""
    wanted: Sequence[Mapping[str, str]] = container.get("resourceRequirements") or ()
    for each in wanted:
        if each.get("type") == kind:
            return float(each["value"])
    old = container.get("vcpus" if kind == "VCPU" else "memory")
    return None if old is None else float(old)
