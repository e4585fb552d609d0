"""Tags of AWS's form: of the owner, and of a group, whose id may have characters that no tag can have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from scaler.managers.api import Owner, Scope

# The tag that has the worker group's id.
GROUP = "scaler:group"
# What else a tag of AWS may hold is "=", which begins an encoded byte here.
_PLAIN = re.compile(r"[A-Za-z0-9 +\-._:/@]")
_ENCODED = re.compile(r"((?:=[0-9A-F]{2})+)")


def encode(text: str) -> str:
    """As a tag's value: bytes of other characters become =XX."""
    return "".join(
        each if _PLAIN.fullmatch(each) else "".join(f"={byte:02X}" for byte in each.encode()) for each in text
    )


def decode(value: str) -> str:
    """What `encode` was given."""
    return _ENCODED.sub(lambda found: bytes.fromhex(found[1].replace("=", "")).decode(errors="replace"), value)


def unit_tags(owner: Owner, group: str) -> dict[str, str]:
    return {**owner.tags(), GROUP: encode(group)}


def as_list(tags: Mapping[str, str], key: str = "key", value: str = "value") -> list[dict[str, str]]:
    """As an AWS call takes them. IAM writes "Key" and "Value"."""
    return [{key: name, value: text} for name, text in tags.items()]


def as_dict(tags: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """From any of AWS's forms."""
    return {each.get("key", each.get("Key", "")): each.get("value", each.get("Value", "")) for each in tags or ()}


def belongs_to(tags: Mapping[str, str], owner: Owner) -> bool:
    """Whatever the generation."""
    return _of_cluster(tags, owner) and tags.get("scaler:manager") == owner.manager


def in_scope(tags: Mapping[str, str], owner: Owner, scope: Scope, used: bool) -> bool:
    """Whether `cleanup` may delete what carries these tags.

    used: this run of the manager has used what its earlier runs made, which is then its own to delete.
    """
    if scope is Scope.CLUSTER:
        return _of_cluster(tags, owner)
    own_run = used or tags.get("scaler:generation") == str(owner.generation)
    return belongs_to(tags, owner) and (scope is Scope.MANAGER or own_run)


def _of_cluster(tags: Mapping[str, str], owner: Owner) -> bool:
    return tags.get("scaler:cluster") == owner.cluster
