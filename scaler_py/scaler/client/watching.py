"""What a function pickled by value was made of: when one of these is rebound, the pickle is stale.

Watched are the globals that the function's code names, its closure cells, defaults and code, and the same of every
function and class that goes by value with it. What is changed in place is not noticed (`reserialize=True` is for that).
"""

from __future__ import annotations

import builtins
import dis
import functools
import sys
import types
from collections.abc import Iterator
from typing import Any

# A function whose surroundings are larger is watched as far as this.
MOST_WATCHED = 2_000

_MISSING = object()
_EMPTY_CELL = object()
_GLOBAL_OPERATIONS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"})


class Watch:
    """The identities that a pickle depends on."""

    def __init__(self, function: object) -> None:
        self._globals: list[tuple[dict[str, Any], str, object]] = []
        self._cells: list[tuple[types.CellType, object]] = []
        self._functions: list[tuple[types.FunctionType, object, object, object]] = []
        self._seen: set[int] = set()
        todo = [function]
        while todo and len(self._globals) + len(self._cells) + len(self._functions) < MOST_WATCHED:
            part = todo.pop()
            if id(part) not in self._seen:
                self._seen.add(id(part))
                todo.extend(self._look_into(part))
        del self._seen

    def _look_into(self, part: Any) -> Iterator[Any]:
        """Notes what `part` refers to, and gives what is to be looked into next."""
        if isinstance(part, functools.partial):
            yield part.func
            yield from part.args
            yield from part.keywords.values()
        elif isinstance(part, types.MethodType):
            yield part.__func__
        elif isinstance(part, types.FunctionType):
            if goes_by_value(part):
                yield from self._note_function(part)
        elif isinstance(part, type):
            if goes_by_value(part):
                yield from (getattr(member, "__func__", member) for member in list(vars(part).values()))
                yield from part.__bases__
        elif isinstance(part, property):
            yield from (part.fget, part.fset, part.fdel)
        elif goes_by_value(type(part)):
            yield type(part)

    def _note_function(self, function: types.FunctionType) -> Iterator[Any]:
        self._functions.append((function, function.__code__, function.__defaults__, function.__kwdefaults__))
        yield from function.__defaults__ or ()
        yield from (function.__kwdefaults__ or {}).values()
        for cell in function.__closure__ or ():
            content = _content(cell)
            self._cells.append((cell, content))
            yield content
        names = function.__globals__
        for name in _global_names(function.__code__):
            value = names.get(name, _MISSING)
            if value is not _MISSING or not hasattr(builtins, name):
                self._globals.append((names, name, value))
                yield value

    def holds(self) -> bool:
        """Whether nothing was rebound since."""
        for names, name, value in self._globals:
            if names.get(name, _MISSING) is not value:
                return False
        for cell, content in self._cells:
            if _content(cell) is not content:
                return False
        for function, code, defaults, keyword_defaults in self._functions:
            if (
                function.__code__ is not code
                or function.__defaults__ is not defaults
                or function.__kwdefaults__ is not keyword_defaults
            ):
                return False
        return True


def goes_by_value(part: Any) -> bool:
    """Whether a function or class cannot be imported by its name, so that its pickle holds it."""
    module = sys.modules.get(getattr(part, "__module__", None) or "__main__")
    if module is None or module.__name__ == "__main__":
        return True
    found: Any = module
    for name in part.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is not part


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:
        return _EMPTY_CELL


@functools.lru_cache(maxsize=1024)
def _global_names(code: types.CodeType) -> tuple[str, ...]:
    names = {step.argval for step in dis.get_instructions(code) if step.opname in _GLOBAL_OPERATIONS}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(_global_names(constant))
    return tuple(sorted(names))
