"""What other services see of IAM: everything, a little later."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scaler.testing.localcloud.moto_part import backend


@dataclass(frozen=True)
class SeenRole:
    """trust, documents, boundary: policies as JSON; boundary is empty where there is none."""

    arn: str
    name: str
    trust: str
    documents: tuple[str, ...]
    boundary: str = ""


@dataclass(frozen=True)
class SeenProfile:
    """role: of the one that it holds; None while it is empty."""

    arn: str
    name: str
    role: str | None


@dataclass(frozen=True)
class Seen:
    """By ARN."""

    roles: Mapping[str, SeenRole] = field(default_factory=dict)
    profiles: Mapping[str, SeenProfile] = field(default_factory=dict)


class Consistency:
    """Pictures of IAM, each of which comes to the other services' sight after a while. With the cloud's lock held."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._seen = Seen()
        self._coming: list[tuple[float, Seen]] = []

    def reset(self) -> None:
        self._seen = _look()
        self._coming = []

    def changed(self) -> None:
        """IAM is not as it was."""
        self._coming.append((time.monotonic() + self._seconds, _look()))

    def now(self) -> Seen:
        while self._coming and self._coming[0][0] <= time.monotonic():
            self._seen = self._coming.pop(0)[1]
        return self._seen

    def seen(self, arn: str) -> bool:
        """Of a role or an instance profile: whether other services know of it."""
        now = self.now()
        return arn in now.roles or arn in now.profiles


def documents_of(holder: Any) -> tuple[str, ...]:
    """All policies of one of moto's users, groups or roles; those of a user's groups are not among them."""
    managed = (document_of(each) for each in holder.managed_policies.values())
    return (*holder.policies.values(), *managed)


def document_of(policy: Any) -> str:
    """The default version of one of moto's managed policies."""
    return next((each.document for each in policy.versions if each.version_id == policy.default_version_id), "{}")


def _look() -> Seen:
    iam = backend("iam", "aws")
    roles = {
        role.arn: SeenRole(
            role.arn,
            role.name,
            role.assume_role_policy_document,
            documents_of(role),
            document_of(iam.managed_policies[role.permissions_boundary_arn])
            if role.permissions_boundary_arn in iam.managed_policies
            else "",
        )
        for role in iam.roles.values()
    }
    profiles = {
        each.arn: SeenProfile(each.arn, each.name, each.roles[0].arn if each.roles else None)
        for each in iam.instance_profiles.values()
    }
    return Seen(roles, profiles)
