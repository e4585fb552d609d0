"""Objects that the agent has handed to this executor, by the references that stand for them among arguments."""

from __future__ import annotations

from scaler._core import STYLE_FULL, STYLE_ONE
from scaler.errors import DeserializeObjectError, MissingObjects
from scaler.packing import ObjectReference, loads

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Key = tuple[int, bytes]


class Objects:
    """True while there are any. Each is unpickled once, at its first use: tasks of one executor share the value."""

    def __init__(self) -> None:
        self._bytes: dict[Key, bytes] = {}
        self._values: dict[Key, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._bytes)

    def put(self, session: int, hash: bytes, data: bytes) -> None:
        self._bytes[session, hash] = data

    def forget(self, session: int, hash: bytes) -> None:
        self._bytes.pop((session, hash), None)
        self._values.pop((session, hash), None)

    def named_by(self, payload: bytes) -> bytes:
        """The bytes of the object that a block of FORM_REFERENCE names."""
        session, hash = int.from_bytes(payload[:8], "little"), payload[8:24]
        try:
            return self._bytes[session, hash]
        except KeyError:
            raise MissingObjects(f"The arguments {hash.hex()} are not on the node.") from None

    def arguments(self, packed: Any, style: int) -> Any:
        """An element's arguments as its call style has them, with objects in the place of references."""
        if not self._bytes:
            return packed
        if style == STYLE_FULL:
            args, kwargs = packed
            return self.in_place_of_references(args), kwargs
        if style == STYLE_ONE:
            return self.in_place_of_references((packed,))[0]
        return self.in_place_of_references(packed)

    def in_place_of_references(self, args: Iterable[Any]) -> list[Any]:
        """The positional arguments, each that is a reference replaced by the object."""
        return [self._value(value) if type(value) is ObjectReference else value for value in args]

    def _value(self, reference: ObjectReference) -> Any:
        key = (reference.session, reference.hash)
        try:
            return self._values[key]
        except KeyError:
            pass
        try:
            data = self._bytes[key]
        except KeyError:
            raise MissingObjects(f"The object {reference.name!r} is not on the node.") from None
        try:
            value = self._values[key] = loads(data)
        except Exception as error:
            raise DeserializeObjectError(
                f"The object {reference.name!r} cannot be unpickled on the worker: {type(error).__name__}: {error}"
            ) from error
        return value
