"""Roles as the services that are to assume them see them. With the cloud's lock held."""

from __future__ import annotations

from scaler.testing.localcloud.cloud import Cloud
from scaler.testing.localcloud.iam import Iam


def is_assumable(cloud: Cloud, arn: str, service: str) -> bool:
    """Whether a service, like "ecs-tasks.amazonaws.com", may act as this role and has seen it already."""
    return cloud.part(Iam).trusts(arn, service)


def is_allowed(cloud: Cloud, arn: str, action: str, resource: str) -> bool:
    """Whether who acts as this role may do this."""
    return cloud.part(Iam).allowed(arn, action, resource)
