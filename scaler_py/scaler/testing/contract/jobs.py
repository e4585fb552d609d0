"""Jobs that the suite gives to offload drivers, and what their outcomes say."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from scaler.managers.api import Job
from scaler.managers.api.jobs import VALUE, unpack_outcome
from scaler.packing import dumps, loads, unpack_exception

# Longer than any test, short enough for what a killed test leaves.
_LASTING_SECONDS = 600.0


def job(
    name: str,
    function: Callable[..., Any],
    arguments: tuple[Any, ...] = (),
    *,
    attempt: int = 1,
    timeout: float = 0.0,
    title: str = "task",
    references: Sequence[str] = (),
) -> Job:
    """As the host makes it of a task. title: the function's name, as people see it."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    packed = dumps((arguments, {}))
    return Job(name, attempt, title, dumps(function), packed, references, python, timeout, 0, {})


def lasting_job(name: str) -> Job:
    """One that goes on until it is ended."""
    return job(name, time.sleep, (_LASTING_SECONDS,))


def value(outcome: bytes) -> Any:
    """What the function returned. Raises what it raised."""
    kind, packed = unpack_outcome(outcome)
    if kind == VALUE:
        return loads(packed)
    raise unpack_exception(packed)
