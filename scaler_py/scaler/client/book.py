"""Which elements wait for an outcome: runs of neighbouring sequence numbers.

A submitted task has a future from the start; some 1,024 neighbours are a `TaskRun`, a list of futures. A map's
elements have futures only where someone asked: a `MapRun` keeps its outcomes as they come, in ranges. So a batch of
results costs a look-up a run and an attribute a future. Everything here is guarded by the client's lock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from scaler.client.futures import ScalerFuture
from scaler.client.objects import Stored
from scaler.client.outcomes import Outcome

if TYPE_CHECKING:
    from scaler.client.conversation import Conversation
    from scaler.client.graph import Key
    from scaler.client.graph_run import GraphRun

# Futures in one run of tasks: what the slowest of them keeps from being forgotten is this long a list.
TASKS_A_RUN = 1024

# Told for each future that someone may have looked at by the library's means.
Settle = Callable[[ScalerFuture, Outcome], None]


class TaskRun:
    """Tasks `first .. first + len(futures)`; those with an outcome are None."""

    __slots__ = ("__weakref__", "done", "first", "futures", "stored")

    def __init__(self, first: int) -> None:
        self.first = first
        self.futures: list[ScalerFuture | None] = []
        self.done = 0
        # Arguments that lie in storage, of tasks that have no outcome, by sequence number.
        self.stored: dict[int, Stored] = {}

    @property
    def left(self) -> int:
        return len(self.futures) - self.done

    @property
    def end(self) -> int:
        return self.first + len(self.futures)

    @property
    def _outcome(self) -> bool | None:
        """For waiting: whether all that were submitted have an outcome."""
        return None if self.left else True

    def resolve(self, start: int, end: int, outcome: Outcome, settle: Settle | None) -> int:
        """Elements `start .. end` (sequence numbers) have this outcome, but for those that had one before.

        Returns how many had none."""
        if self.stored:
            _let_go(self.stored, start, end)
        at, upto = start - self.first, end - self.first
        if end - start == 1:
            return self._resolve_one(at, outcome, settle)
        futures = self.futures[at:upto]
        self.futures[at:upto] = [None] * len(futures)
        for future in futures:
            if future is not None:
                if settle is None:
                    future._outcome = outcome
                else:
                    settle(future, outcome)
        count = len(futures) - futures.count(None)
        self.done += count
        return count

    def _resolve_one(self, at: int, outcome: Outcome, settle: Settle | None) -> int:
        future = self.futures[at]
        if future is None:
            return 0
        self.futures[at] = None
        self.done += 1
        if settle is None:
            future._outcome = outcome
        else:
            settle(future, outcome)
        return 1

    def unfinished(self) -> Iterator[tuple[int, int]]:
        for offset, future in enumerate(self.futures):
            if future is not None:
                yield self.first + offset, self.first + offset + 1


class MapRun:
    """A map's elements, numbered from `first`; `count` grows while they are submitted, until `closed`."""

    def __init__(self, first: int, reserved: int) -> None:
        self.first = first
        self.reserved = reserved
        self.count = 0
        self.left = 0
        self.closed = False
        self.cancelled = 0
        # Ranges with an outcome, by index, in the order in which they came.
        self.arrivals: list[tuple[int, int, Outcome]] = []
        # The same as (start, place in `arrivals`), sorted when somebody asks and something came since.
        self._by_start: list[tuple[int, int]] = []
        self._sorted = 0
        self.futures: dict[int, ScalerFuture] = {}
        self.stored: dict[int, Stored] = {}
        # All elements below `prefix` have an outcome.
        self.prefix = 0
        self._ends: dict[int, int] = {}

    @property
    def end(self) -> int:
        return self.first + self.reserved

    @property
    def _outcome(self) -> bool | None:
        """For waiting: whether all elements are submitted and have an outcome."""
        return True if self.closed and not self.left else None

    def add(self, count: int) -> None:
        self.count += count
        self.left += count

    def resolve(self, start: int, end: int, outcome: Outcome, settle: Settle | None) -> int:
        """Elements `start .. end` (sequence numbers) have this outcome; all without one before. Returns how many."""
        if self.stored:
            _let_go(self.stored, start, end)
        at, upto = start - self.first, end - self.first
        self._by_start.append((at, len(self.arrivals)))
        self.arrivals.append((at, upto, outcome))
        self.left -= upto - at
        self._ends[at] = upto
        while self.prefix in self._ends:
            self.prefix = self._ends.pop(self.prefix)
        if outcome.cancelled:
            self.cancelled += upto - at
        if self.futures:
            self._resolve_futures(at, upto, outcome, settle)
        return upto - at

    def _resolve_futures(self, at: int, upto: int, outcome: Outcome, settle: Settle | None) -> None:
        if upto - at < len(self.futures):
            asked = [self.futures[index] for index in range(at, upto) if index in self.futures]
        else:
            asked = [future for index, future in self.futures.items() if at <= index < upto]
        for future in asked:
            if settle is None:
                future._outcome = outcome
            else:
                settle(future, outcome)

    def outcome_of(self, index: int) -> Outcome | None:
        """None while there is none."""
        if self._sorted < len(self._by_start):
            self._by_start.sort()
            self._sorted = len(self._by_start)
        place = bisect_right(self._by_start, (index, len(self.arrivals))) - 1
        if place < 0:
            return None
        at, upto, outcome = self.arrivals[self._by_start[place][1]]
        return outcome if at <= index < upto else None

    def name_of(self, sequence: int) -> str | None:
        """What names an element for its user."""
        return None

    def unfinished(self) -> Iterator[tuple[int, int]]:
        at = 0
        for start, end, _ in sorted(self.arrivals, key=lambda arrival: arrival[0]):
            if at < start:
                yield self.first + at, self.first + start
            at = end
        if at < self.count:
            yield self.first + at, self.first + self.count


def _let_go(stored: dict[int, Stored], start: int, end: int) -> None:
    if end - start < len(stored):
        for sequence in range(start, end):
            stored.pop(sequence, None)
    else:
        for sequence in [sequence for sequence in stored if start <= sequence < end]:
            del stored[sequence]


class Book:
    """All runs of a client, by their first sequence number."""

    def __init__(self) -> None:
        # The number of the task or element that comes next, while no run is open.
        self._next = 0
        # Numbers below `next` that no element has (yet): a map reserves them.
        self._unused = 0
        self._finished = 0
        self._runs: list[TaskRun | MapRun] = []
        self._starts: list[int] = []
        self._open: TaskRun | None = None

    @property
    def next(self) -> int:
        """The number of the task or element that comes next."""
        return self._next if self._open is None else self._open.end

    @property
    def unfinished(self) -> int:
        return self.next - self._unused - self._finished

    def task_run(self) -> TaskRun:
        """The run to whose futures the next task is to be appended, and some hundred after it."""
        run = self._open
        if run is None or len(run.futures) >= TASKS_A_RUN:
            self._shut()
            run = self._open = TaskRun(self._next)
            self._enter(run)
        return run

    def add_task(self, future: ScalerFuture, stored: Stored | None = None) -> int:
        """Its number. stored: its arguments, where they lie in storage: kept until it has an outcome."""
        run = self.task_run()
        sequence = run.end
        run.futures.append(future)
        if stored is not None:
            run.stored[sequence] = stored
        return sequence

    def replace(self, future: ScalerFuture) -> None:
        """Puts the future in the place of the one that its task has, which is without an outcome."""
        run = self._runs[bisect_right(self._starts, future._sequence) - 1]
        assert isinstance(run, TaskRun)
        run.futures[future._sequence - run.first] = future

    def users(self, stored: Stored) -> list[int]:
        """Submitted tasks without an outcome that have these arguments."""
        runs = [run for run in self._runs if isinstance(run, TaskRun)]
        return [sequence for run in runs for sequence, its in run.stored.items() if its is stored]

    def add_elements(self, run: MapRun, count: int) -> None:
        """The next elements of a map."""
        run.add(count)
        self._unused -= count

    def _shut(self) -> None:
        """No more tasks enter the open run."""
        run, self._open = self._open, None
        if run is not None:
            self._next = run.end
            self._forget(run)

    def map_run(self, count: int) -> MapRun:
        """Reserves so many numbers."""
        self._shut()
        run = MapRun(self._next, count)
        self._next += count
        self._unused += count
        self._enter(run)
        return run

    def graph_run(self, conversation: Conversation, keys: list[Key], wanted: list[int]) -> GraphRun:
        """Numbers for a graph's tasks, those at the offsets `wanted` with futures."""
        from scaler.client.graph_run import GraphRun

        self._shut()
        run = GraphRun(conversation, self._next, keys, wanted)
        self._next += len(keys)
        self._unused += len(keys) - len(wanted)
        run.add(len(wanted))
        run.closed = True
        self._enter(run)
        return run

    def key_of(self, sequence: int) -> str | None:
        """What names a graph's task for its user."""
        place = bisect_right(self._starts, sequence) - 1
        run = self._runs[place] if place >= 0 else None
        return None if run is None or not isinstance(run, MapRun) else run.name_of(sequence)

    def _enter(self, run: TaskRun | MapRun) -> None:
        self._runs.append(run)
        self._starts.append(run.first)

    def close(self, run: MapRun) -> None:
        """All its elements are submitted."""
        run.closed = True
        self._forget(run)

    def resolve(
        self, first: int, count: int, outcome: Outcome, excepted: Sequence[int] = (), settle: Settle | None = None
    ) -> None:
        """Elements `first .. first + count` have this outcome, but those at the offsets `excepted`, which had one."""
        at = first
        for offset in excepted:
            self._resolve_all(at, first + offset, outcome, settle)
            at = first + offset + 1
        self._resolve_all(at, first + count, outcome, settle)

    def _resolve_all(self, start: int, end: int, outcome: Outcome, settle: Settle | None) -> None:
        while start < end:
            run: TaskRun | MapRun | None = self._open
            if run is None or start < run.first:
                place = bisect_right(self._starts, start) - 1
                run = self._runs[place] if place >= 0 else None
            if run is None or start >= run.end:
                return  # not ours: the core hands out each outcome once, so this is nobody's
            upto = min(end, run.end)
            self._finished += run.resolve(start, upto, outcome, settle)
            if run is not self._open:
                self._forget(run)
            start = upto

    def _forget(self, run: TaskRun | MapRun) -> None:
        if run.left or run is self._open or (isinstance(run, MapRun) and not run.closed):
            return
        place = bisect_right(self._starts, run.first) - 1
        if place >= 0 and self._runs[place] is run:
            del self._runs[place], self._starts[place]

    def all_unfinished(self) -> list[tuple[int, int]]:
        """(start, end) of every range without an outcome."""
        return [part for run in self._runs for part in run.unfinished()]

    def pending_runs(self) -> list[TaskRun | MapRun]:
        """Those with unfinished elements. New tasks go into others."""
        self._shut()
        return [run for run in self._runs if run.left]
