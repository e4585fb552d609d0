"""The client's link to object storage: puts and gets, by any number of threads. Connects when it is first needed.

A thread of its own reads while puts are under way that nobody waits for, finds a lost storage again, and tells its
owner what he must know of.
"""

from __future__ import annotations

import contextlib
import threading
import time
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
)
from scaler.client.connection import BackOff, Endpoint
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


class ObjectLink:
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
        self.timeout = timeout
        # Of puts under way.
        self.bytes_put = 0
        self._owner = owner
        self._requests: dict[int, Request] = {}
        self._notices: deque[Callable[[], None]] = deque()
        self._closed = self._welcomed = False
        # Since when there is no storage (time.monotonic); None while there is one.
        self._lost_since: float | None = time.monotonic()
        connection = self._dial(timeout)
        self.is_local = connection.is_local
        self.channel = make_channel(connection.ticket)
        self.turns = Turns(self.channel, self._read, heartbeat)
        self._wanted = threading.Condition(self.turns.lock)
        self._sleeping = False
        self.channel.attach(connection.fd)
        self._thread = threading.Thread(target=self._run, name="scaler-objects", daemon=True)
        self._thread.start()

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

    def start_put(self, hash: bytes, data: bytes, put: Any) -> Request:
        """Hands the bytes to the link, which sends them by and by. put: what its owner knows it by."""
        with self.turns.lock:
            self._refuse_closed()
            request = Request(hash, len(data), put)
            self._requests[self.channel.put(hash, data)] = request
            self.bytes_put += request.size
            self._call()
            return request

    def start_get(self, session: int, hash: bytes, size: int) -> Request:
        with self.turns.lock:
            self._refuse_closed()
            request = Request(hash, size)
            self._requests[self.channel.get(session, hash)] = request
            self._call()
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

    # -- The thread. What follows is called with the lock.

    def _call(self) -> None:
        """Someone may need the thread."""
        if self._sleeping and (self._notices or self._must_read() or self._must_reconnect()):
            self._sleeping = False
            self._wanted.notify()

    def _must_read(self) -> bool:
        turns = self.turns
        if turns.reading or turns.callers or turns.barred:
            return False
        # After a connection was made: what the storage says of itself.
        return bool(self._requests or self.channel.unsent or self._lost_since is not None)

    def _must_reconnect(self) -> bool:
        return self.turns.barred and bool(self._requests or self._owner.needs_storage())

    def _run(self) -> None:
        with self.turns.lock:
            try:
                self._serve()
            except BaseException as error:
                if not self._closed:
                    # Nobody would ever hear of it: everybody does.
                    self._fail_all(self._unreachable(f"the client's thread failed: {type(error).__name__}: {error}"))
                    self._closed = True
                    raise

    def _serve(self) -> None:
        while not self._closed:
            if self._notices:
                self._tell(self._notices.popleft())
            elif self._is_overdue():
                self._lost_since = time.monotonic()
                self._fail_all(self._unreachable(f"no answer for {self.timeout:g} s"))
            elif self._must_reconnect():
                self._reconnect()
            elif self._must_read():
                self.turns.lead(self.turns.longest_wait)
                self.turns.hand_on()
            else:
                self._sleep()

    def _tell(self, notice: Callable[[], None]) -> None:
        self.turns.lock.release()
        try:
            notice()
        finally:
            self.turns.lock.acquire()

    def _sleep(self) -> None:
        self._sleeping = True
        self._wanted.wait(self.turns.longest_wait)
        self._sleeping = False
        if not (self.turns.reading or self.turns.barred or self._closed):
            self._read()

    def _is_overdue(self) -> bool:
        lost = self._lost_since
        return bool(self._requests) and lost is not None and time.monotonic() - lost > self.timeout

    def _reconnect(self) -> None:
        """One attempt after the other until the storage is there, or time is up, or the link is closed."""
        assert self._lost_since is not None
        attempts = BackOff(self._lost_since + self.timeout)
        while not self._closed and not self._notices:
            fd = self._dial_once()
            if fd is not None:
                self.channel.attach(fd)
                self.turns.barred = False
                self.turns.hand_on()
                return
            pause = attempts.next_pause()
            if pause <= 0:
                if not self._requests:
                    self._lost_since = time.monotonic()
                return
            self._wanted.wait(pause)

    def _dial_once(self) -> int | None:
        self.turns.lock.release()
        try:
            return self.endpoint.dial(0.0).fd
        except OSError:
            return None
        except ScalerError as error:
            refused = error
        finally:
            self.turns.lock.acquire()
        self._fail_all(refused)
        return None

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
                self._lost_since = None
                self._welcomed = True
            elif kind == EVENT_DISCONNECTED:
                self._lost_since = self._lost_since or time.monotonic()
                self.turns.barred = True
                self.turns.wake_all()
            elif kind == EVENT_REFUSED:
                self._fail_all(self._unreachable(event[2]))
            else:
                self._answered(kind, event)
        self.turns.wake_served()
        self._call()

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
        if self._thread is not threading.current_thread():
            self._thread.join()
        # What may still refer to the link holds no descriptors.
        with contextlib.suppress(AttributeError):
            del self.channel, self.turns.source
