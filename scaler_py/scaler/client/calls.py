"""One call's arguments as bytes, and the objects that it refers to."""

from __future__ import annotations

import re
from typing import Any

from scaler._core import SharedBytes
from scaler.errors import MissingObjects, PackingError
from scaler.packing import ObjectReference, dumps_arguments, with_bytes_apart

_ARGUMENT = re.compile(r"\[(\d+)\](.*)", re.DOTALL)
_POSITIONAL = re.compile(r"\[0\]\[(\d+)\](.*)", re.DOTALL)
_KEYWORD = re.compile(r"\[1\]\[('[^']*')\](.*)", re.DOTALL)


def pack_call(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes | SharedBytes:
    """An element of style FULL. PackingError names the argument and the path inside of it."""
    try:
        return dumps_arguments((with_bytes_apart(args), kwargs))
    except PackingError as error:
        path = error.path
        found = _POSITIONAL.fullmatch(path) or _KEYWORD.fullmatch(path)
        if found is None:
            raise
        label = f"argument {found[1]}{found[2]}"
        text = str(error).removeprefix(f"value{path}")
        raise PackingError(label + text, path=found[2]) from error.__cause__


def pack_positional(args: tuple[Any, ...]) -> bytes | SharedBytes:
    """An element of style STAR. PackingError names the argument and the path inside of it."""
    try:
        return dumps_arguments(args)
    except PackingError as error:
        found = _ARGUMENT.fullmatch(error.path)
        if found is None:
            raise
        text = str(error).removeprefix(f"value{error.path}")
        raise PackingError(f"argument {found[1]}{found[2]}{text}", path=found[2]) from error.__cause__


def references_among(args: tuple[Any, ...]) -> list[ObjectReference]:
    """Those that stand for objects: positional ones, not what is inside of others."""
    return [value for value in args if type(value) is ObjectReference]


def object_uses(element: int, references: list[ObjectReference]) -> list[tuple[int, int, bytes, int]]:
    """For Channel.submit_blocks. MissingObjects for one that `Client.clear` has let go of."""
    for reference in references:
        if reference.was_cleared:
            raise MissingObjects(f"{reference} was let go of by clear(): send_object it again")
    return [(element, reference.session, reference.hash, reference.size) for reference in references]
