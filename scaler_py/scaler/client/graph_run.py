"""A graph's tasks in the client's book: those whose values are wanted have futures, nobody hears of the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaler.client.book import MapRun, Settle
from scaler.client.futures import ScalerFuture
from scaler.client.outcomes import Outcome

if TYPE_CHECKING:
    from scaler.client.conversation import Conversation
    from scaler.client.graph import Key


class GraphRun(MapRun):
    """keys: of its tasks, in order. wanted: offsets of those whose values are wanted."""

    def __init__(self, conversation: Conversation, first: int, keys: list[Key], wanted: list[int]) -> None:
        super().__init__(first, len(keys))
        self.keys = keys
        self.pending: dict[int, ScalerFuture] = {
            offset: GraphFuture(conversation, first + offset, self) for offset in wanted
        }

    def resolve(self, start: int, end: int, outcome: Outcome, settle: Settle | None) -> int:
        at, upto = start - self.first, end - self.first
        if upto - at == 1:
            offsets = [at] if at in self.pending else []
        else:
            offsets = [offset for offset in self.pending if at <= offset < upto]
        for offset in offsets:
            future = self.pending.pop(offset)
            if settle is None:
                future._outcome = outcome
            else:
                settle(future, outcome)
        self.left -= len(offsets)
        if not self.left:
            self.stored.clear()
        return len(offsets)

    def name_of(self, sequence: int) -> str | None:
        offset = sequence - self.first
        return f"node {self.keys[offset]!r}" if 0 <= offset < len(self.keys) else None

    def unfinished(self) -> Iterator[tuple[int, int]]:
        for offset in list(self.pending):
            yield self.first + offset, self.first + offset + 1


class GraphFuture(ScalerFuture):
    """The future of a graph's key. To cancel one cancels the graph."""

    def __init__(self, conversation: Conversation, sequence: int, run: GraphRun) -> None:
        super().__init__(conversation, sequence)
        self._run = run

    def _ask_to_end(self) -> None:
        self._conversation.cancel(self._run.first, self._run.reserved)
