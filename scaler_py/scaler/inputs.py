"""Values of other tasks among a task's arguments: how they are named in its pickle, on both sides.

A future among arguments is pickled as a call of `take`, which the executor answers with the value: unpickled for this
call alone, so that no two tasks share it. Which value is which is told beside the pickle, by position.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from typing import Any

# What the arguments that are being unpickled take.
current: list[Any] = []


def take(position: int) -> Any:
    """On the worker: the value at this place among those that the call takes."""
    return current[position]


def same(value: Any) -> Any:
    """What was known already when the arguments were pickled."""
    return value


class Input:
    """Stands for the value at this place, where no future does."""

    __slots__ = ("position",)

    def __init__(self, position: int) -> None:
        self.position = position

    def __reduce__(self) -> tuple[Any, ...]:
        return take, (self.position,)

    def __repr__(self) -> str:
        return f"<input {self.position}>"
