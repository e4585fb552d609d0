"""Which sizes Fargate has, as AWS documents them ("Task size" in the ECS developer guide)."""

from __future__ import annotations

import re

_GB = 1024


def _range(first: int, last: int, step: int) -> frozenset[int]:
    return frozenset(range(first * _GB, last * _GB + 1, step * _GB))


# CPU units (1024 a vCPU) to the MiB that go with them.
MEMORY: dict[int, frozenset[int]] = {
    256: frozenset({512, 1024, 2048}),
    512: _range(1, 4, 1),
    1024: _range(2, 8, 1),
    2048: _range(4, 16, 1),
    4096: _range(8, 30, 1),
    8192: _range(16, 60, 4),
    16384: _range(32, 120, 8),
}


def units(given: str) -> int | None:
    """Of a task's `cpu`: "1024" or "1 vCPU". None: it is neither."""
    if given.strip().isdigit():
        return int(given)
    found = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*vcpus?", given.strip(), re.IGNORECASE)
    return round(float(found[1]) * 1024) if found else None


def mebibytes(given: str) -> int | None:
    """Of a task's `memory`: "2048" or "2 GB". None: it is neither."""
    if given.strip().isdigit():
        return int(given)
    found = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*gb", given.strip(), re.IGNORECASE)
    return round(float(found[1]) * _GB) if found else None


def exists(cpu: int, memory: int) -> bool:
    """Whether there is such a task."""
    return memory in MEMORY.get(cpu, ())
