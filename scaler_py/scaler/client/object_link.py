"""The client's link to object storage: puts and gets, by any number of threads. Connects when it is first needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

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


class Request:
    """A put or get under way. `_outcome`: True when stored, the bytes of a get, or the exception."""

    def __init__(self, hash: bytes, size: int) -> None:
        self.hash = hash
        self.size = size
        self._outcome: Any = None


class _AnswerOrLoss:
    """For waiting: there is an answer, or the connection is to be made again."""

    def __init__(self, request: Request, turns: Turns) -> None:
        self._request = request
        self._turns = turns

    @property
    def _outcome(self) -> bool | None:
        to_do = self._turns.barred and not self._turns.reading
        return True if self._request._outcome is not None or to_do else None


class ObjectLink:
    """make_channel: from a ticket. timeout: seconds without storage after which requests fail."""

    def __init__(
        self, endpoint: Endpoint, make_channel: Callable[[bytes], ObjectChannel], timeout: float, heartbeat: float
    ) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self._requests: dict[int, Request] = {}
        self._closed = False
        self._lost_since: float | None = time.monotonic()
        fd, ticket = self._dial(timeout)
        self.channel = make_channel(ticket)
        self.turns = Turns(self.channel, self._read, heartbeat)
        self.channel.attach(fd)

    def _dial(self, timeout: float) -> tuple[int, bytes]:
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

    def start_put(self, data: bytes) -> Request:
        """Hands the bytes to the link."""
        with self.turns.lock:
            self._refuse_closed()
            number, hash = self.channel.put(data)
            request = self._requests[number] = Request(hash, len(data))
            return request

    def start_get(self, session: int, hash: bytes, size: int) -> Request:
        with self.turns.lock:
            self._refuse_closed()
            number = self.channel.get(session, hash)
            request = self._requests[number] = Request(hash, size)
            return request

    def wait(self, request: Request) -> Any:
        """What came of it; raises MissingObjects or ObjectStorageException."""
        while request._outcome is None:
            if self.turns.barred and not self._closed:
                self._reconnect()
            try:
                self.turns.wait_for(_AnswerOrLoss(request, self.turns), self.turns.longest_wait)
            except TimeoutError:
                self._check_time()
        if isinstance(request._outcome, BaseException):
            raise request._outcome
        return request._outcome

    def _refuse_closed(self) -> None:
        if self._closed:
            raise self._unreachable("this client is closed")

    def _check_time(self) -> None:
        with self.turns.lock:
            if self._lost_since is not None and time.monotonic() - self._lost_since > self.timeout:
                self._fail_all(self._unreachable(f"no answer for {self.timeout:g} s"))

    def _reconnect(self) -> None:
        """Whoever waits finds the storage again; the others wait for him."""
        with self.turns.lock:
            if not self.turns.barred or self.turns.reading or self._lost_since is None:
                return
            self.turns.reading = True
            attempts = BackOff(self._lost_since + self.timeout)
        error: Exception | None = None
        fd: int | None = None
        while fd is None and error is None and not self._closed:
            try:
                fd = self.endpoint.dial(0.0)[0]
            except ConnectionError as failure:
                pause = attempts.next_pause()
                if isinstance(failure, ScalerError) and not isinstance(failure, OSError):
                    error = failure
                elif pause <= 0:
                    error = self._unreachable(str(failure))
                else:
                    time.sleep(pause)
            except ScalerError as failure:
                error = failure
        with self.turns.lock:
            self.turns.reading = False
            if fd is not None:
                self.channel.attach(fd)
                self.turns.barred = False
            elif error is not None:
                self._fail_all(error)
            self.turns.wake_all()

    def _fail_all(self, error: Exception) -> None:
        for request in self._requests.values():
            request._outcome = error
        self._requests.clear()
        self.turns.wake_all()

    def _read(self) -> None:
        for event in self.channel.read():
            kind = event[0]
            if kind == EVENT_WELCOME:
                self._lost_since = None
            elif kind == EVENT_DISCONNECTED:
                self._lost_since = self._lost_since or time.monotonic()
                self.turns.barred = True
                self.turns.wake_all()
            elif kind == EVENT_REFUSED:
                self._fail_all(self._unreachable(event[2]))
            else:
                self._answered(kind, event)
        self.turns.wake_served()

    def _answered(self, kind: int, event: tuple[Any, ...]) -> None:
        request = self._requests.pop(event[1], None)
        if request is None:
            return
        if kind == EVENT_STORED:
            request._outcome = True
        elif kind == EVENT_DATA:
            request._outcome = event[2]
        elif kind == EVENT_MISSING:
            request._outcome = MissingObjects(
                "An object is not in object storage any more.\n"
                f"  where: object {request.hash.hex()} ({request.size} bytes)\n"
                "  to do: send it again; clear(), the end of the client that sent it and a restarted storage drop it"
            )
        elif kind == EVENT_STORE_ERROR:
            request._outcome = ObjectStorageException(
                f"Object storage did not take an object of {request.size} bytes: {event[3]}\n"
                f"  where: {self.endpoint.address}\n"
                "  to do: give it more memory or disk, or let go of results and references"
            )

    def idle(self) -> None:
        """Takes in what has come and does the link's timely work, if nobody else does."""
        with self.turns.lock:
            if not self.turns.reading and not self.turns.barred:
                self._read()

    def close(self) -> None:
        with self.turns.lock:
            if self._closed:
                return
            self._closed = True
            self._fail_all(self._unreachable("this client was closed"))
            self.turns.barred = True
            self.channel.detach()
            self.channel.wake()
            # What may still refer to the link holds no descriptors.
            del self.channel, self.turns.source
