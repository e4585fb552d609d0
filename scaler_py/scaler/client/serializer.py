"""A user's own serializer, for functions' arguments and results (and functions).

What goes through one is *sealed*: pickled as the serializer and its bytes, and unpickled as the value itself,
wherever that is. So nothing on the way knows of serializers.
"""

from __future__ import annotations

import abc
from typing import Any, Protocol, runtime_checkable

from scaler.errors import DeserializeObjectError
from scaler.packing import ObjectReference, dumps, loads


@runtime_checkable
class Serializer(Protocol):
    """Two static methods, to subclass or to have: for the function, each argument and the result.

    They run on the client and on the workers, whose libraries must be the same. An error of `serialize` is a
    PackingError, at the call or of the task; one of `deserialize` a DeserializeObjectError.
    """

    @staticmethod
    @abc.abstractmethod
    def serialize(obj: Any) -> bytes:
        """Any object with a buffer will do for the bytes."""

    @staticmethod
    @abc.abstractmethod
    def deserialize(payload: bytes) -> Any: ...


def check_serializer(serializer: Any) -> None:
    """TypeError, before anything is sent with it. serializer: an instance, or the class itself."""
    for method in ("serialize", "deserialize"):
        found = getattr(serializer, method, None)
        if not callable(found) or getattr(found, "__isabstractmethod__", False):
            raise TypeError(f"serializer {name_of(serializer)} has no method {method}: see scaler.Serializer")


def name_of(serializer: Any) -> str:
    return getattr(serializer, "__qualname__", None) or type(serializer).__qualname__


class DefaultSerializer:
    """pickle where that is enough, cloudpickle where it is not."""

    @staticmethod
    def serialize(obj: Any) -> bytes:
        return dumps(obj)

    @staticmethod
    def deserialize(payload: bytes) -> Any:
        return loads(payload)


class Sealed:
    """Unpickles as the value.

    Where the serializer fails, pickling this does: so that the error has the path to the value, and is of the one
    element whose value it is. The serializer is asked once all the same, however often this is pickled.
    """

    def __init__(self, serializer: Any, value: Any) -> None:
        self._serializer = serializer
        self._value: Any = None
        self._failure: Exception | None = None
        try:
            self._data = _bytes_of(serializer, value)
        except Exception as failure:
            self._value, self._failure = value, failure

    def __reduce__(self) -> tuple[Any, ...]:
        if self._failure is not None:
            raise self._failure
        return unseal, (self._serializer, self._data)

    def __repr__(self) -> str:
        """Of one that cannot be pickled, for the error's text."""
        return f"{self._value!r} by serializer {name_of(self._serializer)}"


def _bytes_of(serializer: Any, value: Any) -> bytes:
    data = serializer.serialize(value)
    if type(data) is bytes:
        return data
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"serialize returned {type(data).__qualname__}, not bytes") from None


def unseal(serializer: Any, data: bytes) -> Any:
    try:
        return serializer.deserialize(data)
    except Exception as error:
        text = f"{name_of(serializer)}.deserialize failed with {type(error).__name__}: {error}"
        raise DeserializeObjectError(text) from error


class SealedFunction:
    """Unpickles as what calls the function and seals what it returns."""

    def __init__(self, serializer: Any, function: Any) -> None:
        self.sealed = Sealed(serializer, function)
        self.__qualname__ = getattr(function, "__qualname__", type(function).__qualname__)

    def __reduce__(self) -> tuple[Any, ...]:
        return UnsealedFunction, (*self.sealed.__reduce__()[1], self.__qualname__)

    def __repr__(self) -> str:
        return repr(self.sealed)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("for the other side only")


class UnsealedFunction:
    def __init__(self, serializer: Any, data: bytes, name: str) -> None:
        function = unseal(serializer, data)
        if not callable(function):
            raise DeserializeObjectError(
                f"{name_of(serializer)}.deserialize made {type(function).__qualname__} of the function {name}, "
                "which cannot be called"
            )
        self.serializer, self.function, self.__qualname__ = serializer, function, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return Sealed(self.serializer, self.function(*args, **kwargs))


def seal_arguments(
    serializer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """References stay what they are: they stand for objects that were serialised when they were sent."""
    return (
        tuple(value if isinstance(value, ObjectReference) else Sealed(serializer, value) for value in args),
        {name: Sealed(serializer, value) for name, value in kwargs.items()},
    )
