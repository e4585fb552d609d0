"""What a call needs to be allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import ACCOUNT


@dataclass(frozen=True)
class Need:
    """action: like "ecs:RunTask". resource: an ARN, "*" where the service knows none for it.

    context: condition keys, as AWS spells them, with their values.
    """

    action: str
    resource: str = "*"
    context: Mapping[str, str | Sequence[str]] = field(default_factory=dict)


def arn(call: Call, rest: str, service: str = "") -> str:
    """Of a thing in the region that is called; rest: after the account."""
    return f"arn:aws:{service or call.service}:{call.region}:{ACCOUNT}:{rest}"


def tag_context(tags: Mapping[str, str]) -> dict[str, str | Sequence[str]]:
    """Of a request that gives tags."""
    if not tags:
        return {}
    return {**{f"aws:RequestTag/{key}": value for key, value in tags.items()}, "aws:TagKeys": list(tags)}


def pass_role(role: str, service: str) -> Need:
    """service: like "ecs-tasks.amazonaws.com". role: an ARN, or the name of one of this account."""
    full = role if role.startswith("arn:") else f"arn:aws:iam::{ACCOUNT}:role/{role}"
    return Need("iam:PassRole", full, {"iam:PassedToService": service})
