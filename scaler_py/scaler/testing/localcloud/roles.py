"""Roles as the services that are to assume them see them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from scaler.testing.localcloud.cloud import Cloud
from scaler.testing.localcloud.moto_part import backend


def is_assumable(cloud: Cloud, arn: str, service: str) -> bool:
    """Whether a service, like "ecs-tasks.amazonaws.com", may act as this role and has seen it already."""
    role = _role(arn)
    return role is not None and _trusts(role.assume_role_policy_document, service) and _is_seen(cloud, arn)


def is_allowed(cloud: Cloud, arn: str, action: str, resource: str) -> bool:
    """Whether who acts as this role may do this."""
    if (allowed := _method(cloud, "allowed")) is not None:
        return bool(allowed(arn, action, resource))
    role = _role(arn)
    return role is not None and bool(role.managed_policies or role.policies)


def _is_seen(cloud: Cloud, arn: str) -> bool:
    seen = _method(cloud, "seen")
    return seen is None or bool(seen(arn))


def _method(cloud: Cloud, name: str) -> Callable[..., Any] | None:
    """Of the service that knows about permissions, if this cloud has one."""
    return next((found for each in cloud.services if (found := getattr(each, name, None)) is not None), None)


def _role(arn: str) -> Any:
    return next((each for each in backend("iam", "aws").roles.values() if each.arn == arn), None)


def _trusts(document: Any, service: str) -> bool:
    content = json.loads(document) if isinstance(document, str) else document
    statements = content.get("Statement", []) if isinstance(content, dict) else []
    for each in statements if isinstance(statements, list) else [statements]:
        principal = each.get("Principal", {})
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        actions = each.get("Action", [])
        if (
            each.get("Effect") == "Allow"
            and service in ([services] if isinstance(services, str) else services)
            and "sts:AssumeRole" in ([actions] if isinstance(actions, str) else actions)
        ):
            return True
    return False
