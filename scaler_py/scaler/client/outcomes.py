"""How elements ended. One outcome may be that of many elements, which are known by their sequence numbers.

Payloads are opened when a value is first asked for, in the thread that asks and outside the client's lock; opened
twice at the same moment, both threads get the object of the first.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from scaler._core import (
    FORM_LIST,
    FORM_REFERENCE,
    FORM_SINGLE,
    FORM_TABLE,
    OUTCOME_CANCELLED,
    OUTCOME_EXCEPTION,
    SharedBytes,
)
from scaler.client.ahead import Ahead
from scaler.client.failures import Failure, failure_error
from scaler.client.object_link import Request
from scaler.exception_packing import profile_in
from scaler.measured import Measured
from scaler.packing import loads, single_value, unpack_exception, unpickle

if TYPE_CHECKING:
    from scaler.measured import Profile


class Outcome(Protocol):
    """Of elements `first .. first + count`."""

    cancelled: bool
    # Seconds that a worker spent on each of the elements, on average.
    duration: float

    def profile(self, sequence: int) -> Profile | None:
        """What was measured of the element for a client that profiles. May open, and fetch, its value."""

    @property
    def failed(self) -> bool:
        """Whether `value` raises, as far as that is known without opening anything."""

    def value(self, sequence: int) -> Any:
        """Raises what the element raised."""

    def error(self, sequence: int) -> BaseException | None: ...

    def values(self, start: int, end: int) -> list[Any]:
        """Of the elements with these sequence numbers; raises the first error."""


class Fetcher(Protocol):
    """Brings large values from object storage."""

    # Values that nobody has opened yet.
    ahead: Ahead

    def hold_locked(self, hash: bytes, size: int) -> object:
        """With the client's lock: the object stays there while what is returned lives."""

    def start_fetch(self, session: int, hash: bytes, size: int) -> Request: ...

    def finish_fetch(self, request: Request) -> bytes | SharedBytes: ...


class _Value:
    """What has values, not errors."""

    cancelled = False
    failed = False
    duration = 0.0
    # Of the elements that were measured, once their values are open.
    profiles: dict[int, Profile] | None = None

    def value(self, sequence: int) -> Any:
        raise NotImplementedError

    def without_profile(self, sequence: int, value: Any) -> Any:
        if type(value) is not Measured:
            return value
        if self.profiles is None:
            self.profiles = {}
        self.profiles[sequence] = value.profile
        return value.value

    def profile(self, sequence: int) -> Profile | None:
        self.error(sequence)
        return None if self.profiles is None else self.profiles.get(sequence)

    def error(self, sequence: int) -> BaseException | None:
        """Where the value cannot be had here: asyncio's futures ask for `exception` before `result`, and would wait
        for ever if only the latter knew of it."""
        try:
            self.value(sequence)
        except Exception as error:
            return error
        return None

    def values(self, start: int, end: int) -> list[Any]:
        return [self.value(sequence) for sequence in range(start, end)]


class Known(_Value):
    """A value that was here before."""

    def __init__(self, known: Any) -> None:
        self.known = known

    def value(self, sequence: int) -> Any:
        return self.known


class SingleValue(_Value):
    def __init__(self, payload: bytes, duration: float = 0.0) -> None:
        self.payload: bytes | None = payload
        self.duration = duration
        # One value; or more for a moment, when threads opened it together, and then the first counts.
        self.opened: list[Any] = []

    def value(self, sequence: int) -> Any:
        opened = self.opened
        if not opened:
            payload = self.payload
            if payload is not None:
                value = unpickle(payload) if payload[0] else loads(payload)
                opened.append(self.without_profile(sequence, value) if type(value) is Measured else value)
                self.payload = None
        return opened[0]


class ListValues(_Value):
    """One pickle of a list, of immutable values: opened whole, once."""

    def __init__(self, first: int, payload: bytes) -> None:
        self.first = first
        self.payload: bytes | None = payload
        self.opened: list[Any] | None = None

    def open(self) -> list[Any]:
        payload = self.payload
        if self.opened is None and payload is not None:
            self.opened = loads(payload)
            self.payload = None
        assert self.opened is not None
        return self.opened

    def value(self, sequence: int) -> Any:
        return (self.opened or self.open())[sequence - self.first]

    def values(self, start: int, end: int) -> list[Any]:
        payload = self.payload
        # Not kept open, which would make a second list of all of a map's values.
        opened: list[Any] = self.open() if payload is None else loads(payload)
        return opened[start - self.first : end - self.first] if end - start < len(opened) else opened


class TableValues(_Value):
    """A pickle an element, each opened for itself."""

    def __init__(self, first: int, count: int, payload: bytes) -> None:
        self.first, self.count, self.payload = first, count, payload
        self.opened: dict[int, Any] = {}

    def value(self, sequence: int) -> Any:
        index = sequence - self.first
        if index not in self.opened:
            value = single_value(FORM_TABLE, self.payload, self.count, index)
            self.opened.setdefault(index, self.without_profile(sequence, value))
        return self.opened[index]

    def forget(self, sequence: int) -> None:
        """Nobody will ask for this element again: its neighbours must not keep its value."""
        self.opened.pop(sequence - self.first, None)


class ReferenceValue(_Value):
    """A value in object storage, held there until it was fetched or this is let go of. Made with the client's lock."""

    def __init__(self, payload: bytes, fetcher: Fetcher) -> None:
        self.fetcher = fetcher
        self.session = int.from_bytes(payload[:8], "little")
        self.hash = payload[8:24]
        self.size = int.from_bytes(payload[24:32], "little")
        self.handle: object = fetcher.hold_locked(self.hash, self.size)
        self.request: Request | None = None
        fetcher.ahead.add(self)

    @property
    def is_open(self) -> bool:
        return "opened" in self.__dict__

    def start(self) -> None:
        """Begins to fetch it, so that it is there when it is asked for."""
        if self.request is None and not self.is_open:
            self.request = self.fetcher.start_fetch(self.session, self.hash, self.size)

    def value(self, sequence: int) -> Any:
        opened = self.__dict__
        if "opened" not in opened:
            request = self.request = self.request or self.fetcher.start_fetch(self.session, self.hash, self.size)
            self.fetcher.ahead.start_some()
            value = loads(self.fetcher.finish_fetch(request))
            opened.setdefault("opened", self.without_profile(sequence, value))
            self.request = self.handle = None
        return opened["opened"]


class _Error:
    """What has errors, not values."""

    cancelled = False
    failed = True
    duration = 0.0

    def profile(self, sequence: int) -> Profile | None:
        return None

    def error(self, sequence: int) -> BaseException | None:
        raise NotImplementedError

    def value(self, sequence: int) -> Any:
        error = self.error(sequence)
        assert error is not None
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame

    def values(self, start: int, end: int) -> list[Any]:
        return [self.value(start)] if start < end else []


class RaisedException(_Error):
    """An exception of one task, as it was packed on the worker."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload

    def error(self, sequence: int) -> BaseException | None:
        opened = self.__dict__
        if "opened" not in opened:
            opened.setdefault("opened", unpack_exception(self.payload))
        error: BaseException = opened["opened"]
        return error

    def profile(self, sequence: int) -> Profile | None:
        profile: Profile | None = profile_in(self.payload)
        return profile


class KnownError(_Error):
    """An error of one element that was made here."""

    def __init__(self, exception: BaseException) -> None:
        self.exception = exception

    def error(self, sequence: int) -> BaseException | None:
        return self.exception


class Verdict(_Error):
    """An error of any number of elements: each gets an exception of its own."""

    def __init__(self, make: Callable[[], BaseException]) -> None:
        self.make = make
        self.made: dict[int, BaseException] = {}

    def error(self, sequence: int) -> BaseException | None:
        if sequence not in self.made:
            self.made.setdefault(sequence, self.make())
        return self.made[sequence]


class Fallen(_Error):
    """Of any number of elements, which need the value of one that has none. name: whose error it is, for its note."""

    def __init__(self, root: Outcome, sequence: int, name: str) -> None:
        self.root, self.sequence, self.name = root, sequence, name

    def error(self, sequence: int) -> BaseException | None:
        error = self.root.error(self.sequence)
        note = f"it was raised by {self.name}, whose value is needed here"
        if error is not None and note not in getattr(error, "__notes__", ()):
            error.add_note(note)
        return error


class Cancelled(_Error):
    cancelled = True

    def error(self, sequence: int) -> BaseException | None:
        raise concurrent.futures.CancelledError()


CANCELLED = Cancelled()


def make_outcome(
    first: int,
    count: int,
    kind: int,
    payload: bytes,
    failure: tuple[Any, ...] | None,
    busy_us: int,
    fetcher: Fetcher,
) -> Outcome:
    """From an EVENT_RESULTS."""
    outcome = _outcome(first, count, kind, payload, failure, fetcher)
    if busy_us:
        outcome.duration = busy_us / count / 1e6
    return outcome


def _outcome(
    first: int, count: int, kind: int, payload: bytes, failure: tuple[Any, ...] | None, fetcher: Fetcher
) -> Outcome:
    if kind == FORM_SINGLE:
        return SingleValue(payload)
    if kind == FORM_LIST:
        return ListValues(first, payload)
    if kind == FORM_TABLE:
        return TableValues(first, count, payload)
    if kind == FORM_REFERENCE:
        return ReferenceValue(payload, fetcher)
    if kind == OUTCOME_EXCEPTION:
        return RaisedException(payload)
    if kind == OUTCOME_CANCELLED:
        return CANCELLED
    assert failure is not None, "a failure that does not say which"
    told = Failure(*failure)
    return Verdict(lambda: failure_error(told))
