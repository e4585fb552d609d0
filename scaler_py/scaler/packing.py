"""Values as bytes: what client and executor put into the payloads that everybody between passes on unopened.

A value is a pickle (protocol 5; plain where nothing in it refers to `__main__`, by cloudpickle otherwise). Where it has
large buffers (arrays), they lie beside the pickle in a *container*, so that they are copied once, and mapped rather
than copied when the reader may: it begins with a zero byte, and no pickle does.

    0   u8   0
    4   u32  number of buffers n
    8   n x (u64 offset, u64 length; the top bit of the length: read-only)
    …   u64 offset of the pickle, which reaches to the container's end
    …   the buffers, each at a multiple of 64; then the pickle

The next bit of a length says that it is a `bytes` object. On one host large values are in files that processes share
(`SharedBytes`): who unpickles one has arrays that lie in a mapping of his own, where what he writes stays. What of a
value lies in such a file already, and was not written since, is not written into another: the container is in pieces.

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

from scaler._core import (
    FORM_LIST,
    FORM_SINGLE,
    FORM_TABLE,
    LEAST_SHARED,
    SharedBytes,
    is_plain,
    pack_table,
    share,
    share_from,
    table_ends,
)
from scaler.errors import PackingError
from scaler.exception_packing import pack_exception, unpack_exception

# Not from `typing`, which takes as long to import as all of this may.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Set
    from typing import Any, Final, Protocol

    from typing_extensions import Buffer

    # Where a container's parts may be put.
    Share = Callable[[list[Buffer]], SharedBytes | None]

    class Handle(Protocol):
        """Keeps an object in storage while it lives."""

        @property
        def was_cleared(self) -> bool: ...


__all__ = [
    "ObjectReference",
    "PackingError",
    "dumps",
    "dumps_arguments",
    "dumps_shared",
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
BYTES: Final = 1 << 62
LENGTH: Final = BYTES - 1

pickle_plainly = _pickle = pickle.dumps
unpickle = _unpickle = pickle.loads
# The commonest result: nobody need pickle it again.
PACKED_NONE: Final = pickle.dumps(None, 5)
# No pickle of them names anything; large ones need not be looked through.
_NAMELESS: Final = (bytes, str, int, float)
# Whether it is remembered which `bytes` objects were read from files: a result that they are part of is there already.
_remembers_reads = False
# cloudpickle's own set of names, once it was looked for.
_by_value_modules: Set[str] = frozenset()


class ObjectReference:
    """Names an object in the cluster's object storage, and keeps it there while it lives in the client that made it.

    As a positional argument of a task it stands for the object. Equal and hashed by the object, not by the name.
    size: bytes. session: whose object it is. hash: its name there, which no other object has.
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
    return bytes(_with_buffers(value, data, buffers, _pickle)) if buffers else data


def remember_reads() -> None:
    """From now on, by this process: until `forget_copies` says that nobody needs them, `bytes` objects that were read
    from files keep these."""
    global _remembers_reads
    _remembers_reads = True


def dumps_arguments(value: object) -> bytes | SharedBytes:
    """As `dumps_shared`; who gets large `bytes` objects of it back may get these very objects."""
    return _dumps_into_files(value, share_from)


def dumps_shared(value: object) -> bytes | SharedBytes:
    """As `dumps`, for what may travel to others of this host in a file: in one where its buffers are large."""
    return _dumps_into_files(value, share)


def _dumps_into_files(value: object, share: Share) -> bytes | SharedBytes:
    kind = type(value)
    if kind is tuple:
        value = with_bytes_apart(value)  # type: ignore[arg-type]  # a tuple
    elif kind is bytes and len(value) >= LEAST_SHARED:  # type: ignore[arg-type]  # bytes
        value = _Apart(value)  # type: ignore[arg-type]  # bytes
    buffers: list[pickle.PickleBuffer] = []
    try:
        data = _pickle(value, 5, buffer_callback=buffers.append)
    except Exception:
        return _dumps_by_value(value, share)
    if type(value) not in _NAMELESS and refers_to_main(data):
        return _dumps_by_value(value, share)
    return _with_buffers(value, data, buffers, _pickle, share) if buffers else data


class _Apart:
    """A large `bytes` object that is to lie beside the pickle."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _itself, (pickle.PickleBuffer(self.data),)


def _itself(data: bytes) -> bytes:
    return data


def with_bytes_apart(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same, for pickling: large `bytes` among them are not copied into the pickle."""
    for value in values:
        if type(value) is bytes and len(value) >= LEAST_SHARED:
            break
    else:
        return values
    apart: dict[int, _Apart] = {}
    return tuple(
        [
            apart.setdefault(id(value), _Apart(value)) if type(value) is bytes and len(value) >= LEAST_SHARED else value
            for value in values
        ]
    )


def _by_copying(parts: list[Buffer]) -> SharedBytes | None:
    """In the place of `share`, for what travels with its task."""
    return None


def dumps_by_value(value: object) -> bytes:
    """As `dumps`, by cloudpickle without trying plain pickle first."""
    return bytes(_dumps_by_value(value, _by_copying))


def _dumps_by_value(value: object, share: Share) -> bytes | SharedBytes:
    from scaler.by_value import dumps_in_band, dumps_with_buffers

    buffers: list[pickle.PickleBuffer] = []
    try:
        data = dumps_with_buffers(value, buffers)
        return _with_buffers(value, data, buffers, dumps_in_band, share) if buffers else data
    except Exception as error:
        from scaler.unpicklable import culprit

        path, text = culprit(value, error)
        raise PackingError(f"value{path} cannot be pickled: {text}", path=path) from error


def refuse_buffer(buffer: object) -> bool:
    """As `buffer_callback` of a pickler: pickling fails where there are buffers, without a copy of them."""
    raise BufferError


def refers_to_main(data: bytes) -> bool:
    """Whether a plain pickle may name what workers do not have: `__main__`, or modules registered with cloudpickle."""
    # `in` raises and catches an exception first. A module's name stands in a pickle as it is, and so does that of its
    # package: a name too many costs a look by cloudpickle, which knows.
    return data.find(MAIN) >= 0 or any(data.find(name.encode()) >= 0 for name in _by_value_modules)


def look_for_by_value_modules() -> bool:
    """Whether the user has told cloudpickle to pickle modules by value; from now on that is heeded."""
    global _by_value_modules
    module = sys.modules.get("cloudpickle.cloudpickle")
    if module is not None:
        _by_value_modules = getattr(module, "_PICKLE_BY_VALUE_MODULES", _by_value_modules)
    return bool(_by_value_modules)


def _with_buffers(
    value: object, data: bytes, buffers: list[pickle.PickleBuffer], in_band: Any, share: Share = _by_copying
) -> bytes | SharedBytes:
    views = [buffer.raw() for buffer in buffers]
    if sum(view.nbytes for view in views) < LEAST_BUFFERS_BYTES:
        return bytes(in_band(value, 5))
    head_bytes = 8 + 16 * len(views) + 8
    parts: list[Buffer] = [b""]
    at = head_bytes
    entries = []
    for view in views:
        gap = -at % ALIGNMENT
        kind = _kind_of(view)
        entries += [at + gap, view.nbytes | kind]
        # The object itself, so that it may be known again.
        parts += [bytes(gap), view.obj if kind & BYTES and memoryview(view.obj).nbytes == view.nbytes else view]
        at += gap + view.nbytes
    parts[0] = struct.pack(f"<B3xI{len(entries)}QQ", 0, len(views), *entries, at)
    parts.append(data)
    return share(parts) or b"".join(parts)


def _kind_of(view: memoryview) -> int:
    if not view.readonly:
        return 0
    return READ_ONLY | BYTES if type(view.obj) is bytes else READ_ONLY


def loads(payload: Buffer) -> Any:
    """The value of `dumps`'s bytes. What the value's own classes raise, and pickle.UnpicklingError."""
    if type(payload) is SharedBytes:
        return _loads_shared(payload)
    plain: Any = payload
    if plain[0]:
        return _unpickle(payload)
    return _loads_container(memoryview(payload))


def _loads_container(view: memoryview) -> Any:
    entries, at = _entries(view)
    buffers: list[Buffer] = []
    for offset, kind, length in entries:
        part = view[offset : offset + length]
        # What was writable must be writable here too, and what lies in someone else's bytes must not be.
        if kind & BYTES:
            buffers.append(bytes(part))
        elif kind & READ_ONLY:
            buffers.append(part.toreadonly())
        else:
            buffers.append(part if not view.readonly else bytearray(part))
    return _unpickle(view[at:], buffers=buffers)


def _loads_shared(shared: SharedBytes) -> Any:
    pieces = _Pieces(shared)
    head = pieces.first(8)
    if head[0]:
        return _unpickle(memoryview(shared))
    (count,) = struct.unpack_from("<I", head, 4)
    entries, at = _entries(pieces.first(8 + 16 * count + 8))
    if at > len(shared):
        raise pickle.UnpicklingError("malformed container")
    buffers: list[Buffer] = []
    for offset, kind, length in entries:
        if kind & BYTES:
            buffers.append(shared.part(offset, length, _remembers_reads))
        elif kind & READ_ONLY:
            buffers.append(pieces.view(offset, length))
        else:
            buffers.append(pieces.own_view(offset, length))
    return _unpickle(pieces.view(at, len(shared) - at), buffers=buffers)


def _entries(head: Buffer) -> tuple[list[tuple[int, int, int]], int]:
    """((offset, kind, length) of each buffer, offset of the pickle), from a container's beginning."""
    try:
        (count,) = struct.unpack_from("<I", head, 4)
        *numbers, at = struct.unpack_from(f"<{2 * count + 1}Q", head, 8)
    except struct.error as error:
        raise pickle.UnpicklingError("malformed container") from error
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return [(offset, number & ~LENGTH, number & LENGTH) for offset, number in pairs], at


class _Pieces:
    """The pieces that an object lies in, each mapped when something of it is asked for. What is asked for from front to
    back is found at once."""

    def __init__(self, shared: SharedBytes) -> None:
        self._shared = shared
        self._lengths = shared.pieces()
        # The piece looked at last: its number, where it begins; views of it.
        self._at = self._start = 0
        self._view: memoryview | None = None
        self._own: memoryview | None = None

    def first(self, length: int) -> memoryview:
        return self.view(0, min(length, len(self._shared)))

    def view(self, offset: int, length: int) -> memoryview:
        """Read-only. Copied where it reaches over several pieces."""
        start = self._find(offset, length)
        if start < 0:
            return memoryview(self._shared.part(offset, length, False))
        if self._view is None:
            self._view = memoryview(self._shared.piece(self._at))
        return self._view[start : start + length]

    def own_view(self, offset: int, length: int) -> Buffer:
        """Writable; what is written stays there."""
        start = self._find(offset, length)
        if start >= 0 and self._own is None:
            try:
                self._own = memoryview(self._shared.own_view(self._at))
            except (OSError, ValueError):
                start = -1  # this process has too many mappings, or the piece is in no file
        if start < 0:
            return bytearray(self._shared.part(offset, length, False))
        assert self._own is not None
        return self._own[start : start + length]

    def _find(self, offset: int, length: int) -> int:
        """Where it begins in its piece, which is looked at from now on; -1: it is in several, or nowhere."""
        at, start = (self._at, self._start) if offset >= self._start else (0, 0)
        while at < len(self._lengths) and offset >= start + self._lengths[at]:
            start += self._lengths[at]
            at += 1
        if at == len(self._lengths) or offset + length > start + self._lengths[at]:
            return -1
        if at != self._at:
            self._at, self._start, self._view, self._own = at, start, None, None
        return offset - start


def pack_values(values: list[Any]) -> tuple[int, bytes | SharedBytes]:
    """(form, payload) of at least one value; only a single one may be in a file.

    PackingError with `index` and `path` of what cannot be pickled."""
    if len(values) == 1:
        return FORM_SINGLE, _dumps_shared_at(0, values[0])
    if is_plain(values):
        return FORM_LIST, _pickle(values, 5)
    return FORM_TABLE, pack_table([_dumps_at(index, value) for index, value in enumerate(values)])


def _dumps_at(index: int, value: object) -> bytes:
    try:
        return dumps(value)
    except PackingError as error:
        raise _named(error, index) from error.__cause__


def _dumps_shared_at(index: int, value: object) -> bytes | SharedBytes:
    try:
        return dumps_shared(value)
    except PackingError as error:
        raise _named(error, index) from error.__cause__


def _named(error: PackingError, index: int) -> PackingError:
    return PackingError(f"element {index}: {error}", index=index, path=error.path)


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
