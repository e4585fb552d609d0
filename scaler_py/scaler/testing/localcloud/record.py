"""Every call that was made, for tests that count them."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
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


# Of a cloud that runs for days only the last calls are known.
MOST = 100_000


class Record:
    """A stage: the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=MOST)
        self._number = 0

    def __call__(self, call: Call, go_on: Next) -> Answer:
        with self._lock:
            self._number += 1
            call.number = self._number
            entry = Entry(
                call.number, call.service, call.operation, call.access_key, dict(call.parameters), time.time()
            )
            self._entries.append(entry)
        began = time.monotonic()
        try:
            answer = go_on(call)
            entry.outcome = _outcome(answer)
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
            self._number = 0


def _outcome(answer: Answer) -> str:
    if answer.status < 400:
        return "ok"
    told = {name.lower(): value for name, value in answer.headers.items()}.get("x-amzn-errortype")
    found = re.search(rb'<Code>([^<]+)|"__type": ?"([^"]+)', answer.body)
    return told or ((found[1] or found[2]).decode().rpartition("#")[2] if found else str(answer.status))
