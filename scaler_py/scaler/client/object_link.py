"""The client's link to object storage: puts and gets, by any number of threads. Connects when it is first needed.

Its thread reads while puts are under way that nobody waits for, finds a lost storage again, and tells its owner what he
must know of.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scaler._core import (
    EVENT_DATA,
    EVENT_DISCONNECTED,
    EVENT_MISSING,
    EVENT_REFUSED,
    EVENT_STORE_ERROR,
    EVENT_STORED,
    EVENT_WELCOME,
    ObjectChannel,
    SharedBytes,
)
from scaler.client.attendant import Attendant
from scaler.client.connection import Endpoint
from scaler.client.turns import Turns
from scaler.errors import MissingObjects, ObjectStorageException, ScalerError

if TYPE_CHECKING:
    from scaler.transport.connect import Connection

# With more on its way to storage, in bytes, whoever puts more waits.
MOST_ON_THE_WAY = 16 << 20

# By the code of the storage's refusal: what is full, and whose.
_MENDS = {
    0: "give it more room (--memory-limit, --directory, --disk-limit, a larger disk), or let go of results and "
    "references",
    1: "let go of results and references, send less at a time, or raise its --session-quota",
}


class Request:
    """A put or get under way. `_outcome`: True when stored, the bytes of a get, or the exception."""

    __slots__ = ("_outcome", "hash", "put", "size")

    def __init__(self, hash: bytes, size: int, put: Any = None) -> None:
        """put: what the owner knows a put by."""
        self.hash = hash
        self.size = size
        self.put = put
        self._outcome: Any = None


class Owner:
    """Who is told, by the link's thread and without its lock."""

    def forgotten(self) -> None:
        """The storage has lost what it had."""

    def put_failed(self, put: Any, error: Exception) -> None:
        """What belongs to that put is not in storage."""

    def needs_storage(self) -> bool:
        """Whether a lost storage is to be found again though no request is under way. With the link's lock."""
        return False


class _Room:
    """For waiting: little is on its way to storage."""

    def __init__(self, link: ObjectLink) -> None:
        self._link = link

    @property
    def _outcome(self) -> bool | None:
        return True if self._link.bytes_put <= MOST_ON_THE_WAY else None


class ObjectLink(Attendant):
    """make_channel: from a ticket. timeout: seconds without storage after which requests fail."""

    def __init__(
        self,
        endpoint: Endpoint,
        make_channel: Callable[[bytes], ObjectChannel],
        timeout: float,
        heartbeat: float,
        owner: Owner,
    ) -> None:
        self.endpoint = endpoint
        # Of puts under way.
        self.bytes_put = 0
        self._owner = owner
        self._requests: dict[int, Request] = {}
        self._notices: deque[Callable[[], None]] = deque()
        self._closed = self._welcomed = False
        connection = self._dial(timeout)
        self.is_local = connection.is_local
        self.channel = make_channel(connection.ticket)
        self.turns = Turns(self.channel, self._read, heartbeat)
        super().__init__(self.turns, endpoint, timeout, "scaler-objects")
        self.channel.attach(connection.fd)
        self.start()

    def _dial(self, timeout: float) -> Connection:
        try:
            return self.endpoint.dial(timeout)
        except ConnectionError as error:
            raise self._unreachable(str(error)) from None

    def _unreachable(self, text: str) -> ObjectStorageException:
        return ObjectStorageException(
            f"Object storage cannot be reached: {text}\n"
            f"  where: {self.endpoint.address}, as the scheduler advertises it\n"
            f"  to do: see that it runs; start the scheduler with --advertised-object-storage-address if clients must "
            f"use another address"
        )

    def start_put(self, hash: bytes, data: bytes | SharedBytes, put: Any) -> Request:
        """Hands the bytes to the link, which sends them by and by. put: what its owner knows it by."""
        with self.turns.lock:
            self._refuse_closed()
            request = Request(hash, len(data), put)
            self._requests[self.channel.put(hash, data)] = request
            self.bytes_put += request.size
            self.call()
            return request

    def start_get(self, session: int, hash: bytes, size: int) -> Request:
        with self.turns.lock:
            self._refuse_closed()
            request = Request(hash, size)
            self._requests[self.channel.get(session, hash)] = request
            self.call()
            return request

    def wait(self, request: Request) -> Any:
        """What came of it; raises MissingObjects or ObjectStorageException."""
        if request._outcome is None:
            self.turns.wait_for(request, None)
        if isinstance(request._outcome, BaseException):
            raise request._outcome
        return request._outcome

    def wait_for_room(self) -> None:
        """Back-pressure: until little is on its way to storage."""
        if self.bytes_put > MOST_ON_THE_WAY:
            self.turns.wait_for(_Room(self), None)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise self._unreachable("this client is closed")

    # -- For the thread. What follows is called with the lock.

    def is_over(self) -> bool:
        return self._closed

    def has_to_tell(self) -> bool:
        return bool(self._notices)

    def tell(self) -> None:
        self._notices.popleft()()

    def must_read(self) -> bool:
        if self.is_attended():
            return False
        # After a connection was made: what the storage says of itself.
        return bool(self._requests or self.channel.unsent or self._lost_since is not None)

    def must_reconnect(self) -> bool:
        return self.turns.barred and bool(self._requests or self._owner.needs_storage())

    def is_waited_for(self) -> bool:
        return bool(self._requests)

    def give_up(self) -> None:
        self._fail_all(self._unreachable(f"no answer for {self._timeout:g} s"))

    def attach(self, fd: int) -> None:
        self.channel.attach(fd)

    def refused(self, error: ScalerError) -> None:
        self._fail_all(self._unreachable(str(error)) if isinstance(error, ConnectionError) else error)

    def failed(self, error: BaseException) -> bool:
        if self._closed:
            return False
        self._fail_all(self._unreachable(f"the client's thread failed: {type(error).__name__}: {error}"))
        self._closed = True
        return True

    def _fail_all(self, error: Exception) -> None:
        for request in self._requests.values():
            self._fail(request, error)
        self._requests.clear()
        self.turns.wake_all()

    def _fail(self, request: Request, error: Exception) -> None:
        request._outcome = error
        put, request.put = request.put, None
        if put is not None:
            self.bytes_put -= request.size
            self._notices.append(lambda: self._owner.put_failed(put, error))

    def _read(self) -> None:
        for event in self.channel.read():
            kind = event[0]
            if kind == EVENT_WELCOME:
                if self._welcomed and not event[3]:
                    self._notices.append(self._owner.forgotten)
                self.welcomed()
                self._welcomed = True
            elif kind == EVENT_DISCONNECTED:
                self.lost()
                self.turns.wake_all()
            elif kind == EVENT_REFUSED:
                self._fail_all(self._unreachable(event[2]))
            else:
                self._answered(kind, event)
        self.turns.wake_served()
        self.call()

    def _answered(self, kind: int, event: tuple[Any, ...]) -> None:
        request = self._requests.pop(event[1], None)
        if request is None:
            return
        if kind == EVENT_STORED:
            request._outcome = True
            request.put = None
            self.bytes_put -= request.size
        elif kind == EVENT_DATA:
            request._outcome = event[2]
        elif kind == EVENT_MISSING:
            request._outcome = MissingObjects(
                "An object is not in object storage any more.\n"
                f"  where: object {request.hash.hex()} ({request.size} bytes)\n"
                "  to do: send it again; clear(), the end of the client that sent it and a restarted storage drop it"
            )
        elif kind == EVENT_STORE_ERROR:
            error = ObjectStorageException(
                f"Object storage did not take an object of {request.size} bytes: {event[3]}\n"
                f"  where: {self.endpoint.address}\n"
                f"  to do: {_MENDS.get(event[2], 'send it again')}"
            )
            self._fail(request, error)

    # -- The end

    def close(self) -> None:
        """Without the lock, or with the client's."""
        with self.turns.lock:
            if self._closed:
                return
            self._closed = True
            self._fail_all(self._unreachable("this client was closed"))
            self._notices.clear()
            self.turns.barred = True
            self.channel.detach()
            self.channel.wake()
            self._wanted.notify_all()

    def join(self) -> None:
        """Without any lock."""
        super().join()
        # What may still refer to the link holds no descriptors.
        with contextlib.suppress(AttributeError):
            del self.channel, self.turns.source
