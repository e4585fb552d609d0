"""Results on their way from an executor to its agent.

Two threads send: the one that runs tasks, at the end of each slice, and the flusher, when the agent wants what the
running chunk has finished so far. `_sent` says how far either has come. The lock is taken once a slice, never once an
element: the list of values grows under the flusher's eyes, which is fine, as values are appended one by one.
"""

from __future__ import annotations

import _thread
from time import perf_counter_ns

from scaler._core import FORM_SINGLE, FORM_TABLE, OUTCOME_CANCELLED, OUTCOME_EXCEPTION, ExecutorPort, pack_table
from scaler.errors import PackingError, RemoteError
from scaler.packing import PACKED_NONE, dumps, dumps_shared, pack_exception, pack_values

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# Most bytes of one message with several values, and of one exception.
MOST_BYTES = 1 << 20


class Outbox:
    def __init__(self, port: ExecutorPort, inline_limit: int) -> None:
        """inline_limit: a value with more bytes goes to object storage."""
        self._port = port
        self._inline_limit = inline_limit
        self._lock = _thread.allocate_lock()
        self._values: list[Any] = []
        self._chunk = self._first = self._sent = self._mark = 0

    def open(self, chunk: int, index: int) -> list[Any]:
        """The list that is to take the values of elements `index`, `index + 1`, … of the chunk."""
        values: list[Any] = []
        with self._lock:
            self._chunk, self._first, self._sent, self._values = chunk, index, 0, values
            self._mark = perf_counter_ns()
        return values

    def alone(self, chunk: int, values: list[Any], busy_us: int) -> None:
        """The value and end of a chunk of one element, which was not opened."""
        try:
            value = values[0]
            payload = PACKED_NONE if value is None else dumps_shared(value)
        except Exception:
            self._send_each(chunk, 0, values, busy_us)
        else:
            if len(payload) <= self._inline_limit:
                self._port.end_with_value(chunk, payload, busy_us)
                return
            self._port.large_value(chunk, 0, payload)
        self._port.end(chunk, 1, busy_us)

    def close(self) -> None:
        """Sends the rest, and lets go of the values."""
        self.flush()
        with self._lock:
            self._values, self._sent = [], 0

    def flush(self) -> None:
        """Sends what is there and was not sent."""
        with self._lock:
            ready = self._values[self._sent :]
            if not ready:
                return
            now = perf_counter_ns()
            busy_us, self._mark = (now - self._mark) // 1000, now
            index = self._first + self._sent
            self._sent += len(ready)
            self._send(self._chunk, index, ready, busy_us)

    def exception(self, chunk: int, index: int, error: BaseException) -> None:
        self._port.result(chunk, index, 1, OUTCOME_EXCEPTION, _packed(error), self._busy_us())

    def cancelled(self, chunk: int, index: int) -> None:
        self._port.result(chunk, index, 1, OUTCOME_CANCELLED, b"", self._busy_us())

    def _busy_us(self) -> int:
        now = perf_counter_ns()
        busy_us, self._mark = (now - self._mark) // 1000, now
        return busy_us

    def _send(self, chunk: int, index: int, values: list[Any], busy_us: int) -> None:
        try:
            form, payload = pack_values(values)
        except Exception:
            self._send_each(chunk, index, values, busy_us)
            return
        if len(payload) <= self._inline_limit:
            self._port.result(chunk, index, len(values), form, payload, busy_us)
        elif len(values) == 1:
            self._port.large_value(chunk, index, payload)
        elif len(payload) <= MOST_BYTES and self._all_small(values):
            self._port.result(chunk, index, len(values), form, payload, busy_us)
        else:
            self._send_each(chunk, index, values, busy_us)

    def _all_small(self, values: Sequence[Any]) -> bool:
        # A pickled value is hardly longer than itself where it is text or bytes; others are pickled to find out.
        limit = self._inline_limit
        return all((len(value) if type(value) in (str, bytes) else len(dumps(value))) <= limit // 4 for value in values)

    def _send_each(self, chunk: int, index: int, values: list[Any], busy_us: int) -> None:
        """Value by value: small neighbours together, large ones and those that cannot be pickled alone."""
        group: list[bytes] = []
        group_bytes = 0
        for at, value in enumerate(values, index):
            try:
                blob = dumps_shared(value)
            except Exception as error:
                self._send_group(chunk, at, group, busy_us)
                self._port.result(chunk, at, 1, OUTCOME_EXCEPTION, _packed(_unpackable(error)), 0)
            else:
                if len(blob) <= self._inline_limit:
                    group.append(blob if type(blob) is bytes else bytes(blob))
                    group_bytes += len(blob)
                    if group_bytes < MOST_BYTES:
                        continue
                    self._send_group(chunk, at + 1, group, busy_us)
                else:
                    self._send_group(chunk, at, group, busy_us)
                    self._port.large_value(chunk, at, blob)
            group, group_bytes, busy_us = [], 0, 0
        self._send_group(chunk, index + len(values), group, busy_us)

    def _send_group(self, chunk: int, end: int, group: list[bytes], busy_us: int) -> None:
        """group: the values of the elements that end before `end`."""
        if len(group) == 1:
            self._port.result(chunk, end - 1, 1, FORM_SINGLE, group[0], busy_us)
        elif group:
            self._port.result(chunk, end - len(group), len(group), FORM_TABLE, pack_table(group), busy_us)


def _unpackable(error: Exception) -> Exception:
    if isinstance(error, PackingError):
        told = PackingError(f"The task's result cannot be sent back: {error}", path=error.path)
        told.__cause__ = error.__cause__
        return told
    return error


def _packed(error: BaseException) -> bytes:
    try:
        payload = pack_exception(error)
        if len(payload) <= MOST_BYTES:
            return payload
        reason = f"its {len(payload)} bytes are more than an exception may have ({MOST_BYTES})"
    except Exception as failure:
        reason = f"packing it failed with {type(failure).__name__}: {failure}"
    return pack_exception(RemoteError(type(error).__qualname__, f"the exception was left on the worker: {reason}"))
