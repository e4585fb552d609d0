"""Running a chunk: elements of one block through one function, results sent in slices."""

from __future__ import annotations

import os
from itertools import pairwise
from time import perf_counter_ns

from scaler._core import FORM_LIST, FORM_REFERENCE, FORM_TABLE, ExecutorPort, Steps, table_ends
from scaler.errors import TaskError
from scaler.node.calls import fault_of_arguments, packed_applier, plain_applier, undecodable
from scaler.node.functions import Functions
from scaler.node.inputs import Values, by_element, taking_applier
from scaler.node.interrupts import Interrupts, TaskCancelled
from scaler.node.objects import Objects
from scaler.node.outbox import Outbox
from scaler.node.streaming import Streaming
from scaler.packing import LEAST_BUFFERS_BYTES, loads

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from scaler.node.calls import Applier
    from scaler.node.inputs import Taken
    from scaler.node.nest import Nest

# Values that are there travel after this time, while the chunk goes on.
SLICE_US = 5_000


class Block:
    """A block of arguments, kept for the chunks that come of it one after the other."""

    def __init__(self, form: int, count: int, payload: bytes) -> None:
        self.packed = form != FORM_LIST
        # None of the elements given last can be a container of buffers.
        self.small = False
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
            payload, ends = self._payload, self._ends[skip : skip + take + 1]
            blobs = [payload[start:end] for start, end in pairwise(ends)]
        else:
            blobs = [objects.named_by(self._payload) if self._form == FORM_REFERENCE else self._payload]
        self.small = max(map(len, blobs)) < LEAST_BUFFERS_BYTES
        return blobs


class Chunks:
    """Runs chunks, one at a time. `position` tells what runs, for whoever labels output."""

    def __init__(
        self, port: ExecutorPort, outbox: Outbox, interrupts: Interrupts, objects: Objects, streaming: Streaming
    ) -> None:
        self.functions = Functions()
        self._streaming = streaming
        self._port = port
        self._outbox = outbox
        self._interrupts = interrupts
        self._objects = objects
        self._block: Block | None = None
        self.values = Values(objects)
        # What elements of the chunk that runs take of these.
        self._taken: Taken | None = None
        self._forked = False
        os.register_at_fork(after_in_child=self._after_fork)
        self._session = self._first = 0
        # Depth of nesting of the tasks that run, and their priority.
        self.place = (0, 0)
        self.nest: Nest | None = None

    def _after_fork(self) -> None:
        self._forked = True

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
        place: tuple[int, int],
        inputs: list[tuple[int, int, int]] | None = None,
    ) -> None:
        """Arguments as in the order that `ExecutorPort.receive` gives."""
        self._session, self._first, self.place = session, first, place
        self._interrupts.hit = -1
        self._taken = None if inputs is None else by_element(inputs)
        started = perf_counter_ns()
        if payload is not None:
            self._block = Block(form, block_count, payload)
        block = self._block
        assert block is not None, "the first chunk of an executor comes with its block"
        elements, obstacle = self._elements(block, skip, take)
        if inputs is not None:
            elements = list(enumerate(elements))
        loaded = self.functions.loaded(function)
        if take == 1 and loaded is not None and obstacle is None:
            self._run_alone(chunk, self._applier_of(loaded, style, block), elements, function, block, started)
            return
        index = 0
        while index < take:
            apply = self._applier(function, style, block, obstacle)
            steps = self._port.steps(chunk, index, elements, index, SLICE_US)
            values = self._outbox.open(chunk, index)
            error = self._attempt(apply, steps, values)
            if self._forked:
                os._exit(1)  # a copy that a task forked and let return: it has no say here
            if self._streaming.sessions:
                self._streaming.finish()
            self._outbox.close()
            begin, index = index, index + len(values)
            values.clear()  # they may be large, and the next ones come before this name is theirs
            if index < steps.next:
                self._report(chunk, index, error, function, self._blob(elements[index], block))
                index += 1
            elif index == begin:
                break  # revoked before the first
            error = None  # its frames keep the user's objects alive
        self._port.end(chunk, index, (perf_counter_ns() - started) // 1000)

    def _run_alone(
        self, chunk: int, apply: Applier, elements: list[Any], function: bytes, block: Block, started: int
    ) -> None:
        """A chunk of one element, as a caller sends it who waits for each: there is nothing to flush meanwhile."""
        steps = self._port.steps(chunk, 0, elements, 0, SLICE_US)
        values: list[Any] = []
        error = self._attempt(apply, steps, values)
        if self._forked:
            os._exit(1)
        if self._streaming.sessions:
            self._streaming.finish()
        busy_us = (perf_counter_ns() - started) // 1000
        if values:
            self._outbox.alone(chunk, values, busy_us)
            return
        if steps.next:
            self._report(chunk, 0, error, function, self._blob(elements[0], block))
        self._port.end(chunk, steps.next, busy_us)

    def _blob(self, element: Any, block: Block) -> bytes | None:
        """The packed arguments, for who looks for what is wrong with them; known already where they take values."""
        return element if block.packed and self._taken is None else None

    def _elements(self, block: Block, skip: int, take: int) -> tuple[list[Any], Exception | None]:
        try:
            return block.elements(skip, take, self._objects), None
        except TaskError as error:
            return [None] * take, error
        except Exception as error:
            return [None] * take, undecodable(error)

    def _applier(self, function: bytes, style: int, block: Block, obstacle: Exception | None) -> Applier:
        if obstacle is not None:
            return _failing(obstacle)
        loaded = self.functions.loaded(function)
        if loaded is not None:
            return self._applier_of(loaded, style, block)

        def load_and_apply(elements: Iterable[Any], results: list[Any]) -> None:
            # One element only, which owns whatever the loading does; the next slice has the function at hand.
            for element in elements:
                apply = self._applier_of(self.functions.load(function), style, block)
                # What the function's module imports may take as long as the element may, and then the element again.
                self._port.restart_clock()
                return apply((element,), results)

        return load_and_apply

    def _applier_of(self, function: Callable[..., Any], style: int, block: Block) -> Applier:
        if self._taken is not None:
            return taking_applier(function, style, self.values, self._taken, self._objects)
        if block.packed:
            return packed_applier(function, style, block.small, self._objects)
        return plain_applier(function, style)

    def _attempt(self, apply: Applier, steps: Steps, values: list[Any]) -> BaseException | None:
        """Appends the results to `values` until the slice ends or an element raises."""
        self._interrupts.running = steps
        try:
            apply(steps, values)
            self._interrupts.running = None
        except BaseException as error:
            # First of all, so that no signal's handler raises in here.
            self._interrupts.running = None
            return error
        finally:
            if self.nest is not None and self.nest.has_clients and not self._forked:
                self.nest.end_task()
        return None

    def _report(self, chunk: int, index: int, error: BaseException | None, function: bytes, blob: bytes | None) -> None:
        """An element that started and has no value. blob: its arguments, where they were packed."""
        if error is None:
            # Where unpickling the arguments, or a builtin function, raised it, `map` took it for its own end.
            error = StopIteration()
        if isinstance(error, TaskCancelled) or self._interrupts.hit == index:
            self._outbox.cancelled(chunk, index)
            return
        if blob is not None and not isinstance(error, TaskError):
            error = fault_of_arguments(blob, self.functions.loaded(function), error) or error
        self._outbox.exception(chunk, index, error)


def _failing(error: Exception) -> Applier:
    def fail(elements: Iterable[Any], results: list[Any]) -> None:
        for _ in elements:
            raise error

    return fail
