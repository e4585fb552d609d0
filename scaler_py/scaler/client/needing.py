"""Submitting one task that takes the values of futures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from scaler._core import Options
from scaler.client.conversation import Conversation
from scaler.client.functions import Function
from scaler.client.futures import ScalerFuture
from scaler.client.needs import Needs
from scaler.client.objects import Stored
from scaler.client.outcomes import KnownError, Outcome


class Packed(NamedTuple):
    """block: (count, form, payload). objects: as for Channel.submit_blocks."""

    needs: Needs
    block: tuple[int, int, bytes]
    objects: list[tuple[int, int, bytes, int]]
    stored: Stored | None


def submit_needing(
    conversation: Conversation, function: Function, options: Options, pack: Callable[[], Packed]
) -> ScalerFuture:
    """pack: pickles the arguments; again, where a value came in the meantime and is here to be pickled with them."""
    while True:
        packed = pack()
        if packed.needs.failed is not None:
            return _ended(conversation, packed.needs.failed[1])
        future, gone = _submit(conversation, function, options, packed)
        if not gone:
            return future
        for needed in gone:
            conversation.wait_for(needed, None)


def _ended(conversation: Conversation, outcome: Outcome) -> ScalerFuture:
    """A task that is not submitted: what it needs failed before."""
    future = ScalerFuture(conversation, 0)
    with conversation.lock:
        conversation.check_open()
        conversation.hand_over()
        future._sequence = conversation.book.add_task(future)
        conversation.book.resolve(future._sequence, 1, outcome, (), conversation.settle)
    return future


def _submit(
    conversation: Conversation, function: Function, options: Options, packed: Packed
) -> tuple[ScalerFuture, list[ScalerFuture]]:
    """The task's future; or, where these have their outcome already, nothing was submitted."""
    future = ScalerFuture(conversation, 0)
    with conversation.lock:
        conversation.check_open()
        conversation.hand_over()
        stored = packed.stored
        if stored is not None and isinstance(stored.request._outcome, Exception):
            future._sequence = conversation.book.add_task(future)
            conversation.book.resolve(future._sequence, 1, KnownError(stored.request._outcome), (), conversation.settle)
            return future, []
        conversation.tell(function)
        function.used = True
        sequence = conversation.book.next
        needs = [number for needed in packed.needs.futures for number in (0, needed._sequence)]
        part: tuple[Any, ...] = (function.id, options, sequence, [packed.block], [], packed.objects, needs, [])
        gone = set(conversation.channel.submit_parts([part], sequence))
        if gone:
            return future, [needed for needed in packed.needs.futures if needed._sequence in gone]
        future._sequence = conversation.book.add_task(future, stored)
        conversation.waits_for_credit = not conversation.channel.credit
        conversation.write()
        if conversation.waits_for_credit:
            conversation.wait_for_room()
    return future, []
