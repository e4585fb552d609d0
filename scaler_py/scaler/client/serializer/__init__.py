"""A user's own serializer, for functions' arguments and results (and functions).

What goes through one is *sealed*: pickled as the pickled serializer and its bytes, and unpickled as the value itself,
wherever that is. So nothing on the way knows of serializers. The serializer is pickled once, by the client, and
unpickled once a process: a script's own goes by value, which takes most of a millisecond.
"""

from __future__ import annotations

import abc
import concurrent.futures
from typing import Any, Protocol, runtime_checkable

from scaler.errors import DeserializeObjectError, PackingError
from scaler.inputs import Input
from scaler.packing import ObjectReference, dumps, loads

# Serializers that a process remembers.
MOST_KNOWN = 64


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


class Seal:
    """A serializer and its pickle."""

    def __init__(self, serializer: Any, packed: bytes) -> None:
        self.serializer = serializer
        self.packed = packed
        self.name = name_of(serializer)

    @classmethod
    def of(cls, serializer: Any) -> Seal:
        """serializer: an instance, or the class itself. TypeError and PackingError, before anything is sent."""
        for method in ("serialize", "deserialize"):
            found = getattr(serializer, method, None)
            if not callable(found) or getattr(found, "__isabstractmethod__", False):
                raise TypeError(f"serializer {name_of(serializer)} has no method {method}: see scaler.Serializer")
        try:
            packed = dumps(serializer)
        except PackingError as error:
            text = str(error).removeprefix("value")
            raise PackingError(f"serializer {name_of(serializer)}{text}", path=error.path) from error.__cause__
        return cls._remember(serializer, packed)

    @classmethod
    def unpacked(cls, packed: bytes) -> Seal:
        """Of what `of` made here or elsewhere. What unpickling it raises."""
        return _known.get(packed) or cls._remember(loads(packed), packed)

    @classmethod
    def _remember(cls, serializer: Any, packed: bytes) -> Seal:
        while len(_known) >= MOST_KNOWN:
            _known.pop(next(iter(_known)), None)
        seal = _known[packed] = cls(serializer, packed)
        return seal


_known: dict[bytes, Seal] = {}


class Sealed:
    """Unpickles as the value.

    Where the serializer fails, pickling this does: so that the error has the path to the value, and is of the one
    element whose value it is. The serializer is asked once all the same, however often this is pickled.
    """

    def __init__(self, seal: Seal, value: Any) -> None:
        self._seal = seal
        self._value: Any = None
        self._failure: Exception | None = None
        try:
            self._data = _bytes_of(seal.serializer, value)
        except Exception as failure:
            self._value, self._failure = value, failure

    def __reduce__(self) -> tuple[Any, ...]:
        if self._failure is not None:
            raise self._failure
        return unseal, (self._seal.packed, self._data)

    def __repr__(self) -> str:
        """Of one that cannot be pickled, for the error's text."""
        return f"{self._value!r} by serializer {self._seal.name}"


def _bytes_of(serializer: Any, value: Any) -> bytes:
    data = serializer.serialize(value)
    if type(data) is bytes:
        return data
    try:
        return bytes(memoryview(data))
    except TypeError:
        raise TypeError(f"serialize returned {type(data).__qualname__}, not bytes") from None


def unseal(packed: bytes, data: bytes) -> Any:
    seal = Seal.unpacked(packed)
    try:
        return seal.serializer.deserialize(data)
    except Exception as error:
        text = f"{seal.name}.deserialize failed with {type(error).__name__}: {error}"
        raise DeserializeObjectError(text) from error


class SealedFunction:
    """Unpickles as what calls the function and seals what it returns."""

    def __init__(self, seal: Seal, function: Any) -> None:
        self.sealed = Sealed(seal, function)
        self.__qualname__ = getattr(function, "__qualname__", type(function).__qualname__)

    def __reduce__(self) -> tuple[Any, ...]:
        return UnsealedFunction, (*self.sealed.__reduce__()[1], self.__qualname__)

    def __repr__(self) -> str:
        return repr(self.sealed)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("for the other side only")


class UnsealedFunction:
    def __init__(self, packed: bytes, data: bytes, name: str) -> None:
        self._function, self._seal, self.__qualname__ = unseal(packed, data), Seal.unpacked(packed), name
        if not callable(self._function):
            made = type(self._function).__qualname__
            raise DeserializeObjectError(
                f"{self._seal.name}.deserialize made {made} of the function {name}, which cannot be called"
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return Sealed(self._seal, self._function(*args, **kwargs))


def seal_argument(seal: Seal, value: Any) -> Any:
    """References and futures stay what they are: they stand for what was serialised where it was made."""
    return value if isinstance(value, ObjectReference | Input | concurrent.futures.Future) else Sealed(seal, value)


def seal_arguments(seal: Seal, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(seal_argument(seal, value) for value in args)
