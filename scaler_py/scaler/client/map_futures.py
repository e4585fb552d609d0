"""What `Client.map` returns: a sequence of futures, each made when it is first looked at."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from scaler.client.book import MapRun
from scaler.client.futures import ScalerFuture
from scaler.client.outcomes import Outcome, ReferenceValue

if TYPE_CHECKING:
    from scaler.client.conversation import Conversation

# Large values that `results` asks for ahead of the one that it opens, in bytes.
FETCHED_AHEAD_BYTES = 64 << 20


class MapFutures(Sequence[ScalerFuture]):
    """The futures of a map's elements, in order. Nothing here waits but `results`, `as_completed`, `progress`,
    `cancel`."""

    def __init__(self, conversation: Conversation, run: MapRun) -> None:
        self._conversation = conversation
        self._run = run

    def __len__(self) -> int:
        return self._run.count

    @overload
    def __getitem__(self, index: int) -> ScalerFuture: ...

    @overload
    def __getitem__(self, index: slice) -> list[ScalerFuture]: ...

    def __getitem__(self, index: int | slice) -> ScalerFuture | list[ScalerFuture]:
        if isinstance(index, slice):
            return [self._future(place) for place in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"element {index} of a map of {len(self)}")
        return self._future(place)

    def __iter__(self) -> Iterator[ScalerFuture]:
        return map(self._future, range(len(self)))

    def _future(self, index: int) -> ScalerFuture:
        run = self._run
        future = run.futures.get(index)
        if future is None:
            with self._conversation.lock:
                future = run.futures.get(index)
                if future is None:
                    future = run.futures[index] = ScalerFuture(self._conversation, run.first + index)
                    future._outcome = run.outcome_of(index)
        return future

    def __eq__(self, other: object) -> bool:
        """Equal to a sequence of the same futures, so an empty one to []. Never waits: values are not compared."""
        if isinstance(other, MapFutures):
            return self._run is other._run or not (len(self) or len(other))
        if isinstance(other, list | tuple):
            return len(self) == len(other) and all(
                isinstance(there, ScalerFuture) and here is there for here, there in zip(self, other, strict=True)
            )
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def done(self) -> bool:
        """Whether all elements are done."""
        if self._run._outcome is None:
            self._conversation.look()
        return self._run._outcome is not None

    def results(self, timeout: float | None = None) -> list[Any]:
        """All values, in order; raises the first failed element's exception, as soon as all before it are done.

        timeout: seconds; TimeoutError when not all are done by then."""
        deadline = None if timeout is None else time.monotonic() + timeout
        run = self._run
        values: list[Any] = []
        # What came and is not the next, by where it starts: opened in order, and while other elements still run.
        waiting: dict[int, tuple[int, Outcome]] = {}
        seen = at = 0
        large = _Ahead()
        while True:
            arrivals = run.arrivals[seen:]
            seen += len(arrivals)
            for start, end, outcome in arrivals:
                waiting[start] = end, outcome
                if isinstance(outcome, ReferenceValue):
                    large.add(outcome)
            while at in waiting:
                end, outcome = waiting.pop(at)
                if isinstance(outcome, ReferenceValue):
                    large.advance(outcome)
                values += outcome.values(run.first + at, run.first + end)
                at = end
            if run.closed and at >= run.count:
                return values
            left = None if deadline is None else deadline - time.monotonic()
            self._conversation.wait_for(_Reaches(run, at), left)

    def as_completed(self, timeout: float | None = None) -> Iterator[ScalerFuture]:
        """The futures, those that are done first first. timeout: seconds, for all of it."""
        deadline = None if timeout is None else time.monotonic() + timeout
        run = self._run
        seen = given = 0
        while given < run.count:
            if len(run.arrivals) <= seen:
                left = None if deadline is None else deadline - time.monotonic()
                self._conversation.wait_for(_Arrived(run, seen), left)
            start, end, _ = run.arrivals[seen]
            seen += 1
            given += end - start
            yield from map(self._future, range(start, end))

    def cancel(self, timeout: float | None = None) -> int:
        """Cancels what is not done, ending what runs, and waits for the answers: how many elements are cancelled.

        timeout: seconds; TimeoutError when there is no answer by then (the request stands)."""
        run = self._run
        if run.left:
            self._conversation.cancel(run.first, run.count)
            self._conversation.wait_for(run, timeout)
        return run.cancelled

    def progress(self, title: str = "") -> MapFutures:
        """Waits until all are done, showing how far they are on stderr (a bar in a terminal, lines elsewhere).

        Returns itself: `client.map(f, xs).progress().results()`. Failed elements do not end it."""
        from scaler.client.progress import show

        show(self, title)
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until all are done, `timeout` seconds at most: whether they are."""
        try:
            self._conversation.wait_for(self._run, timeout)
        except TimeoutError:
            return False
        return True

    @property
    def done_count(self) -> int:
        """Elements that are done, as far as results were taken in."""
        return self._run.count - self._run.left

    @property
    def failed_count(self) -> int:
        """Elements among `done_count` that raised, or were cancelled."""
        with self._conversation.lock:
            return sum(end - start for start, end, outcome in self._run.arrivals if outcome.failed)

    def __repr__(self) -> str:
        return f"<MapFutures of {len(self)} elements, {self.done_count} done>"


class _Reaches:
    """For waiting: the element at `index` is done."""

    def __init__(self, run: MapRun, index: int) -> None:
        self._run = run
        self._index = index

    @property
    def _outcome(self) -> bool | None:
        return True if self._run.prefix > self._index else self._run._outcome


class _Arrived:
    """For waiting: more than `seen` ranges have an outcome."""

    def __init__(self, run: MapRun, seen: int) -> None:
        self._run = run
        self._seen = seen

    @property
    def _outcome(self) -> bool | None:
        return True if len(self._run.arrivals) > self._seen else None


class _Ahead:
    """Asks for large values a while before they are opened."""

    def __init__(self) -> None:
        self._waiting: deque[ReferenceValue] = deque()
        self._asked: set[ReferenceValue] = set()
        self._bytes = 0

    def add(self, value: ReferenceValue) -> None:
        self._waiting.append(value)

    def advance(self, opened: ReferenceValue) -> None:
        """`opened` is opened next."""
        while self._waiting and self._bytes <= FETCHED_AHEAD_BYTES:
            value = self._waiting.popleft()
            if not value.is_open:
                value.start()
                self._asked.add(value)
                self._bytes += value.size
        if opened in self._asked:
            self._asked.remove(opened)
            self._bytes -= opened.size
