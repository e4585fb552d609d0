"""The functions that an executor knows."""

from __future__ import annotations

from scaler.errors import DeserializeObjectError
from scaler.packing import loads

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Functions:
    """By id. A function is unpickled when its first element runs: code that kills the process must have an owner."""

    def __init__(self) -> None:
        self._pickled: dict[bytes, bytes] = {}
        self._loaded: dict[bytes, Callable[..., Any]] = {}

    def put(self, function: bytes, pickled: bytes) -> None:
        self._pickled[function] = pickled

    def forget(self, function: bytes) -> None:
        self._pickled.pop(function, None)
        self._loaded.pop(function, None)

    def loaded(self, function: bytes) -> Callable[..., Any] | None:
        return self._loaded.get(function)

    def load(self, function: bytes) -> Callable[..., Any]:
        """DeserializeObjectError where it cannot be had; the next element tries anew."""
        try:
            found: Callable[..., Any] = loads(self._pickled[function])
        except Exception as error:
            raise DeserializeObjectError(_text(error)) from error
        self._loaded[function] = found
        return found


def _text(error: Exception) -> str:
    text = f"The function cannot be unpickled on the worker: {type(error).__name__}: {error}"
    if isinstance(error, ModuleNotFoundError):
        return f"{text}. Install the module there, or cloudpickle.register_pickle_by_value(module) here."
    return text
