"""Every call that was made, for tests that count them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from scaler.testing.localcloud.answers import Answer, AwsError
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import Next
from scaler.testing.localcloud.server import Dropped


@dataclass
class Entry:
    """outcome: "ok", or the error's code; "dropped" where the answer was lost; empty while it is under way."""

    number: int
    service: str
    operation: str
    access_key: str
    parameters: dict[str, Any]
    began: float
    seconds: float = 0.0
    outcome: str = ""


class Record:
    """A stage: the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []

    def __call__(self, call: Call, go_on: Next) -> Answer:
        with self._lock:
            call.number = len(self._entries) + 1
            entry = Entry(
                call.number, call.service, call.operation, call.access_key, dict(call.parameters), time.time()
            )
            self._entries.append(entry)
        began = time.monotonic()
        try:
            answer = go_on(call)
            entry.outcome = "ok" if answer.status < 300 else answer.headers.get("x-amzn-ErrorType", str(answer.status))
            return answer
        except AwsError as error:
            entry.outcome = error.code
            raise
        except Dropped:
            entry.outcome = "dropped"
            raise
        except BaseException as error:
            entry.outcome = type(error).__name__
            raise
        finally:
            entry.seconds = time.monotonic() - began

    def entries(self) -> list[Entry]:
        with self._lock:
            return list(self._entries)

    def reset(self) -> None:
        with self._lock:
            self._entries.clear()
