"""Calls within a graph's node: `(f, (g, "a"), 2)` is one task that calls `g` and then `f`."""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Expression:
    """A call whose arguments may be calls, also within lists."""

    __slots__ = ("args", "function")

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.function = function
        self.args = args

    def __reduce__(self) -> tuple[Any, ...]:
        return Expression, (self.function, self.args)

    def __repr__(self) -> str:
        return f"{getattr(self.function, '__qualname__', self.function)}{self.args!r}"


def evaluate(value: Any) -> Any:
    """On the worker."""
    if type(value) is Expression:
        return value.function(*map(evaluate, value.args))
    if type(value) is list:
        return [evaluate(entry) for entry in value]
    return value


def contains_call(value: Any) -> bool:
    return type(value) is Expression or (type(value) is list and any(map(contains_call, value)))


def run_dask_task(task: Any, keys: list[Any], *values: Any) -> Any:
    """On the worker: a node of a dask graph, with the values of those that it depends on."""
    return task(dict(zip(keys, values, strict=True)))
