"""Light futures: a `concurrent.futures.Future` without a condition, a state or lists of its own until someone asks.

All futures of a client wait on its conversation. What the standard library needs of a future (`wait`, `as_completed`)
is made when it is first looked at; such a future is *observed*, and settled under a condition of its own: the library
locks futures in the order of their ids, so a condition shared by several could deadlock two threads.
"""

from __future__ import annotations

import concurrent.futures
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, PENDING
from typing import TYPE_CHECKING, Any, NoReturn

from scaler.client.needs import reduce_future
from scaler.client.outcomes import Outcome
from scaler.client.profiling import ProfileResult

if TYPE_CHECKING:
    import asyncio

    from scaler.client.conversation import Conversation


# The number of a task that was not submitted yet: it waits in its executor.
UNSENT = -1


class _OwnCondition:
    """The attribute `_condition`, until it is first read; from then on the future is observed."""

    def __get__(self, future: ScalerFuture | None, owner: type | None = None) -> Any:
        if future is None:
            return self
        return future._conversation.observe(future, threading.Condition())


class _OwnList:
    """An attribute that is a list from when it is first read."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, future: ScalerFuture | None, owner: type | None = None) -> Any:
        return self if future is None else future.__dict__.setdefault(self.name, [])


class ScalerFuture(concurrent.futures.Future[Any]):
    """The future of one task. `await` works, and everything of `concurrent.futures` and `asyncio.wrap_future` does."""

    _outcome: Outcome | None = None
    _condition = _OwnCondition()
    _waiters = _OwnList()
    _done_callbacks = _OwnList()

    def __init__(self, conversation: Conversation, sequence: int) -> None:  # not super's: it is most of a future's cost
        self._conversation = conversation
        self._sequence = sequence

    @property
    def task_id(self) -> str:
        """Names the task for ever: session and number, as the cluster's logs do."""
        return f"{self._conversation.session:016x}-{self._sequence}"

    @property
    def _state(self) -> str:  # type: ignore[override]
        outcome = self._outcome
        if outcome is None:
            return PENDING
        return CANCELLED_AND_NOTIFIED if outcome.cancelled else FINISHED

    def result(self, timeout: float | None = None) -> Any:
        """The task's value; raises what the task raised.

        timeout: seconds. TimeoutError when the task is not done by then, CancelledError when it was cancelled."""
        outcome = self._outcome
        if outcome is None:
            outcome = self._wait(timeout)
        return outcome.value(self._sequence)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the task raised, or None. Waits, and raises, as `result` does."""
        outcome = self._outcome
        if outcome is None:
            outcome = self._wait(timeout)
        return outcome.error(self._sequence)

    def _wait(self, timeout: float | None) -> Outcome:
        self._conversation.wait_for(self, timeout)
        assert self._outcome is not None
        return self._outcome

    def profiling_info(self) -> ProfileResult:
        """What the task took: its duration always, its memory and CPU with `Client(profiling=True)`.

        ValueError before the task is done. A large value is fetched for it."""
        outcome = self._outcome
        if outcome is None and self.done():
            outcome = self._outcome
        if outcome is None:
            raise ValueError(f"task {self.task_id} is not done: nothing is known yet of what it took")
        profile = outcome.profile(self._sequence)
        return ProfileResult(outcome.duration) if profile is None else ProfileResult(*profile)

    def done(self) -> bool:
        if self._outcome is None:
            self._conversation.look()
        return self._outcome is not None

    def cancelled(self) -> bool:
        if self._outcome is None:
            self._conversation.look()
        return self._outcome is not None and self._outcome.cancelled

    def running(self) -> bool:
        """Asks the scheduler; the answer is remembered for 100 ms."""
        return not self.done() and self._conversation.questions.is_running(self)

    def cancel(self, timeout: float | None = None) -> bool:
        """Cancels the task, ending it if it runs, and waits for the answer: whether it is cancelled now.

        In the thread of a running event loop it only asks, and returns True unless the task is done.
        timeout: seconds; TimeoutError when there is no answer by then (the request stands)."""
        if self._outcome is not None:
            return self._outcome.cancelled
        self._ask_to_end()
        if _in_event_loop():
            return self._outcome is None or self._outcome.cancelled
        return self._wait(timeout).cancelled

    def _ask_to_end(self) -> None:
        self._conversation.cancel(self._sequence, 1)

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        """`fn(future)` when the task is done, in the client's own thread; at once, in this one, if it is done
        already."""
        if not self._conversation.call_back(self, fn):
            try:
                fn(self)
            except Exception:
                concurrent.futures._base.LOGGER.exception("exception calling callback for %r", self)

    def __await__(self) -> Generator[Any, None, Any]:
        import asyncio

        if self._outcome is None:
            loop = asyncio.get_running_loop()
            woken: asyncio.Future[None] = loop.create_future()

            def wake(_: object) -> None:
                loop.call_soon_threadsafe(_set_if_pending, woken)

            self.add_done_callback(wake)
            try:
                yield from woken
            except asyncio.CancelledError:
                self.cancel()
                raise
        if self._outcome is not None and self._outcome.cancelled:
            raise asyncio.CancelledError  # the coroutine's, which is not that of `result`
        return self.result()

    def _settle(self, outcome: Outcome) -> None:
        """For a future with a condition of its own: sets it and tells those who wait by the library's means."""
        with self._condition:
            self._outcome = outcome
            self._condition.notify_all()
            for waiter in self._waiters:
                if outcome.cancelled:
                    waiter.add_cancelled(self)
                elif outcome.failed:
                    waiter.add_exception(self)
                else:
                    waiter.add_result(self)

    def _refuse(self, *_: object) -> NoReturn:
        raise concurrent.futures.InvalidStateError("the cluster alone settles this future")

    set_running_or_notify_cancel = _refuse
    set_result = _refuse  # type: ignore[assignment]
    set_exception = _refuse  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Among the arguments of a task of the same client it stands for its value."""
        reduced = reduce_future(self)
        if reduced is None:
            raise TypeError("a future cannot be pickled; pass its result() instead")
        return reduced

    def __repr__(self) -> str:
        outcome = self._outcome
        state = "pending" if outcome is None else "cancelled" if outcome.cancelled else "finished"
        return f"<{type(self).__name__} {self.task_id} {state}>"


def _set_if_pending(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _in_event_loop() -> bool:
    events = sys.modules.get("asyncio.events")
    return events is not None and events._get_running_loop() is not None
