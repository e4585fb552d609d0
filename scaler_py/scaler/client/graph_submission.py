"""A graph on its way out: all of its tasks at once, so that no value comes before who takes it is known."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from scaler._core import Options, SharedBytes
from scaler.client.calls import object_uses, pack_positional, references_among
from scaler.client.conversation import Conversation
from scaler.client.functions import Function
from scaler.client.futures import ScalerFuture
from scaler.client.graph import Call, Key, Plan, read
from scaler.client.graph_run import GraphRun
from scaler.client.needs import Needs
from scaler.client.objects import Stored
from scaler.client.outcomes import CANCELLED, Outcome
from scaler.client.serializer import Seal, seal_arguments
from scaler.errors import PackingError
from scaler.inputs import Input
from scaler.packing import ObjectReference, dumps_arguments

# Added to the number of those that take a value which the client wants, too.
WANTED = 1 << 31
_SMALL = (int, float, bool, type(None))


class Element(NamedTuple):
    """One task, packed. needs: sequence numbers."""

    function: Function
    blob: bytes | SharedBytes
    needs: list[int]
    objects: list[tuple[int, int, bytes, int]]
    uses: int
    stored: Stored | None


class Failed(Exception):
    """A future in the graph had failed before."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class GraphSubmission:
    """function_of: serialises a callable. options_of: of a function's tasks. store: puts bytes into object storage."""

    def __init__(
        self,
        conversation: Conversation,
        graph: Mapping[Key, Any],
        keys: Sequence[Key],
        function_of: Callable[[Callable[..., Any]], Function],
        options_of: Callable[[Function], Options],
        inline_limit: int,
        seal: Seal | None,
    ) -> None:
        self._conversation = conversation
        self._function_of = function_of
        self._options_of = options_of
        self._inline_limit = inline_limit
        self._seal = seal
        self.keys = keys
        self.plan: Plan = read(graph, keys)
        self._places = {call.key: place for place, call in enumerate(self.plan.calls)}
        # Blobs of calls that take nothing but values, by how many.
        self._pure: dict[int, bytes] = {}
        self._shared: dict[Key, Any] = {}
        self._data_users: dict[Key, int] = {}

    def send(self) -> dict[Key, ScalerFuture | Any]:
        """By key: a future, or the value of what is data. PackingError names the node."""
        plan, conversation = self.plan, self._conversation
        wanted = sorted({self._places[key] for key in map(plan.resolved, self.keys) if key in self._places})
        if not plan.calls:
            return {key: plan.data[plan.resolved(key)] for key in self.keys}
        self._count_data_users()
        with conversation.lock:
            conversation.check_open()
            conversation.hand_over()
            run = conversation.book.graph_run(conversation, [call.key for call in plan.calls], wanted)
        futures = dict(run.pending)
        try:
            while gone := self._submit(run, *self._elements(run.first, wanted)):
                for future in gone:
                    conversation.wait_for(future, None)
        except Failed as failed:
            self._end(run, failed.outcome)
        except BaseException:
            self._end(run, CANCELLED)
            raise
        by_place = {key: self._places.get(plan.resolved(key)) for key in self.keys}
        return {
            key: plan.data[plan.resolved(key)] if place is None else futures[place] for key, place in by_place.items()
        }

    def _submit(self, run: GraphRun, elements: list[Element], outside: dict[int, ScalerFuture]) -> list[ScalerFuture]:
        """Futures of before whose outcome is here already: then nothing was submitted, and it is to be packed anew."""
        conversation = self._conversation
        with conversation.lock:
            conversation.check_open()
            conversation.hand_over()
            for function in {id(element.function): element.function for element in elements}.values():
                conversation.tell(function)
                function.used = True
            channel = conversation.channel
            parts = parts_of(elements, run.first, self._options_of)
            gone = channel.submit_parts(parts, run.first)
            if gone:
                return [outside[sequence] for sequence in gone]
            stored = [(run.first + at, it.stored) for at, it in enumerate(elements) if it.stored is not None]
            run.stored.update(stored)
            conversation.leave()
        return []

    def _end(self, run: GraphRun, outcome: Outcome) -> None:
        conversation = self._conversation
        with conversation.lock:
            conversation.book.resolve(run.first, run.reserved, outcome, (), conversation.settle)
            conversation.turns.wake_served()

    def _count_data_users(self) -> None:
        data = self.plan.data
        for call in self.plan.calls:
            for need in call.needs:
                if need in data:
                    self._data_users[need] = self._data_users.get(need, 0) + 1

    def _elements(self, first: int, wanted: list[int]) -> tuple[list[Element], dict[int, ScalerFuture]]:
        """All of them in order; and the futures of before that they take, by sequence number."""
        calls, places = self.plan.calls, self._places
        uses = [0] * len(calls)
        for call in calls:
            for need in call.needs:
                place = places.get(need)
                if place is not None:
                    uses[place] += 1
        for place in wanted:
            if uses[place]:
                uses[place] |= WANTED
        outside: dict[int, ScalerFuture] = {}
        elements = []
        for call, taken in zip(calls, uses, strict=True):
            elements.append(self._element(call, first, taken, outside))
        return elements, outside

    def _element(self, call: Call, first: int, uses: int, outside: dict[int, ScalerFuture]) -> Element:
        function, places, data = self._function_of(call.function), self._places, self.plan.data
        plain = data.keys().isdisjoint(call.needs) if data else True
        if call.pure and plain and function.stored is None:
            count = len(call.needs)
            pure = self._pure.get(count)
            if pure is None:
                pure = self._pure[count] = pickle.dumps(call.args, 5)
            return Element(function, pure, [first + places[need] for need in call.needs], [], uses, None)
        args, keys = call.args, call.needs
        if not plain:
            args, keys = self._with_data(call)
        if function.stored is not None:
            args = (function.stored, *args)
        references = references_among(args)
        if self._seal is not None:
            args = seal_arguments(self._seal, args)
        needs = Needs(self._conversation, self._seal, len(keys))
        try:
            with needs:
                blob = pack_positional(args)
        except PackingError as error:
            text = f"node {call.key!r}: {error}"
            raise PackingError(text, path=error.path) from error.__cause__
        if needs.failed is not None:
            raise Failed(needs.failed[1])
        outside.update((future._sequence, future) for future in needs.futures)
        sequences = [first + places[key] for key in keys] + [future._sequence for future in needs.futures]
        objects, stored = object_uses(0, references), None
        if len(blob) > self._inline_limit:
            stored = self._conversation.objects.put_arguments(blob)
            objects.append(stored.use(0))
        return Element(function, blob, sequences, objects, uses, stored)

    def _with_data(self, call: Call) -> tuple[tuple[Any, ...], list[Key]]:
        """Data in the places of the keys that name it; the needs that are left, numbered anew."""
        keys: list[Key] = []
        values: list[Any] = []
        for need in call.needs:
            if need in self.plan.data:
                values.append(self._datum(need))
            else:
                values.append(Input(len(keys)))
                keys.append(need)
        return tuple([_replaced(argument, values) for argument in call.args]), keys

    def _datum(self, key: Key) -> Any:
        """A value that several take is stored once where it is large."""
        value = self.plan.data[key]
        if type(value) in _SMALL or isinstance(value, ObjectReference | ScalerFuture):
            return value
        if self._data_users.get(key, 0) < 2:
            return value
        if key not in self._shared:
            self._shared[key] = value
            if self._seal is None:
                packed = dumps_arguments(value)
                if len(packed) > self._inline_limit:
                    self._shared[key] = self._conversation.objects.store(packed, f"node {key!r}")
        return self._shared[key]


def _replaced(argument: Any, values: list[Any]) -> Any:
    from scaler.expressions import Expression

    if type(argument) is Input:
        return values[argument.position]
    if type(argument) is list:
        return [_replaced(entry, values) for entry in argument]
    if type(argument) is Expression:
        return Expression(argument.function, tuple([_replaced(entry, values) for entry in argument.args]))
    return argument


def parts_of(elements: list[Element], first: int, options_of: Callable[[Function], Options]) -> list[tuple[Any, ...]]:
    """For Channel.submit_parts: neighbours of one function are one part; arguments in storage are alone."""
    parts: list[tuple[Any, ...]] = []
    at = 0
    while at < len(elements):
        function = elements[at].function
        end = at + 1
        if elements[at].stored is None:
            while end < len(elements) and elements[end].function is function and elements[end].stored is None:
                end += 1
        parts.append(_part(elements[at:end], first + at, options_of(function)))
        at = end
    return parts


def _part(elements: list[Element], first: int, options: Options) -> tuple[Any, ...]:
    needs: list[int] = []
    objects: list[tuple[int, int, bytes, int]] = []
    for offset, element in enumerate(elements):
        for on in element.needs:
            needs += offset, on
        objects += [(offset, owner, name, size) for _, owner, name, size in element.objects]
    uses = [element.uses for element in elements]
    stored = elements[0].stored
    blocks, blobs = [], [element.blob for element in elements]
    if stored is not None:
        blocks, blobs = [stored.block], []
    return elements[0].function.id, options, first, blocks, blobs, objects, needs, uses if any(uses) else []
