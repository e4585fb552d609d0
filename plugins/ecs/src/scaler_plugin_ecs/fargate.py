"""Which sizes Fargate has.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html
"""

from __future__ import annotations

from collections.abc import Iterable

from scaler.managers.api import ConfigurationError

# Units of a vCPU, and MiB of a GB, as task definitions have them.
CPU_UNITS = 1024
MEBIBYTES = 1024


def _gigabytes(least: int, most: int, step: int = 1) -> tuple[int, ...]:
    return tuple(each * MEBIBYTES for each in range(least, most + 1, step))


# MiB of memory by units of CPU.
SIZES: dict[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: _gigabytes(1, 4),
    1024: _gigabytes(2, 8),
    2048: _gigabytes(4, 16),
    4096: _gigabytes(8, 30),
    8192: _gigabytes(16, 60, 4),
    16384: _gigabytes(32, 120, 8),
}


def size(cpu: float, memory: float) -> tuple[int, int]:
    """(units of CPU, MiB) of so many vCPU and GB. ConfigurationError, with the pairs that there are."""
    units, mebibytes = units_of(cpu), memory * MEBIBYTES
    if mebibytes not in SIZES[units]:
        what = f"Fargate has no task of {cpu:g} vCPU with {memory:g} GB."
        mend = f"with {cpu:g} vCPU: {_choices(SIZES[units])} GB{_table()}"
        raise ConfigurationError(what, "--ecs-task-memory", mend)
    return units, int(mebibytes)


def units_of(cpu: float) -> int:
    """Units of CPU of so many vCPU. ConfigurationError, as above."""
    units = cpu * CPU_UNITS
    if units not in SIZES:
        there = ", ".join(_number(each / CPU_UNITS) for each in SIZES)
        raise ConfigurationError(f"Fargate has no task of {cpu:g} vCPU.", "--ecs-task-cpu", f"one of {there}{_table()}")
    return int(units)


def _table() -> str:
    rows = "; ".join(f"{_number(units / CPU_UNITS)} vCPU: {_choices(sizes)}" for units, sizes in SIZES.items())
    return f" (in GB, {rows})"


def _choices(sizes: Iterable[int]) -> str:
    numbers = [each / MEBIBYTES for each in sizes]
    if len(numbers) <= 3:
        return ", ".join(map(_number, numbers))
    step = numbers[1] - numbers[0]
    return f"{_number(numbers[0])} to {_number(numbers[-1])}" + (f" in steps of {_number(step)}" if step != 1 else "")


def _number(value: float) -> str:
    return f"{value:g}"
