"""What policy documents say: pure evaluation of IAM's language, without where documents come from."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from scaler.testing.localcloud.iam.conditions import holds
from scaler.testing.localcloud.iam.patterns import filled, fits

# Of a request: condition keys in lower case; a key can have several values.
Context = Mapping[str, Sequence[str]]


class Decision(Enum):
    """DENIED: by a statement that says so. UNDECIDED: no statement is about it, which denies too."""

    ALLOWED = "allowed"
    DENIED = "explicitDeny"
    UNDECIDED = "implicitDeny"


def context_from(values: Mapping[str, str | Sequence[str]]) -> Context:
    return {key.lower(): [value] if isinstance(value, str) else list(value) for key, value in values.items()}


def decide(documents: Iterable[str], action: str, resource: str, context: Context) -> Decision:
    """documents: JSON texts of identity policies. A statement that denies wins over all that allow."""
    decision = Decision.UNDECIDED
    for document in documents:
        for statement in _statements(document):
            if statement.is_about(action, resource, context):
                if not statement.allows:
                    return Decision.DENIED
                decision = Decision.ALLOWED
    return decision


def trusts(document: str, service: str) -> bool:
    """Whether a role with this trust policy may be assumed by a service, like "ecs-tasks.amazonaws.com"."""
    return _trusts(document, "Service", {"*", service})


def trusts_principal(document: str, arn: str) -> bool:
    """The same of a user or a role; a trusted account trusts all of its users."""
    account = arn.split(":")[4]
    return _trusts(document, "AWS", {"*", arn, account, f"arn:aws:iam::{account}:root"})


def _trusts(document: str, kind: str, names: Collection[str]) -> bool:
    """A statement without conditions, as trust policies of services and accounts have them."""
    trusted = False
    for statement in _statements(document):
        listed = (*statement.principals.get(kind, ()), *statement.principals.get("*", ()))
        if any(each in names for each in listed) and any(
            fits(each.lower(), "sts:assumerole") for each in statement.actions
        ):
            if not statement.allows:
                return False
            trusted = True
    return trusted


@dataclass(frozen=True)
class _Statement:
    """not_actions, not_resources: whether those listed are the ones that it is not about."""

    allows: bool
    actions: tuple[str, ...]
    not_actions: bool
    resources: tuple[str, ...]
    not_resources: bool
    conditions: Mapping[str, Mapping[str, Sequence[str]]]
    principals: Mapping[str, tuple[str, ...]]

    def is_about(self, action: str, resource: str, context: Context) -> bool:
        if any(fits(each.lower(), action.lower()) for each in self.actions) == self.not_actions:
            return False
        patterns = (filled(each, context) for each in self.resources)
        if any(each is not None and fits(each, resource) for each in patterns) == self.not_resources:
            return False
        return all(holds(operator, keys, context) for operator, keys in self.conditions.items())


@functools.lru_cache(maxsize=1024)
def _statements(document: str) -> tuple[_Statement, ...]:
    content = json.loads(document)
    return tuple(_statement(each) for each in _listed(content.get("Statement", [])))


def _statement(content: Mapping[str, Any]) -> _Statement:
    principal = content.get("Principal", {})
    return _Statement(
        allows=content.get("Effect") == "Allow",
        actions=_texts(content.get("Action", content.get("NotAction", []))),
        not_actions="NotAction" in content,
        resources=_texts(content.get("Resource", content.get("NotResource", []))),
        not_resources="NotResource" in content,
        conditions={
            operator: {key.lower(): _texts(values) for key, values in keys.items()}
            for operator, keys in content.get("Condition", {}).items()
        },
        principals={"*": ("*",)} if principal == "*" else {key: _texts(value) for key, value in principal.items()},
    )


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(each).lower() if isinstance(each, bool) else str(each) for each in _listed(value))
