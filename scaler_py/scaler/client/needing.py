"""Submitting what takes the values of futures: one task, or one element of a map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from scaler._core import FORM_SINGLE, Options, SharedBytes
from scaler.client.book import MapRun
from scaler.client.conversation import Conversation
from scaler.client.functions import Function
from scaler.client.futures import ScalerFuture
from scaler.client.needs import Needs
from scaler.client.objects import Stored
from scaler.client.outcomes import KnownError, Outcome


class Packed(NamedTuple):
    """block: (count, form, payload). objects: as for Channel.submit_blocks."""

    needs: Needs
    block: tuple[int, int, bytes | SharedBytes]
    objects: list[tuple[int, int, bytes, int]]
    stored: Stored | None


class Place(Protocol):
    """Where the task goes in the book. Called with the client's lock."""

    @property
    def sequence(self) -> int: ...

    def enter(self, stored: Stored | None) -> None: ...


class TaskPlace:
    def __init__(self, conversation: Conversation) -> None:
        self._book = conversation.book
        self.future = ScalerFuture(conversation, 0)

    @property
    def sequence(self) -> int:
        return self._book.next

    def enter(self, stored: Stored | None) -> None:
        self.future._sequence = self._book.add_task(self.future, stored)


class ElementPlace:
    """The next of a map."""

    def __init__(self, conversation: Conversation, run: MapRun) -> None:
        self._book = conversation.book
        self._run = run

    @property
    def sequence(self) -> int:
        return self._run.first + self._run.count

    def enter(self, stored: Stored | None) -> None:
        if stored is not None:
            self._run.stored[self.sequence] = stored
        self._book.add_elements(self._run, 1)


def submit_needing(
    conversation: Conversation, function: Function, options: Options, pack: Callable[[], Packed], place: Place
) -> None:
    """pack: pickles the arguments; again, where a value came in the meantime and is here to be pickled with them."""
    while True:
        packed = pack()
        stored = packed.stored
        if packed.needs.failed is not None:
            return _end(conversation, place, packed.needs.failed[1])
        if stored is not None and isinstance(stored.request._outcome, Exception):
            return _end(conversation, place, KnownError(stored.request._outcome))
        gone = _submit(conversation, function, options, packed, place)
        if not gone:
            return None
        for needed in gone:
            conversation.wait_for(needed, None)


def _end(conversation: Conversation, place: Place, outcome: Outcome) -> None:
    """A task that is not submitted: it has its outcome."""
    with conversation.lock:
        conversation.check_open()
        conversation.hand_over()
        sequence = place.sequence
        place.enter(None)
        conversation.book.resolve(sequence, 1, outcome, (), conversation.settle)


def _submit(
    conversation: Conversation, function: Function, options: Options, packed: Packed, place: Place
) -> list[ScalerFuture]:
    """Those that have their outcome already: then nothing was submitted."""
    with conversation.lock:
        conversation.check_open()
        conversation.hand_over()
        conversation.tell(function)
        function.used = True
        sequence = place.sequence
        needs = [number for needed in packed.needs.futures for number in (0, needed._sequence)]
        part: tuple[Any, ...] = (function.id, options, sequence, [packed.block], [], packed.objects, needs, [])
        gone = set(conversation.channel.submit_parts([part], sequence))
        if gone:
            return [needed for needed in packed.needs.futures if needed._sequence in gone]
        place.enter(packed.stored)
        conversation.leave()
    return []


class Packer:
    """Packs the arguments of what takes values. pickle: what it gives is called while futures can be pickled."""

    def __init__(self, conversation: Conversation, needs: Callable[[], Needs], inline_limit: int) -> None:
        self._conversation = conversation
        self._needs = needs
        self._inline_limit = inline_limit

    def pack(self, pickle: Callable[[], bytes | SharedBytes], objects: list[tuple[int, int, bytes, int]]) -> Packed:
        with self._needs() as needs:
            blob = pickle()
        if len(blob) <= self._inline_limit:
            return Packed(needs, (1, FORM_SINGLE, blob), objects, None)
        stored = self._conversation.objects.put_arguments(blob)
        return Packed(needs, stored.block, [*objects, stored.use(0)], stored)
