"""Values as bytes: what client and executor put into the payloads that everybody between passes on unopened.

A value is a pickle (protocol 5; plain where nothing in it refers to `__main__`, by cloudpickle otherwise). Where it has
large buffers (arrays), they lie beside the pickle in a *container*, so that they are copied once, and mapped rather
than copied when the reader may: it begins with a zero byte, and no pickle does.

    0   u8   0
    4   u32  number of buffers n
    8   n x (u64 offset, u64 length; the top bit of the length: read-only)
    …   u64 offset of the pickle, which reaches to the container's end
    …   the buffers, each at a multiple of 64; then the pickle

Several values are a *block* in one of three forms (docs/protocol.md): a list that is one pickle, a table of pickles,
or a single one. A list is only for plain immutable types: two elements that shared a list must not share it on the
other side.
"""

from __future__ import annotations

# The module in C behind `pickle`, which brings `re` and more: executors start with this.
import _pickle as pickle
import struct
import sys
from itertools import pairwise

from scaler._core import FORM_LIST, FORM_SINGLE, FORM_TABLE, is_plain, pack_table, table_ends
from scaler.errors import PackingError
from scaler.exception_packing import pack_exception, unpack_exception

# Not from `typing`, which takes as long to import as all of this may.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set
    from typing import Any, Final, Protocol

    from typing_extensions import Buffer

    class Handle(Protocol):
        """Keeps an object in storage while it lives."""

        @property
        def was_cleared(self) -> bool: ...


__all__ = [
    "ObjectReference",
    "PackingError",
    "dumps",
    "is_plain",
    "loads",
    "pack_exception",
    "pack_table",
    "pack_values",
    "single_value",
    "unpack_exception",
    "unpack_values",
]

# Smaller buffers stay inside the pickle: reading a container costs more than copying them.
LEAST_BUFFERS_BYTES: Final = 16 << 10
ALIGNMENT: Final = 64
MAIN: Final = b"__main__"
READ_ONLY: Final = 1 << 63

pickle_plainly = _pickle = pickle.dumps
unpickle = _unpickle = pickle.loads
# The commonest result: nobody need pickle it again.
PACKED_NONE: Final = pickle.dumps(None, 5)
# No pickle of them names anything; large ones need not be looked through.
_NAMELESS: Final = (bytes, str, int, float)
# cloudpickle's own set of names, once it was looked for.
_by_value_modules: Set[str] = frozenset()


class ObjectReference:
    """Names an object in the cluster's object storage, and keeps it there while it lives in the client that made it.

    As a positional argument of a task it stands for the object. Equal and hashed by the object, not by the name.
    size: bytes. session: whose object it is. hash: first 16 bytes of the blake3 of the object's bytes.
    """

    __slots__ = ("__weakref__", "_handle", "hash", "name", "session", "size")

    # Whether any reference was ever made in this process: while it is False nobody needs to look for them.
    made = False

    def __init__(self, name: str, size: int, session: int, hash: bytes, handle: Handle | None = None) -> None:
        ObjectReference.made = True
        self.name = name
        self.size = size
        self.session = session
        self.hash = hash
        self._handle = handle

    @property
    def was_cleared(self) -> bool:
        """Whether the client that made it has let go of the object before this reference ended."""
        return self._handle is not None and self._handle.was_cleared

    @property
    def object_id(self) -> bytes:
        return self.session.to_bytes(8, "little") + self.hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectReference) and (self.session, self.hash) == (other.session, other.hash)

    def __hash__(self) -> int:
        return hash((self.session, self.hash))

    def __reduce__(self) -> tuple[type[ObjectReference], tuple[str, int, int, bytes]]:
        return ObjectReference, (self.name, self.size, self.session, self.hash)

    def __repr__(self) -> str:
        return f"ObjectReference({self.name!r}, {self.size} bytes, {self.hash.hex()})"


def dumps(value: object) -> bytes:
    """The bytes of one value. PackingError, with the path to what cannot be pickled."""
    buffers: list[pickle.PickleBuffer] = []
    try:
        data = _pickle(value, 5, buffer_callback=buffers.append)
    except Exception:
        return dumps_by_value(value)
    if type(value) not in _NAMELESS and refers_to_main(data):
        return dumps_by_value(value)
    return _with_buffers(value, data, buffers, _pickle) if buffers else data


def dumps_by_value(value: object) -> bytes:
    """As `dumps`, by cloudpickle without trying plain pickle first."""
    from scaler.by_value import dumps_in_band, dumps_with_buffers

    buffers: list[pickle.PickleBuffer] = []
    try:
        data = dumps_with_buffers(value, buffers)
        return _with_buffers(value, data, buffers, dumps_in_band) if buffers else data
    except Exception as error:
        from scaler.unpicklable import culprit

        path, text = culprit(value, error)
        raise PackingError(f"value{path} cannot be pickled: {text}", path=path) from error


def refuse_buffer(buffer: object) -> bool:
    """As `buffer_callback` of a pickler: pickling fails where there are buffers, without a copy of them."""
    raise BufferError


def refers_to_main(data: bytes) -> bool:
    """Whether a plain pickle may name what workers do not have: `__main__`, or modules registered with cloudpickle."""
    return data.find(MAIN) >= 0 or bool(_by_value_modules)  # `in` raises and catches an exception first


def look_for_by_value_modules() -> bool:
    """Whether the user has told cloudpickle to pickle modules by value; from now on that is heeded."""
    global _by_value_modules
    module = sys.modules.get("cloudpickle.cloudpickle")
    if module is not None:
        _by_value_modules = getattr(module, "_PICKLE_BY_VALUE_MODULES", _by_value_modules)
    return bool(_by_value_modules)


def _with_buffers(value: object, data: bytes, buffers: list[pickle.PickleBuffer], in_band: Any) -> bytes:
    views = [buffer.raw() for buffer in buffers]
    if sum(view.nbytes for view in views) < LEAST_BUFFERS_BYTES:
        return bytes(in_band(value, 5))
    head_bytes = 8 + 16 * len(views) + 8
    parts: list[Buffer] = [b""]
    at = head_bytes
    entries = []
    for view in views:
        gap = -at % ALIGNMENT
        entries += [at + gap, view.nbytes | (READ_ONLY if view.readonly else 0)]
        parts += [bytes(gap), view]
        at += gap + view.nbytes
    parts[0] = struct.pack(f"<B3xI{len(entries)}QQ", 0, len(views), *entries, at)
    parts.append(data)
    return b"".join(parts)


def loads(payload: Buffer) -> Any:
    """The value of `dumps`'s bytes. What the value's own classes raise, and pickle.UnpicklingError."""
    view: Any = payload
    if view[0]:
        return _unpickle(payload)
    return _loads_container(memoryview(payload))


def _loads_container(view: memoryview) -> Any:
    try:
        (count,) = struct.unpack_from("<I", view, 4)
        *entries, at = struct.unpack_from(f"<{2 * count + 1}Q", view, 8)
    except struct.error as error:
        raise pickle.UnpicklingError("malformed container") from error
    buffers: list[Buffer] = []
    for offset, length in zip(entries[::2], entries[1::2], strict=True):
        part = view[offset : offset + (length & ~READ_ONLY)]
        # What was writable must be writable here too, and what lies in someone else's bytes must not be.
        buffers.append(part.toreadonly() if length & READ_ONLY else part if not view.readonly else bytearray(part))
    return _unpickle(view[at:], buffers=buffers)


def pack_values(values: list[Any]) -> tuple[int, bytes]:
    """(form, payload) of at least one value. PackingError with `index` and `path` of what cannot be pickled."""
    if len(values) == 1:
        return FORM_SINGLE, _dumps_at(0, values[0])
    if is_plain(values):
        return FORM_LIST, _pickle(values, 5)
    return FORM_TABLE, pack_table([_dumps_at(index, value) for index, value in enumerate(values)])


def _dumps_at(index: int, value: object) -> bytes:
    try:
        return dumps(value)
    except PackingError as error:
        raise PackingError(f"element {index}: {error}", index=index, path=error.path) from error.__cause__


def unpack_values(form: int, payload: Buffer, count: int) -> list[Any]:
    """All values of a block."""
    if form == FORM_LIST:
        values: list[Any] = _unpickle(payload)
        if len(values) != count:
            raise pickle.UnpicklingError(f"a list of {len(values)} where {count} values belong")
        return values
    if form == FORM_SINGLE:
        return [loads(payload)]
    ends = table_ends(payload, count)
    view = memoryview(payload)
    return [loads(view[start:end]) for start, end in pairwise(ends)]


def single_value(form: int, payload: Buffer, count: int, index: int) -> Any:
    """Value `index` of a block of `count`."""
    if form == FORM_TABLE:
        start = 4 * count
        after = struct.unpack_from("<I", payload, 4 * index)[0]
        before = struct.unpack_from("<I", payload, 4 * (index - 1))[0] if index else 0
        return loads(memoryview(payload)[start + before : start + after])
    return unpack_values(form, payload, count)[index]
