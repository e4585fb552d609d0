"""A `concurrent.futures.Executor` over a client, for code that takes one.

What an executor of the standard library promises and a client does not: `cancel` leaves alone what has started,
`shutdown` waits for all that was accepted, and so does the end of the interpreter.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from scaler.client.client import Client
from scaler.client.futures import UNSENT, ScalerFuture
from scaler.client.outcomes import CANCELLED, KnownError, TableValues

# How long `cancel` waits for the scheduler, in seconds: it may be called in an event loop.
CANCEL_SECONDS = 1.0


class ExecutorFuture(ScalerFuture):
    """A ScalerFuture whose `cancel` leaves alone what has started."""

    def __init__(self, executor: ScalerExecutor) -> None:
        super().__init__(executor._client._conversation, UNSENT)
        self._executor = executor

    def cancel(self, timeout: float | None = CANCEL_SECONDS) -> bool:
        """Cancels the task unless a worker has begun it: whether it is cancelled now.

        A task that was sent is asked for, for `timeout` seconds at most and not while the scheduler is lost: without
        an answer it counts as begun."""
        self._executor._cancel([self], CANCEL_SECONDS if timeout is None else timeout)
        return self.cancelled()

    def _ask_to_end(self) -> None:
        """For `Client.cancel`, which ends what runs too."""
        self._executor._withdraw([self])
        if self._outcome is None and self._sequence != UNSENT:
            super()._ask_to_end()

    def running(self) -> bool:
        return self._sequence != UNSENT and super().running()


class _Call(NamedTuple):
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class ScalerExecutor(concurrent.futures.Executor):
    """Runs calls on a cluster, as `ThreadPoolExecutor` and `ProcessPoolExecutor` do here.

    client: a Client, which outlives the executor; or the address of a scheduler; or None for a cluster on this
    machine. max_workers: so many of its tasks are sent to the cluster at a time, and the others wait here, where they
    can be cancelled for certain; None sends all at once, which is faster.
    """

    def __init__(self, client: Client | str | None = None, max_workers: int | None = None) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        self._owns_client = not isinstance(client, Client)
        self._client = client if isinstance(client, Client) else Client(client)
        self._limit = max_workers
        self._lock = threading.Lock()
        self._refusal = ""
        # Tasks under way, where there is a limit.
        self._sent = 0
        self._waiting: OrderedDict[ExecutorFuture, _Call] = OrderedDict()
        # The conversation keeps those that are not done.
        self._futures: weakref.WeakSet[ExecutorFuture] = weakref.WeakSet()
        _living.add(self)
        # The hook that is registered last runs first: before the end of a cluster that the client has just started.
        atexit.unregister(_finish_all)
        atexit.register(_finish_all)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> ExecutorFuture:
        """Runs `fn(*args, **kwargs)` on a worker.

        What cannot be pickled is the future's exception. RuntimeError after `shutdown`; ClientQuitException when the
        client has ended."""
        call = _Call(fn, args, kwargs)
        with self._lock:
            if self._refusal:
                raise RuntimeError(self._refusal)
            self._client._conversation.check_open()
            future = ExecutorFuture(self)
            self._futures.add(future)
            if self._limit is not None:
                if self._sent >= self._limit:
                    self._waiting[future] = call
                    return future
                self._sent += 1
        try:
            is_under_way = self._send(future, call)
        except BaseException:
            # Interrupted: nobody will ever have this future, and `shutdown` must not wait for it.
            self._client._conversation.finish(future, CANCELLED)
            self._send_next()
            raise
        if not is_under_way:
            self._send_next()
        return future

    def _send(self, future: ExecutorFuture, call: _Call) -> bool:
        """Whether `_send_next` will be called for it."""
        conversation = self._client._conversation
        try:
            task = self._client.submit(call.fn, *call.args, **call.kwargs)
        except Exception as error:
            conversation.finish(future, KnownError(error))
            return self._limit is None
        conversation.stand_in(task, future)
        return self._limit is None or conversation.call_back(future, self._send_next)

    def _send_next(self, _: object = None) -> None:
        """A task has ended."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._sent -= 1
                    return
                future, call = self._waiting.popitem(last=False)
            if self._send(future, call):
                return

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """The values of `fn(a, b, …)` for the elements of the iterables side by side, in order.

        All are submitted at once, or with `buffersize` so many ahead of the one that is given out. An iterator that is
        closed, or fails, cancels what has not started. timeout: seconds from this call on, after which the iterator
        raises TimeoutError. chunksize means nothing: tasks that leave together travel together."""
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        deadline = None if timeout is None else time.monotonic() + timeout
        elements = zip(*iterables, strict=False)
        futures = deque(self.submit(fn, *element) for element in islice(elements, buffersize))
        return self._results(fn, elements, futures, deadline)

    def _results(
        self,
        fn: Callable[..., Any],
        elements: Iterator[tuple[Any, ...]],
        futures: deque[ExecutorFuture],
        deadline: float | None,
    ) -> Iterator[Any]:
        try:
            while futures:
                futures.extend(self.submit(fn, *element) for element in islice(elements, 1))
                # Neither the future nor its value is kept here while the value is somebody else's.
                yield _take(futures, deadline)
        finally:
            self._cancel(futures)

    def _cancel(self, futures: Iterable[ExecutorFuture], timeout: float = CANCEL_SECONDS) -> None:
        """Those that have not started."""
        pending = [future for future in futures if not future.done()]
        self._withdraw(pending)
        sent = [future for future in pending if future._outcome is None and future._sequence != UNSENT]
        if sent:
            self._client._conversation.questions.cancel_unstarted(sent, timeout)

    def _withdraw(self, futures: Iterable[ExecutorFuture]) -> None:
        """Cancels those that were not sent."""
        with self._lock:
            withdrawn = [future for future in futures if self._waiting.pop(future, None) is not None]
        for future in withdrawn:
            future._conversation.finish(future, CANCELLED)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the executor: it takes no more tasks. wait: until all that it took are done. cancel_futures: cancels
        what has not started. A client of its own ends when its tasks are done. Again is fine."""
        self._end("cannot schedule new futures after shutdown", wait, cancel_futures)

    def _end(self, refusal: str, wait: bool, cancel_futures: bool) -> None:
        with self._lock:
            self._refusal = self._refusal or refusal
        if cancel_futures:
            self._cancel(list(self._futures))
        if wait:
            for future in list(self._futures):
                future._conversation.wait_for(future, None)
            if self._owns_client:
                self._client.disconnect()


def _take(futures: deque[ExecutorFuture], deadline: float | None) -> Any:
    """The value of the first, which is kept nowhere here then."""
    future = futures[0]
    value = future.result(None if deadline is None else deadline - time.monotonic())
    if isinstance(future._outcome, TableValues):
        future._outcome.forget(future._sequence)
    del futures[0]
    return value


_living: weakref.WeakSet[ScalerExecutor] = weakref.WeakSet()


def _finish_all() -> None:
    """At the end of the interpreter what was accepted is done first, as the standard library's executors do."""
    for executor in list(_living):
        executor._end("cannot schedule new futures after interpreter shutdown", wait=True, cancel_futures=False)
