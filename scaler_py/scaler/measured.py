"""A value and what making it took: what a function of a profiling client returns (`client/profiling.py`)."""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from typing import Any

    # (seconds, bytes, seconds of CPU).
    Profile = tuple[float, int, float]


class Measured:
    """For the way to the client, or to a task that takes the value."""

    __slots__ = ("profile", "value")

    def __init__(self, value: Any, profile: Profile) -> None:
        self.value = value
        self.profile = profile

    def __reduce__(self) -> tuple[Any, ...]:
        return Measured, (self.value, self.profile)


def value_in(value: Any) -> Any:
    """The value itself."""
    return value.value if type(value) is Measured else value
