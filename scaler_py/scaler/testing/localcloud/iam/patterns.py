"""Patterns of IAM's policies: `*` and `?`, and variables like `${aws:username}`."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
# `${*}` and the like stand for the character itself; no text has these others in it.
_LITERAL = {"*": "\ue000", "?": "\ue001", "$": "\ue002"}
_BACK = {mark: character for character, mark in _LITERAL.items()}


def fits(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


def filled(pattern: str, context: Mapping[str, Sequence[str]]) -> str | None:
    """With the values of its variables; None where one has none, and so fits nothing."""
    if "${" not in pattern:
        return pattern
    parts: list[str] = []
    at = 0
    for found in _VARIABLE.finditer(pattern):
        parts.append(pattern[at : found.start()])
        at = found.end()
        name, _, default = found[1].partition(",")
        values = context.get(name.strip().lower(), ())
        if name in _LITERAL:
            parts.append(_LITERAL[name])
        elif len(values) == 1:
            parts.append(_marked(values[0]))
        elif default:
            parts.append(_marked(default.strip().strip("'")))
        else:
            return None
    return "".join([*parts, pattern[at:]])


def _marked(value: str) -> str:
    """Wildcards of a value are none."""
    return "".join(_LITERAL.get(each, each) for each in value)


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(each) or re.escape(_BACK.get(each, each)) for each in pattern), re.DOTALL)
