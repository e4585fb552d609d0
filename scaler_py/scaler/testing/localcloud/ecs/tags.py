"""Which tags ECS takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from scaler.testing.localcloud.answers import AwsError

_MOST = 50
_TEXT = re.compile(r"[\w\s+\-=._:/@]*")


def check_tags(tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """By key. Raises AwsError."""
    if len(tags) > _MOST:
        raise _refused(f"The maximum number of tags is {_MOST}.")
    found: dict[str, str] = {}
    for each in tags:
        key, value = each.get("key") or "", each.get("value") or ""
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise _refused("A tag's key has 1 to 128 characters, its value at most 256.")
        if not _TEXT.fullmatch(key) or not _TEXT.fullmatch(value):
            raise _refused(
                f"Some tags contain invalid characters. Valid characters: UTF-8 letters, spaces, numbers and "
                f"_ . / = + - : @. Key: {key}"
            )
        if key.lower().startswith("aws:"):
            raise _refused(f"The tag key {key} is reserved: it starts with aws:")
        if key in found:
            raise _refused(f"Duplicate tag keys: {key}")
        found[key] = value
    return found


def _refused(sentence: str) -> AwsError:
    return AwsError("InvalidParameterException", sentence)
