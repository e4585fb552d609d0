"""One call goes ahead while it is not known whether what was just made is seen everywhere yet.

A new role takes some seconds until ECS may assume it. Of twenty groups that are to start then, one asks for all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from scaler.managers.api import TemporaryError

from scaler_plugin_ecs.errors import UnknownOutcome

Answer = TypeVar("Answer")

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 4.0


class Probe:
    """For all threads of a context."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._gate = threading.Lock()
        self._proven: object = None
        # Since the last success: what was not ready yet, and when to ask again.
        self._refusal = ""
        self._pause = _FIRST_PAUSE
        self._not_before = 0.0
        # Calls that were not answered in time: who waited for one does not wait for its own.
        self._silences = 0

    def ask(self, subject: object, call: Callable[[], Answer]) -> Answer:
        """What `call` gives, alone until it has worked once for this subject.

        TemporaryError: somebody has asked a moment ago, and it was too early; or what `call` raises.
        """
        if self._proven is not subject:
            silences = self._silences
            with self._gate:
                if self._proven is not subject:
                    if self._silences != silences:
                        raise TemporaryError("AWS did not answer the call before this one")
                    return self._first(subject, call)
        return call()

    def too_early(self, refusal: str) -> None:
        """What somebody was told in `call`. Nobody asks for a while."""
        self._proven = None
        self._refusal = refusal
        self._not_before = self._clock() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _first(self, subject: object, call: Callable[[], Answer]) -> Answer:
        if self._clock() < self._not_before:
            raise TemporaryError(self._refusal)
        try:
            answer = call()
        except UnknownOutcome as error:
            self._silences += error.late
            raise
        self._proven = subject
        self._pause = _FIRST_PAUSE
        return answer
