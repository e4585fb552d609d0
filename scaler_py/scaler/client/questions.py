"""What a client asks of the scheduler beside its work, and the answers."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from scaler.errors import ScalerError

if TYPE_CHECKING:
    from scaler.client.conversation import Conversation
    from scaler.client.futures import ScalerFuture
    from scaler.client.turns import Target

EXPLAIN, STATE, STATUS = 0, 1, 2
# Seconds for which the answer of `running()` is remembered.
RUNNING_REMEMBERED = 0.1


class Wish:
    """Something to wait for that someone else fulfils."""

    def __init__(self) -> None:
        self._outcome: Any = None


class Questions:
    """Those of one conversation, whose lock guards them."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        # By the number of the request.
        self._open: dict[int, Wish] = {}
        self._running: dict[int, tuple[float, bool]] = {}

    def ask(self, kind: int, sequence: int) -> str:
        """An answer of the scheduler about a task; of STATUS about itself. Without the lock."""
        conversation = self._conversation
        with conversation.lock:
            conversation.check_open()
            conversation.hand_over()
            answer = self.asked(conversation.channel.query(kind, sequence))
        return self.wait_for_answer(answer)[1]

    def is_running(self, future: ScalerFuture) -> bool:
        """As the scheduler says, or said a moment ago. Without the lock."""
        now = time.monotonic()
        asked, running = self._running.get(future._sequence, (0.0, False))
        if now - asked > RUNNING_REMEMBERED:
            try:
                running = self.ask(STATE, future._sequence) == "running"
            except ScalerError:
                running = False
            self._running = {key: known for key, known in self._running.items() if now - known[0] < RUNNING_REMEMBERED}
            self._running[future._sequence] = time.monotonic(), running
        return running and future._outcome is None

    def cancel_unstarted(self, futures: Sequence[ScalerFuture], timeout: float) -> None:
        """Cancels those that no worker has begun. Waits for the answers, `timeout` seconds at most. Without the lock.

        What was not answered by then counts as begun, and may be cancelled all the same."""
        conversation = self._conversation
        deadline = time.monotonic() + timeout
        with conversation.lock:
            if conversation.refusal is not None or not conversation.welcomed:
                return
            conversation.hand_over()
            runs = _runs(sorted(future._sequence for future in futures))
            answers = [self.asked(conversation.channel.cancel_unstarted(start, end - start)) for start, end in runs]
        self._wait_for_all(answers, deadline)
        begun: set[int] = set()
        for (start, end), answer in zip(runs, answers, strict=True):
            begun.update(range(start, end) if answer._outcome is None else _begun(answer._outcome))
        # Answers may overtake outcomes.
        self._wait_for_all([future for future in futures if future._sequence not in begun], deadline)

    def _wait_for_all(self, targets: Sequence[Target], deadline: float) -> None:
        """Until all came true, or time is up."""
        with contextlib.suppress(TimeoutError):
            for target in targets:
                self._conversation.wait_for(target, deadline - time.monotonic())

    def asked(self, number: int) -> Wish:
        """With the lock, after the core was given the request of that number: for `wait_for_answer`."""
        answer = self._open[number] = Wish()
        self._conversation.write()
        return answer

    def wait_for_answer(self, answer: Wish) -> tuple[bool, str]:
        """Without the lock. Raises what ended the conversation before it came."""
        self._conversation.wait_for(answer, None)
        if isinstance(answer._outcome, BaseException):
            raise answer._outcome
        ok, text = answer._outcome
        return ok, text

    def answered(self, number: int, ok: bool, text: str) -> None:
        """With the lock."""
        answer = self._open.pop(number, None)
        if answer is not None:
            answer._outcome = ok, text

    def end(self, why: Callable[[], BaseException]) -> None:
        """With the lock: no answer will come any more."""
        for answer in self._open.values():
            answer._outcome = why()
        self._open.clear()


def _runs(sequences: Sequence[int]) -> list[tuple[int, int]]:
    """(start, end) of each run of neighbours; ascending."""
    runs: list[tuple[int, int]] = []
    for sequence in sequences:
        if runs and runs[-1][1] == sequence:
            runs[-1] = runs[-1][0], sequence + 1
        else:
            runs.append((sequence, sequence + 1))
    return runs


def _begun(answer: Any) -> Iterable[int]:
    """Of an answer to `Channel.cancel_unstarted`: the elements that go on. An error that ended all has no others."""
    if isinstance(answer, BaseException):
        return ()
    spans = (span.split("-") for span in answer[1].split(",") if span)
    return itertools.chain.from_iterable(range(int(start), int(end)) for start, end in spans)
