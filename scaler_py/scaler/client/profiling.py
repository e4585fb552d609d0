"""What a task took: `ScalerFuture.profiling_info`, and how it is measured on the worker for `Client(profiling=True)`.

A profiling client sends its functions inside of a `MeasuredFunction`, whose value is a `Measured`: the function's own
beside what it took. So nothing on the way knows of it, and a client that does not profile pays nothing.
"""

from __future__ import annotations

import contextlib
import os
import resource
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from scaler.exception_packing import PROFILE
from scaler.measured import Measured

if TYPE_CHECKING:
    from scaler.measured import Profile


@dataclass(frozen=True)
class ProfileResult:
    """duration_s: seconds that the task took on its worker. For quick tasks that ran one after the other it is an
    average of theirs, unless the client is made with `profiling=True`; 0 where nothing ran.

    memory_peak: bytes by which the worker's process grew at most meanwhile. cpu_time_s: seconds of CPU that it used,
    all threads and the child processes that it waited for. Both None without `profiling=True`.
    """

    duration_s: float
    memory_peak: int | None = None
    cpu_time_s: float | None = None


class MeasuredFunction:
    """Calls the function, on the worker. An exception carries what the call took with it."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.__qualname__ = getattr(function, "__qualname__", type(function).__qualname__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        gauge = Gauge()
        try:
            value = self.function(*args, **kwargs)
        except BaseException as error:
            with contextlib.suppress(Exception):
                error.__dict__[PROFILE] = gauge.read()
            raise
        return Measured(value, gauge.read())

    def __reduce__(self) -> tuple[Any, ...]:
        return MeasuredFunction, (self.function,)

    def __repr__(self) -> str:
        """As in an error's text."""
        return repr(self.function)


class Gauge:
    """What this process takes from now on."""

    def __init__(self) -> None:
        self._has_peak = _forget_peak()
        self._memory = _status_bytes(b"VmRSS:")
        self._cpu = _cpu_seconds()
        self._began = perf_counter()

    def read(self) -> Profile:
        duration = perf_counter() - self._began
        cpu = _cpu_seconds() - self._cpu
        # Without the kernel's leave to measure anew, the peak may be an earlier task's.
        memory = _status_bytes(b"VmHWM:" if self._has_peak else b"VmRSS:")
        return duration, max(0, memory - self._memory), cpu


def _forget_peak() -> bool:
    """Makes the kernel measure the peak of resident memory anew. Whether it does."""
    try:
        descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
    except OSError:
        return False
    try:
        os.write(descriptor, b"5")
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _status_bytes(name: bytes) -> int:
    try:
        with open("/proc/self/status", "rb", buffering=0) as file:
            status = file.read(4096)
    except OSError:
        return 0
    at = status.find(name)
    return int(status[at + len(name) :].split(None, 1)[0]) * 1024 if at >= 0 else 0


def _cpu_seconds() -> float:
    uses = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(use.ru_utime + use.ru_stime for use in uses)
