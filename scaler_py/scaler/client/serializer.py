"""A user's own serializer, for functions' arguments and results (and functions).

What goes through one is *sealed*: pickled as the serializer and its bytes, and unpickled as the value itself,
wherever that is. So nothing on the way knows of serializers.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from scaler.packing import ObjectReference, dumps, loads


@runtime_checkable
class Serializer(Protocol):
    """Two static methods. They run on the client and on the workers, whose libraries must be the same."""

    @staticmethod
    def serialize(obj: Any) -> bytes: ...

    @staticmethod
    def deserialize(payload: bytes) -> Any: ...


class DefaultSerializer:
    """pickle where that is enough, cloudpickle where it is not."""

    @staticmethod
    def serialize(obj: Any) -> bytes:
        return dumps(obj)

    @staticmethod
    def deserialize(payload: bytes) -> Any:
        return loads(payload)


class Sealed:
    """Unpickles as the value."""

    def __init__(self, serializer: Any, value: Any) -> None:
        self.serializer = serializer
        self.data = bytes(serializer.serialize(value))

    def __reduce__(self) -> tuple[Any, ...]:
        return unseal, (self.serializer, self.data)


def unseal(serializer: Any, data: bytes) -> Any:
    return serializer.deserialize(data)


class SealedFunction:
    """Calls a function that came sealed, and seals what it returns."""

    def __init__(self, serializer: Any, function: Any) -> None:
        self.serializer = serializer
        self.sealed = Sealed(serializer, function)
        self.__qualname__ = getattr(function, "__qualname__", type(function).__qualname__)

    def __reduce__(self) -> tuple[Any, ...]:
        return UnsealedFunction, (self.serializer, self.sealed, self.__qualname__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("for the other side only")


class UnsealedFunction:
    def __init__(self, serializer: Any, function: Any, name: str) -> None:
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
