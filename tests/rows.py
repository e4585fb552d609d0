"""Tables of what was seen go wrong elsewhere, row by row, and the tests that hold each: that those exist."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Later(NamedTuple):
    """A row, or the part of one, that no test holds yet, and why."""

    reason: str


Rows = Mapping[str, Sequence[str | Later]]


def check(rows: Rows) -> None:
    """Each row has tests, or a reason why it has none; each test is there: `path::name`, from the repository's root."""
    for row, entries in rows.items():
        assert entries, f"nothing holds {row!r}"
        for entry in entries:
            if isinstance(entry, Later):
                assert entry.reason, row
                continue
            path, _, name = entry.partition("::")
            keyword = "fn" if path.endswith(".rs") else "def"
            text = (ROOT / path).read_text()
            assert re.search(rf"\b{keyword} {name}\(", text), f"{row}: there is no {entry}"
