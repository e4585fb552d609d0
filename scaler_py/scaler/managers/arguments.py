"""A job's arguments, packed by a host that never unpickles what users have sent, and put together in the job.

What a client has packed travels as it is, with a note of how it lies there; the note unpickles to (positional
arguments, named ones). Where that is what the client has packed there is no note.
"""

from __future__ import annotations

import pickle
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from scaler import inputs
from scaler._core import FORM_LIST, FORM_REFERENCE, FORM_SINGLE, FORM_TABLE, STYLE_FULL, STYLE_ONE
from scaler.errors import MissingObjects
from scaler.node.inputs import Values
from scaler.packing import loads, unpack_values

# Gives the bytes of an object by its reference (`Job.references`).
ReadObject = Callable[[str], bytes]
# (form, elements, index, payload): one entry of a block.
Entry = tuple[int, int, int, bytes]


def reference_of(session: int, hash: bytes) -> str:
    """An object's name in `Job.references`."""
    return (session.to_bytes(8, "little") + hash).hex()


def pack_arguments(style: int, entry: Entry, taken: Sequence[Entry] = ()) -> bytes:
    """entry: the packed arguments. taken: values of other tasks that stand among them, in their order."""
    alone = _alone(entry)
    if style == STYLE_FULL and alone[0] == FORM_SINGLE and not taken:
        return alone[3]
    return pickle.dumps(_Note(style, alone, [_alone(each) for each in taken]), 5)


def _alone(entry: Entry) -> Entry:
    """Without its neighbours, as far as that can be told from outside."""
    form, count, index, payload = entry
    if form != FORM_TABLE:
        return entry
    ends = struct.unpack_from(f"<{count}I", payload)
    start = 4 * count + (ends[index - 1] if index else 0)
    return FORM_SINGLE, 1, 0, payload[start : 4 * count + ends[index]]


class _Note:
    def __init__(self, *told: Any) -> None:
        self._told = told

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return unpack_arguments, self._told


class _Reading(threading.local):
    read: ReadObject | None = None


_reading = _Reading()


@contextmanager
def reading(read: ReadObject | None) -> Iterator[None]:
    """Notes that are unpickled meanwhile, in this thread, find their objects so."""
    before, _reading.read = _reading.read, read
    try:
        yield
    finally:
        _reading.read = before


def read_object(reference: str, name: str) -> bytes:
    """MissingObjects: it did not come with the job. name: for people."""
    if _reading.read is None:
        raise MissingObjects(f"The object {name!r} did not come with the job.")
    return _reading.read(reference)


class _Objects:
    """As executors have them."""

    def named_by(self, payload: bytes) -> bytes:
        reference = payload[:24].hex()
        return read_object(reference, reference[16:])


def unpack_arguments(style: int, entry: Entry, taken: Sequence[Entry]) -> tuple[Sequence[Any], dict[str, Any]]:
    """In the job."""
    objects: Any = _Objects()
    values = Values(objects)
    for number, (form, count, _, payload) in enumerate(taken):
        values.put(number, count, form, payload)
    inputs.current = [values.entry(number, each[2]) for number, each in enumerate(taken)]
    try:
        arguments = _element(entry, objects)
    finally:
        inputs.current = []
    if style == STYLE_FULL:
        args, kwargs = arguments
        return args, kwargs
    return ((arguments,) if style == STYLE_ONE else arguments), {}


def _element(entry: Entry, objects: _Objects) -> Any:
    form, count, index, payload = entry
    if form == FORM_LIST:
        return unpack_values(form, payload, count)[index]
    return loads(objects.named_by(payload) if form == FORM_REFERENCE else payload)
