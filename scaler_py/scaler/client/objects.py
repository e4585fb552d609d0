"""Objects in storage: what `send_object` stored, large arguments, and large results on their way home.

Equal bytes are stored once. The scheduler keeps an object while this client holds it, and while tasks use it. Large
arguments are held a while longer than their tasks need, for they are often sent again: the last 32 of them, up to 64
MiB. To know bytes again they are not hashed, which would take longer than to copy them: a few of them are, and where
that says that they are the same they are compared. A name is used once, for when bytes that were let go of come again,
the deletion of the old ones may still be under way.

Arguments travel to storage beside their tasks: a node that is faster than they waits for them. This client keeps their
bytes while a task needs them, and puts them again when the storage has lost them.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable

from scaler._core import FORM_REFERENCE, SharedBytes, fingerprint, own_name, same_bytes, share
from scaler.client.ahead import Ahead
from scaler.client.holds import Handle, Holds
from scaler.client.object_link import ObjectLink, Owner, Request
from scaler.packing import ObjectReference

MOST_KEPT = 32
MOST_KEPT_BYTES = 64 << 20


class Stored:
    """An object, perhaps on its way there yet. While it lives storage keeps it, and it is put again when it is lost."""

    __slots__ = ("__weakref__", "data", "handle", "hash", "request", "session", "size")

    def __init__(self, session: int, hash: bytes, data: bytes | SharedBytes, handle: Handle) -> None:
        self.session = session
        self.hash = hash
        self.data = data
        self.size = len(data)
        self.handle = handle
        self.request = Request(hash, self.size)

    @property
    def block(self) -> tuple[int, int, bytes]:
        """For Channel.submit_blocks: one element whose arguments it is."""
        name = self.session.to_bytes(8, "little") + self.hash + self.size.to_bytes(8, "little")
        return 1, FORM_REFERENCE, name

    def use(self, offset: int) -> tuple[int, int, bytes, int]:
        """For Channel.submit_blocks: the element at `offset` needs it."""
        return offset, self.session, self.hash, self.size


class Objects(Owner):
    """Of one client.

    open_link: connects to the storage that the scheduler named, and tells this owner what it must know of. put_failed:
    told of what does not get into storage, and why. check_open: raises where the client has ended."""

    def __init__(
        self,
        session: int,
        holds: Holds,
        open_link: Callable[[Owner], ObjectLink],
        put_failed: Callable[[Stored, Exception], None],
        check_open: Callable[[], None],
    ) -> None:
        self.session = session
        self._holds = holds
        self._open_link = open_link
        self._put_failed = put_failed
        self._check_open = check_open
        self.ahead = Ahead()
        self._lock = threading.Lock()
        self._link: ObjectLink | None = None
        # By what tells most bytes apart.
        self._kept: OrderedDict[bytes, Stored] = OrderedDict()
        self._kept_bytes = 0
        # All that are to be in storage.
        self._alive: weakref.WeakSet[Stored] = weakref.WeakSet()

    @property
    def link(self) -> ObjectLink:
        self._check_open()
        with self._lock:
            if self._link is None:
                self._link = self._open_link(self)
            return self._link

    def start_put(self, data: bytes | SharedBytes) -> Stored:
        """Begins to store a pickle, unless it is there. Waits while much is on its way."""
        self._check_open()
        mark = fingerprint(data)
        known = self._known(mark, data)
        if known is not None:
            return known
        link = self.link
        if link.is_local and type(data) is bytes:
            # What is kept here and what is stored there are one memory then.
            data = share([data]) or data
        name = own_name()
        # Held first: from its first byte in storage on the object is somebody's.
        stored = Stored(self.session, name, data, self._holds.hold(name, len(data)))
        with self._lock:
            self._alive.add(stored)
        stored.request = link.start_put(name, data, stored)
        with self._lock:
            gone = [self._drop(mark)] if mark in self._kept else []
            self._kept[mark] = stored
            self._kept_bytes += stored.size
            gone += self._make_room()
        del gone  # outside of the lock: their handles' finalizers run here
        link.wait_for_room()
        return stored

    def _known(self, mark: bytes, data: bytes | SharedBytes) -> Stored | None:
        """That of the same bytes, if it is kept. Most others are told apart by their marks."""
        with self._lock:
            known = self._kept.get(mark)
        if known is None or known.handle.was_cleared or not same_bytes(known.data, data):
            return None
        with self._lock:
            if self._kept.get(mark) is not known:
                return None
            self._kept.move_to_end(mark)
        return known

    def _make_room(self) -> list[Stored]:
        gone = []
        while len(self._kept) > MOST_KEPT or (self._kept_bytes > MOST_KEPT_BYTES and len(self._kept) > 1):
            gone.append(self._drop(next(iter(self._kept))))
        return gone

    def _drop(self, mark: bytes) -> Stored:
        stored = self._kept.pop(mark)
        self._kept_bytes -= stored.size
        return stored

    def wait(self, stored: Stored) -> None:
        """Until it is in storage. ObjectStorageException when it does not get there."""
        self.link.wait(stored.request)

    def put_arguments(self, data: bytes | SharedBytes) -> Stored:
        """Those of a task that is submitted next. On this machine they are there as soon as the task is; over a slow
        network it may take longer than anybody would wait for them, so then it is waited for."""
        stored = self.start_put(data)
        if not self.link.is_local:
            self.wait(stored)
        return stored

    def needs_storage(self) -> bool:
        return len(self._alive) > 0

    def forgotten(self) -> None:
        with self._lock:
            lost = [stored for stored in self._alive if stored.request._outcome is True]
        for stored in lost:
            stored.request = self.link.start_put(stored.hash, stored.data, stored)

    def put_failed(self, put: Stored, error: Exception) -> None:
        with self._lock:
            self._alive.discard(put)
            for mark, stored in list(self._kept.items()):
                if stored is put:
                    del self._kept[mark]
                    self._kept_bytes -= stored.size
        self._put_failed(put, error)

    def store(self, data: bytes | SharedBytes, name: str) -> ObjectReference:
        """Both: a reference that keeps the object in storage while it lives."""
        stored = self.start_put(data)
        self.wait(stored)
        return ObjectReference(name, stored.size, self.session, stored.hash, stored.handle)

    def hold_locked(self, hash: bytes, size: int) -> Handle:
        """With the client's lock."""
        return self._holds.hold_locked(hash, size)

    def start_fetch(self, session: int, hash: bytes, size: int) -> Request:
        return self.link.start_get(session, hash, size)

    def finish_fetch(self, request: Request) -> bytes | SharedBytes:
        """The object's bytes. MissingObjects, ObjectStorageException."""
        data: bytes | SharedBytes = self.link.wait(request)
        return data

    def clear(self) -> None:
        """Everything was let go of."""
        with self._lock:
            gone = [self._drop(mark) for mark in list(self._kept)]
        del gone

    def forked(self) -> None:
        """In a child made by fork: the link, its thread and its lock are the parent's."""
        self._lock = threading.Lock()
        self._link = None

    def close(self) -> None:
        if self._link is not None:
            self._link.close()

    def join(self) -> None:
        """After `close`, without the client's lock."""
        if self._link is not None:
            self._link.join()
