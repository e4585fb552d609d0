"""What round trips through a cluster take, and what each hop takes of them: for `scaler ping`.

Clocks of two machines cannot be compared, so a hop is never a difference of two ends' times. Each is a duration that
one process has measured: of the whole by the client; of a question to the scheduler and its answer by the client, and
by a task, which asks from where it runs, over a connection like its agent's; of the call by its executor. What is left
when these are taken from the whole is what no end sees alone: the ways between agent and executor, the engines, and for
large values object storage.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from scaler.client.questions import STATE, STATUS
from scaler.errors import ScalerError

if TYPE_CHECKING:
    from scaler.client.client import Client
    from scaler.client.futures import ScalerFuture

# Round trips that are not counted: connections, imports and caches are cold.
WARM_UP = 50
# Questions of the task that asks the scheduler, at most: it has a slot meanwhile.
MOST_ASKED = 1_000
# How long something must wait before it is asked why; in seconds.
PATIENCE = 1.0


class RoundTrips:
    """Durations of each kind so far, in microseconds.

    why_not: what ended it before all had come back, for people. unmeasured: which hop was not measured, and why."""

    def __init__(self, client: Client, size: int, timeout: float) -> None:
        """size: bytes of each argument and of each result. timeout: seconds for each round trip."""
        self._client = client
        self._timeout = timeout
        self._noise = os.urandom(size)
        self.whole: list[float] = []
        self.client_scheduler: list[float] = []
        self.scheduler_worker: list[float] = []
        self.worker_call: list[float] = []
        # Where the task ran that asked the scheduler.
        self.worker = ""
        self.why_not = ""
        self.unmeasured = ""

    def measure(self, count: int, say: Callable[[str], None]) -> None:
        """say: is told why something waits, while it does. What ends it is in `why_not`."""
        try:
            self.client_scheduler += asked(self._client, min(count, MOST_ASKED))
            if self._first(say) and self._all(count):
                self._ask_from_a_worker(min(count, MOST_ASKED))
        except ScalerError as error:
            # The scheduler is lost, or a worker cannot run anything.
            self.why_not = str(error)

    def summaries(self) -> dict[str, dict[str, float]]:
        """By hop: min, median, p99, max, in microseconds. Only of what was measured."""
        kinds = {
            "whole": self.whole,
            "client_scheduler": self.client_scheduler,
            "scheduler_worker": self.scheduler_worker,
            "worker": self.worker_call,
        }
        return {name: summary(times) for name, times in kinds.items() if times}

    def rest(self) -> float | None:
        """Of the medians: what the hops leave of the whole, microseconds. None where one is missing."""
        found = self.summaries()
        if len(found) < 4:
            return None
        whole, *hops = (each["median"] for each in found.values())
        return whole - sum(hops)

    def _first(self, say: Callable[[str], None]) -> bool:
        """Whether a first task came back. Where there are no workers, and none that start, nobody waits for long."""
        future = self._client.submit(bytes, b"")
        if self._may_run() and _is_done(future, PATIENCE):
            return True
        say(f"no answer yet: {self._why(future)}")
        deadline = time.monotonic() + self._timeout
        while not _is_done(future, min(PATIENCE, deadline - time.monotonic())):
            if time.monotonic() >= deadline or not self._may_run():
                self.why_not = f"nothing came back: {self._why(future)}"
                return False
        return True

    def _why(self, future: ScalerFuture) -> str:
        # A scheduler does not know by which of its addresses it is reached.
        return self._client.explain(future).replace("<address>", self._client.address)

    def _may_run(self) -> bool:
        """There are workers, or some are starting."""
        status = json.loads(self._client._conversation.questions.ask(STATUS, 0))
        return bool(status["slots"]) or any(manager["starting"] for manager in status["managers"])

    def _all(self, count: int) -> bool:
        return all(self._once(number, kept=number >= WARM_UP) for number in range(WARM_UP + count))

    def _once(self, number: int, kept: bool) -> bool:
        # Each is another value, so that none is known to anybody already.
        value = self._noise[:-8] + number.to_bytes(8, "little")[: len(self._noise)]
        began = time.perf_counter_ns()
        # A builtin, which any worker has, that gives its argument back.
        future = self._client.submit(bytes, value)
        if not _is_done(future, self._timeout):
            self.why_not = f"no answer for {self._timeout:g} s: {self._why(future)}"
            return False
        got = future.result()
        took = (time.perf_counter_ns() - began) / 1000
        if got != value:
            self.why_not = "another value came back than was sent"
            return False
        if kept:
            self.whole.append(took)
            self.worker_call.append(future.profiling_info().duration_s * 1e6)
        return True

    def _ask_from_a_worker(self, count: int) -> None:
        future = self._client.submit(ask_from_here, count)
        try:
            self.worker, self.scheduler_worker = future.result(self._timeout)
        except Exception as error:
            # A worker of another version, or a job of an infrastructure, from where no connection leads back.
            self.unmeasured = f"scheduler to worker was not measured: {type(error).__name__}: {error}"


def asked(client: Client, count: int) -> list[float]:
    """Microseconds of `count` questions to the scheduler, each of them with its answer."""
    questions = client._conversation.questions
    times = []
    for number in range(WARM_UP + count):
        began = time.perf_counter_ns()
        questions.ask(STATE, 0)
        if number >= WARM_UP:
            times.append((time.perf_counter_ns() - began) / 1000)
    return times


def ask_from_here(count: int) -> tuple[str, list[float]]:
    """The task: (where it runs, what its questions took)."""
    from scaler.client.client import Client

    with Client() as client:
        return f"{socket.gethostname()}, process {os.getpid()}", asked(client, count)


def summary(times: list[float]) -> dict[str, float]:
    """p99: the least that 99 % are not above."""
    ordered = sorted(times)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return {"min": ordered[0], "median": median, "p99": ordered[math.ceil(0.99 * len(ordered)) - 1], "max": ordered[-1]}


def _is_done(future: ScalerFuture, seconds: float) -> bool:
    """Within so many seconds. The caller reads the socket himself meanwhile, as in `result`."""
    try:
        future._conversation.wait_for(future, max(0.0, seconds))
    except TimeoutError:
        return False
    return True
