"""Calls that are made again by themselves: while a user waits, and at the end, when nobody calls a second time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from scaler.managers.api import TemporaryError, Throttled

from scaler_plugin_ecs.clients import Calling, pages
from scaler_plugin_ecs.errors import UnknownOutcome

Result = TypeVar("Result")

_TRIES = 7
# The first pause between them, which grows, in seconds.
_PAUSE = 0.2
# A call that took so long has met nobody, and the next one would too.
_SILENCE = 5.0


def patiently(ask: Callable[[], Result], sleep: Callable[[float], None] = time.sleep) -> Result:
    """What `ask` gives, of several tries; it must be something that may be done twice. What the last try raises."""
    pause = _PAUSE
    for _ in range(_TRIES - 1):
        began = time.monotonic()
        try:
            return ask()
        except (Throttled, TemporaryError, UnknownOutcome) as error:
            if time.monotonic() - began > _SILENCE:
                raise
            sleep(max(pause, getattr(error, "retry_after", None) or 0.0))
            pause *= 2
    return ask()


class Patient:
    """Calls as those of `Aws`, each made patiently."""

    def __init__(self, aws: Calling) -> None:
        self._aws = aws
        self.region = aws.region

    def call(self, action: str, *, creates: bool = False, region: str = "", **parameters: Any) -> dict[str, Any]:
        return patiently(partial(self._aws.call, action, creates=creates, region=region, **parameters))

    def pages(self, action: str, key: str, **parameters: Any) -> Iterator[Any]:
        return pages(self, action, key, **parameters)
