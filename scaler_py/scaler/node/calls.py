"""How a chunk's elements become calls: by the call style, and by whether the elements still lie packed.

A plain loop, and not `map`: that takes a StopIteration which the function raises for its own end and loses it. For a
function of Python's the loop is as quick; builtin functions, for which it is not, and which raise none, go by `map`.
"""

from __future__ import annotations

from _pickle import loads as unpickle
from itertools import starmap

from scaler._core import STYLE_FULL, STYLE_ONE
from scaler.errors import DeserializeObjectError
from scaler.node.objects import Objects
from scaler.packing import loads

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Function = Callable[..., Any]
    # Appends the results of the elements to a list, one by one as they come.
    Applier = Callable[[Iterable[Any], list[Any]], None]

_Builtin: type = type(len)


def plain_applier(function: Function, style: int) -> Applier:
    """The elements are the arguments."""
    if style == STYLE_ONE:
        return _one_applier(function)
    if style != STYLE_FULL:
        return _star_applier(function)

    def apply(elements: Iterable[Any], results: list[Any]) -> None:
        for args, kwargs in elements:
            results.append(function(*args, **kwargs))

    return apply


def packed_applier(function: Function, style: int, small: bool, objects: Objects) -> Applier:
    """The elements are the bytes of their arguments. small: too few for one of them to be a container of buffers."""
    if objects:
        return _one_applier(_with_objects(function, style, objects))
    load = unpickle if small else loads
    unpacked = plain_applier(function, style)
    return lambda elements, results: unpacked(map(load, elements), results)


def _one_applier(function: Function) -> Applier:
    if _is_quicker_by_map(function):
        return lambda elements, results: results.extend(map(function, elements))

    def apply(elements: Iterable[Any], results: list[Any]) -> None:
        for element in elements:
            results.append(function(element))

    return apply


def _star_applier(function: Function) -> Applier:
    if _is_quicker_by_map(function):
        return lambda elements, results: results.extend(starmap(function, elements))

    def apply(elements: Iterable[Any], results: list[Any]) -> None:
        for args in elements:
            results.append(function(*args))

    return apply


def _is_quicker_by_map(function: Function) -> bool:
    return type(function) is _Builtin and function is not next


def _with_objects(function: Function, style: int, objects: Objects) -> Function:
    """References among the positional arguments are replaced by their objects."""

    def call_full(blob: bytes) -> Any:
        args, kwargs = loads(blob)
        return function(*objects.in_place_of_references(args), **kwargs)

    def call_one(blob: bytes) -> Any:
        return function(*objects.in_place_of_references((loads(blob),)))

    def call_star(blob: bytes) -> Any:
        return function(*objects.in_place_of_references(loads(blob)))

    return call_full if style == STYLE_FULL else call_one if style == STYLE_ONE else call_star


def fault_of_arguments(blob: bytes, function: Function | None, error: BaseException) -> Exception | None:
    """What is wrong with an element's arguments, where it was they that raised `error` and not the function.

    Whether they did is found out afterwards, by unpickling once more: so that it costs nothing where nothing is wrong.
    """
    if function is not None and _ran(function, error):
        return None
    try:
        loads(blob)
    except Exception as fault:
        return undecodable(fault)
    return None


def undecodable(fault: Exception) -> DeserializeObjectError:
    error = DeserializeObjectError(f"The arguments cannot be unpickled on the worker: {type(fault).__name__}: {fault}")
    error.__cause__ = fault
    return error


def _ran(function: Function, error: BaseException) -> bool:
    code = getattr(function, "__code__", None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code is code:
            return True
        trace = trace.tb_next
    return False
