"""Finds what in a value cannot be pickled, for the error's text. Slow and only run after pickling failed."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterator
from typing import Any

DEEPEST = 50
MOST_TRIES = 20_000
LONGEST_REPR = 200


def culprit(value: object, error: BaseException) -> tuple[str, str]:
    """(path, description) of the innermost part that cannot be pickled.

    path: what to put behind the value's own name, for example `.conn['x']`; empty where it is the value itself.
    """
    path, seen = "", {id(value)}
    tries = MOST_TRIES
    for _ in range(DEEPEST):
        for step, part in _parts(value):
            tries -= 1
            if id(part) in seen or tries < 0:
                continue
            failure = _failure(part)
            if failure is not None:
                path, value, error = path + step, part, failure
                seen.add(id(part))
                break
        else:
            break
    return path, f"{_short(value)} ({type(error).__name__}: {error})"


def _failure(value: object) -> BaseException | None:
    from scaler.by_value import dumps_in_band

    try:
        dumps_in_band(value)
    except Exception as error:
        return error
    return None


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__qualname__} object>"
    return text if len(text) <= LONGEST_REPR else text[:LONGEST_REPR] + "…"


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a pickle of `value` would contain, each with the step that leads to it."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield f"[{_short(key)}]", part
            yield f".keys()[{_short(key)}]", key
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield from ((f"[{_short(part)}]", part) for part in value)
    if isinstance(value, types.FunctionType):
        yield from _parts_of_function(value)
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
        yield ".__func__", value.__func__
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        yield ".args", value.args
        yield ".keywords", value.keywords
    elif isinstance(value, type):
        yield from ((f".{name}", part) for name, part in vars(value).items() if not name.startswith("__"))
    else:
        yield from _parts_of_state(value)


def _parts_of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    try:
        used = inspect.getclosurevars(function)
        yield from ((f" → closure variable {name!r}", part) for name, part in used.nonlocals.items())
        yield from ((f" → global {name!r}", part) for name, part in used.globals.items())
    except (TypeError, ValueError):
        pass
    yield " → defaults", function.__defaults__
    yield " → keyword defaults", function.__kwdefaults__


def _parts_of_state(value: Any) -> Iterator[tuple[str, Any]]:
    try:
        reduced = value.__reduce_ex__(5)
    except Exception:
        return  # it refuses by itself, whatever is in it
    state = getattr(value, "__dict__", None)
    if isinstance(state, dict):
        yield from ((f".{name}", part) for name, part in state.items())
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            if hasattr(value, name):
                yield f".{name}", getattr(value, name)
    if isinstance(reduced, tuple):
        yield from ((f".__reduce_ex__(5)[{index}]", part) for index, part in enumerate(reduced[1:3], 1))
