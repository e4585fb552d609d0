"""Running a chunk: elements of one block through one function, results sent in slices."""

from __future__ import annotations

import os
from itertools import pairwise
from time import perf_counter_ns

from scaler._core import FORM_LIST, FORM_REFERENCE, FORM_TABLE, ExecutorPort, Steps, table_ends
from scaler.errors import DeserializeObjectError
from scaler.node.calls import applier
from scaler.node.functions import Functions
from scaler.node.interrupts import Interrupts, TaskCancelled
from scaler.node.objects import Objects
from scaler.node.outbox import Outbox
from scaler.packing import loads

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from scaler.node.calls import Applier

# Values that are there travel after this time, while the chunk goes on.
SLICE_US = 5_000


class Block:
    """A block of arguments, kept for the chunks that come of it one after the other."""

    def __init__(self, form: int, count: int, payload: bytes) -> None:
        self.packed = form != FORM_LIST
        self._form = form
        self._payload = payload
        self._ends = table_ends(payload, count) if form == FORM_TABLE else []
        self._all: list[Any] | None = None

    def elements(self, skip: int, take: int, objects: Objects) -> list[Any]:
        """Arguments, or their bytes where the block is `packed`. Raises what unpickling does."""
        if self._form == FORM_LIST:
            if self._all is None:
                self._all = loads(self._payload)
            return self._all[skip : skip + take]
        if self._form == FORM_TABLE:
            ends = self._ends[skip : skip + take + 1]
            return [self._payload[start:end] for start, end in pairwise(ends)]
        return [objects.named_by(self._payload) if self._form == FORM_REFERENCE else self._payload]


class Chunks:
    """Runs chunks, one at a time. `position` tells what runs, for whoever labels output."""

    def __init__(self, port: ExecutorPort, outbox: Outbox, interrupts: Interrupts, objects: Objects) -> None:
        self.functions = Functions()
        self._port = port
        self._outbox = outbox
        self._interrupts = interrupts
        self._objects = objects
        self._block: Block | None = None
        self._pid = os.getpid()
        self._session = self._first = 0
        # Depth of nesting of the tasks that run.
        self.depth = 0

    @property
    def position(self) -> tuple[int, int] | None:
        """(session, sequence) of the element that runs."""
        running = self._interrupts.running
        return None if running is None else (self._session, self._first + running.index)

    def run(
        self,
        chunk: int,
        function: bytes,
        style: int,
        first: int,
        skip: int,
        take: int,
        block_count: int,
        form: int,
        payload: bytes | None,
        session: int,
        depth: int,
    ) -> None:
        """Arguments as in the order that `ExecutorPort.receive` gives."""
        self._session, self._first, self.depth = session, first, depth
        self._interrupts.hit = -1
        started = perf_counter_ns()
        if payload is not None:
            self._block = Block(form, block_count, payload)
        block = self._block
        assert block is not None, "the first chunk of an executor comes with its block"
        elements, obstacle = self._elements(block, skip, take)
        index = 0
        while index < take:
            apply = self._applier(function, style, block, obstacle)
            steps = self._port.steps(chunk, index, elements, index, SLICE_US)
            values = self._outbox.open(chunk, index)
            error = self._attempt(apply, steps, values)
            if os.getpid() != self._pid:
                os._exit(1)  # a copy that a task forked and let return: it has no say here
            self._outbox.close()
            index += len(values)
            if index < steps.next:
                self._report(chunk, index, error)
                index += 1
            elif not values:
                break  # revoked before the first
            error = None  # its frames keep the user's objects alive
        self._port.end(chunk, index, (perf_counter_ns() - started) // 1000)

    def _elements(self, block: Block, skip: int, take: int) -> tuple[list[Any], Exception | None]:
        try:
            return block.elements(skip, take, self._objects), None
        except DeserializeObjectError as error:
            return [None] * take, error
        except Exception as error:
            text = f"The arguments cannot be unpickled on the worker: {type(error).__name__}: {error}"
            return [None] * take, DeserializeObjectError(text)

    def _applier(self, function: bytes, style: int, block: Block, obstacle: Exception | None) -> Applier:
        if obstacle is not None:
            return _failing(obstacle)
        loaded = self.functions.loaded(function)
        if loaded is not None:
            return applier(loaded, style, block.packed, self._objects)

        def load_and_apply(elements: Iterable[Any]) -> Iterator[Any]:
            # One element only, which owns whatever the loading does; the next slice has the function at hand.
            for element in elements:
                apply = applier(self.functions.load(function), style, block.packed, self._objects)
                yield from apply((element,))
                return

        return load_and_apply

    def _attempt(self, apply: Applier, steps: Steps, values: list[Any]) -> BaseException | None:
        """Appends the results to `values` until the slice ends or an element raises."""
        self._interrupts.running = steps
        try:
            values.extend(apply(steps))
            self._interrupts.running = None
        except BaseException as error:
            # First of all, so that no signal's handler raises in here.
            self._interrupts.running = None
            return error
        return None

    def _report(self, chunk: int, index: int, error: BaseException | None) -> None:
        """An element that started and has no value."""
        if isinstance(error, TaskCancelled) or (error is not None and self._interrupts.hit == index):
            self._outbox.cancelled(chunk, index)
        else:
            # `map` takes a StopIteration of the function's for its own end.
            self._outbox.exception(chunk, index, StopIteration() if error is None else error)


def _failing(error: Exception) -> Applier:
    def fail(element: Any) -> Any:
        raise error

    return lambda elements: map(fail, elements)
