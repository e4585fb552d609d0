"""How a chunk's elements become calls: by the call style, and by whether the elements still lie packed.

What comes out is an iterator over results that runs in C as far as it can: the interpreter's loop sees the user's
function and nothing else, where the arguments are plain.
"""

from __future__ import annotations

from itertools import starmap

from scaler._core import STYLE_FULL, STYLE_ONE
from scaler.errors import DeserializeObjectError
from scaler.node.objects import Objects
from scaler.packing import loads

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    Function = Callable[..., Any]
    # Elements to results, lazily.
    Applier = Callable[[Iterable[Any]], Iterator[Any]]


def applier(function: Function, style: int, packed: bool, objects: Objects) -> Applier:
    """packed: the elements are the bytes of their arguments. Otherwise they are the arguments, all of plain types."""
    if packed:
        call = _CALLS_WITH_OBJECTS[style](function, objects) if objects else _CALLS[style](function)
        return lambda elements: map(call, elements)
    if style == STYLE_ONE:
        return lambda elements: map(function, elements)
    if style == STYLE_FULL:
        return lambda elements: (function(*args, **kwargs) for args, kwargs in elements)
    return lambda elements: starmap(function, elements)


def arguments(blob: bytes) -> Any:
    """What an element's bytes say. DeserializeObjectError where they cannot be read here."""
    try:
        return loads(blob)
    except Exception as error:
        raise DeserializeObjectError(
            f"The arguments cannot be unpickled on the worker: {type(error).__name__}: {error}"
        ) from error


def _call_full(function: Function) -> Function:
    def call(blob: bytes) -> Any:
        args, kwargs = arguments(blob)
        return function(*args, **kwargs) if kwargs else function(*args)

    return call


def _call_one(function: Function) -> Function:
    def call(blob: bytes) -> Any:
        return function(arguments(blob))

    return call


def _call_star(function: Function) -> Function:
    def call(blob: bytes) -> Any:
        return function(*arguments(blob))

    return call


def _call_full_with_objects(function: Function, objects: Objects) -> Function:
    def call(blob: bytes) -> Any:
        args, kwargs = arguments(blob)
        return function(*objects.in_place_of_references(args), **kwargs)

    return call


def _call_one_with_objects(function: Function, objects: Objects) -> Function:
    def call(blob: bytes) -> Any:
        return function(*objects.in_place_of_references((arguments(blob),)))

    return call


def _call_star_with_objects(function: Function, objects: Objects) -> Function:
    def call(blob: bytes) -> Any:
        return function(*objects.in_place_of_references(arguments(blob)))

    return call


# By style: full, one, star.
_CALLS = (_call_full, _call_one, _call_star)
_CALLS_WITH_OBJECTS = (_call_full_with_objects, _call_one_with_objects, _call_star_with_objects)
