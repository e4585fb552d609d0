"""Submitting a map: its elements, block by block, under back-pressure, in the caller's thread."""

from __future__ import annotations

import functools
import operator
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from scaler._core import Options, SharedBytes
from scaler.client.blocks import Block, BlockMaker, Needing, Unpacked
from scaler.client.book import MapRun
from scaler.client.calls import object_uses
from scaler.client.conversation import Conversation
from scaler.client.functions import Function
from scaler.client.futures import ScalerFuture
from scaler.client.needing import ElementPlace, Packer, submit_needing
from scaler.client.objects import Stored
from scaler.client.outcomes import KnownError
from scaler.packing import dumps_arguments

# A map of unknown length reserves so many numbers.
UNKNOWN_LENGTH = 1 << 36
# One message takes so many elements and bytes; also, so much large data is on its way to storage at once.
BATCH_ELEMENTS = 8192
BATCH_BYTES = 4 << 20


def length_of(iterables: tuple[Iterable[Any], ...]) -> int:
    """Elements of the shortest, as far as they tell; UNKNOWN_LENGTH where none does."""
    lengths = [operator.length_hint(iterable, UNKNOWN_LENGTH) for iterable in iterables if hasattr(iterable, "__len__")]
    return min(lengths, default=UNKNOWN_LENGTH)


class MapSubmission:
    """One map on its way out. inline_limit: bytes over which a single element goes to object storage."""

    def __init__(
        self,
        conversation: Conversation,
        run: MapRun,
        function: Function,
        options: Options,
        packer: Packer,
        inline_limit: int,
    ) -> None:
        self._conversation = conversation
        self._run = run
        self._function = function
        self._options = options
        self._packer = packer
        self._inline_limit = inline_limit
        self._clear()

    def _clear(self) -> None:
        self._blocks: list[tuple[int, int, bytes | SharedBytes]] = []
        self._objects: list[tuple[int, int, bytes, int]] = []
        # Elements of this batch that lie in storage, by offset.
        self._stored: list[tuple[int, Stored]] = []
        self._count = 0
        self._bytes = 0

    def send_all(self, blocks: BlockMaker) -> None:
        for block in blocks:
            if isinstance(block, Unpacked):
                self._send()
                self._conversation.fail_element(self._run, KnownError(block.error))
                continue
            if isinstance(block, Needing):
                self._send()
                self._send_needing(block)
                continue
            if self._count + block.count > BATCH_ELEMENTS or self._bytes + len(block.payload) > BATCH_BYTES:
                self._send()
            self._add(block)
            if self._conversation.channel.credit:
                self._send()
        self._send()

    def _send_needing(self, element: Needing) -> None:
        pickle = functools.partial(dumps_arguments, element.value)
        pack = functools.partial(self._packer.pack, pickle, object_uses(0, element.references))
        place = ElementPlace(self._conversation, self._run)
        submit_needing(self._conversation, self._function, self._options, pack, place)

    def _add(self, block: Block) -> None:
        for offset, reference in block.references:
            self._objects += object_uses(self._count + offset, [reference])
        if block.count == 1 and len(block.payload) > self._inline_limit:
            stored = self._conversation.objects.start_put(block.payload)
            self._stored.append((self._count, stored))
            self._blocks.append(stored.block)
            self._objects.append(stored.use(self._count))
        else:
            self._blocks.append((block.count, block.form, block.payload))
        self._count += block.count
        self._bytes += len(block.payload)

    def _send(self) -> None:
        if self._blocks:
            for _, stored in self._stored:
                self._conversation.objects.wait(stored)
            self._conversation.submit_blocks(
                self._run, self._function, self._options, self._blocks, self._objects, self._stored
            )
            self._clear()


def lazy_results(elements: Iterable[Any], submit: Callable[[Any], ScalerFuture], buffersize: int) -> Iterator[Any]:
    """Results in order, with at most `buffersize` elements submitted and not yet given out."""
    waiting: deque[ScalerFuture] = deque()
    remaining = iter(elements)
    try:
        while True:
            while len(waiting) < buffersize:
                for element in remaining:
                    waiting.append(submit(element))
                    break
                else:
                    break
            if not waiting:
                return
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future._conversation.cancel(future._sequence, 1)
