"""A map's elements as blocks: neighbours that travel together, in lists or tables, within the limits of a block.

How many elements are packed at a time follows from how large the last ones were: few at first, so that the first
results come early and large elements are not gathered, then as many as fill a block.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from scaler._core import FORM_LIST, FORM_SINGLE, FORM_TABLE, SharedBytes
from scaler.client.calls import references_among
from scaler.client.needs import Needs
from scaler.errors import PackingError
from scaler.packing import ObjectReference, dumps, dumps_arguments, is_plain, pack_table

MOST_ELEMENTS = 4096
MOST_BYTES = 64 << 10
FIRST_ELEMENTS = 32
GROWTH = 8


@dataclass(slots=True)
class Block:
    """`references`: (element, counted from the block's first; what it stands for)."""

    count: int
    form: int
    payload: bytes | SharedBytes
    references: list[tuple[int, ObjectReference]]


@dataclass(slots=True)
class Needing:
    """One element that takes values of futures."""

    value: Any
    references: list[ObjectReference]


@dataclass(slots=True)
class Unpacked:
    """One element that cannot be pickled: it fails alone."""

    error: PackingError


class BlockMaker:
    """starred: elements are tuples of positional arguments, not the one argument. needs: lets futures be pickled.
    most_bytes: of several elements."""

    def __init__(
        self, elements: Iterable[Any], starred: bool, needs: Callable[[], Needs], most_bytes: int = MOST_BYTES
    ) -> None:
        self._most_bytes = min(most_bytes, MOST_BYTES)
        self._elements = elements
        self._needs = needs
        self._starred = starred
        self._size = FIRST_ELEMENTS
        self._index = 0

    def __iter__(self) -> Iterator[Block | Needing | Unpacked]:
        take = self._take_slices() if type(self._elements) in (list, tuple, range) else self._take_from_iterator()
        all_plain = type(self._elements) is range
        for values in take:
            if all_plain or is_plain(values):
                yield from self._lists(values)
            else:
                yield from self._tables(values)
            self._index += len(values)

    def _take_slices(self) -> Iterator[list[Any]]:
        """Quicker than from an iterator."""
        elements: Any = self._elements
        at = 0
        while values := list(elements[at : at + self._size]):
            at += len(values)
            yield values

    def _take_from_iterator(self) -> Iterator[list[Any]]:
        elements = iter(self._elements)
        while values := list(islice(elements, self._size)):
            yield values

    def _lists(self, values: list[Any]) -> Iterator[Block]:
        payload = pickle.dumps(values, 5)
        self._adapt(len(values), len(payload))
        if len(payload) <= self._most_bytes:
            form = FORM_LIST
            if len(values) == 1:
                form, payload = FORM_SINGLE, pickle.dumps(values[0], 5)
            yield Block(len(values), form, payload, [])
        elif len(values) == 1:
            yield Block(1, FORM_SINGLE, dumps_arguments(values[0]), [])
        else:
            pieces = min(len(values), -(-len(payload) // self._most_bytes) + 1)
            step = -(-len(values) // pieces)
            for at in range(0, len(values), step):
                yield from self._lists(values[at : at + step])

    def _tables(self, values: list[Any]) -> Iterator[Block | Needing | Unpacked]:
        blobs: list[bytes | SharedBytes] = []
        references: list[tuple[int, ObjectReference]] = []
        size = total = 0
        for offset, value in enumerate(values):
            try:
                blob = dumps_arguments(value)
            except PackingError as error:
                if blobs:
                    yield _table(blobs, references)
                    blobs, references, size = [], [], 0
                yield self._needing(value) or Unpacked(self._named(error, self._index + offset))
                continue
            if blobs and size + len(blob) + 4 > self._most_bytes:
                yield _table(blobs, references)
                blobs, references, size = [], [], 0
            if ObjectReference.made:
                used = references_among(value if self._starred else (value,))
                references += [(len(blobs), reference) for reference in used]
            blobs.append(blob)
            size += len(blob) + 4
            total += len(blob) + 4
        if blobs:
            yield _table(blobs, references)
        self._adapt(len(values), total)

    def _needing(self, value: Any) -> Needing | None:
        """What cannot be pickled may have futures in it."""
        try:
            with self._needs() as needs:
                dumps(value)
        except PackingError:
            return None
        return Needing(value, references_among(value if self._starred else (value,))) if needs else None

    def _named(self, error: PackingError, index: int) -> PackingError:
        text = str(error).removeprefix("value")
        named = PackingError(f"element {index}: argument{text}", index=index, path=error.path)
        named.__cause__ = error.__cause__
        return named

    def _adapt(self, count: int, size: int) -> None:
        fitting = self._most_bytes * 3 // 4 * count // max(1, size)
        self._size = max(1, min(MOST_ELEMENTS, self._size * GROWTH, fitting))


def _table(blobs: list[bytes | SharedBytes], references: list[tuple[int, ObjectReference]]) -> Block:
    if len(blobs) == 1:
        return Block(1, FORM_SINGLE, blobs[0], references)
    # One in a file is alone: it is larger than a block may be.
    together = pack_table([blob for blob in blobs if type(blob) is bytes])
    return Block(len(blobs), FORM_TABLE, together, references)
