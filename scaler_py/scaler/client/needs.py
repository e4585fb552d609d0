"""Futures among the arguments of a task: which they are, found while the arguments are pickled.

A future that has no outcome makes the new task wait for it in the scheduler; the value goes from worker to worker. The
value of one that has is pickled with the rest.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from scaler.client.serializer import Seal, Sealed
from scaler.inputs import same, take

if TYPE_CHECKING:
    from scaler.client.conversation import Conversation
    from scaler.client.futures import ScalerFuture
    from scaler.client.outcomes import Outcome

# An element that takes more has a frame for itself, and is better told as a tree.
MOST_NEEDS = 200_000


class _Active(threading.local):
    needs: Needs | None = None


_active = _Active()


class Needs:
    """While it is entered, futures can be pickled in this thread. `futures`: those that the pickle takes values of.

    first: how many other values the call takes before these.
    """

    def __init__(self, conversation: Conversation, seal: Seal | None, first: int = 0) -> None:
        self.futures: list[ScalerFuture] = []
        # The first one that failed already, and with it what needs it.
        self.failed: tuple[ScalerFuture, Outcome] | None = None
        self._conversation = conversation
        self._seal = seal
        self._first = first
        self._positions: dict[int, int] = {}
        self._asked = False

    def __enter__(self) -> Needs:
        self._before = _active.needs
        _active.needs = self
        return self

    def __exit__(self, *_: object) -> None:
        _active.needs = self._before

    def __bool__(self) -> bool:
        """Whether there were any."""
        return self._asked

    def reduce(self, future: ScalerFuture) -> tuple[Any, ...]:
        """What the future is pickled as."""
        self._asked = True
        if future._conversation is not self._conversation:
            raise TypeError("a future of another client cannot be an argument; pass its result() instead")
        outcome = future._outcome
        if outcome is None:
            if future._sequence < 0:
                raise TypeError("a future that waits in its executor cannot be an argument yet; pass its result()")
            position = self._positions.get(id(future))
            if position is None:
                if len(self.futures) >= MOST_NEEDS:
                    raise TypeError(f"a task takes at most {MOST_NEEDS} futures: reduce them in steps")
                position = self._positions[id(future)] = self._first + len(self.futures)
                self.futures.append(future)
            return take, (position,)
        if outcome.failed or outcome.cancelled:
            self.failed = self.failed or (future, outcome)
            return same, (None,)
        value = future.result()
        return same, (value if self._seal is None else Sealed(self._seal, value),)


def reduce_future(future: ScalerFuture) -> tuple[Any, ...] | None:
    """For a future's pickling: None where nobody asked."""
    needs = _active.needs
    return None if needs is None else needs.reduce(future)
