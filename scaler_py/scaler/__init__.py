"""Distributed tasks whose overhead is microseconds: `Client.submit`, `Client.map`, and the cluster behind them.

The public names are imported when they are first asked for: `import scaler` alone loads nothing else.
"""

from __future__ import annotations

# Not from `typing`, which takes as long to import as all of this may.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scaler.client.client import Client
    from scaler.client.executor import ScalerExecutor
    from scaler.client.futures import ScalerFuture
    from scaler.client.map_futures import MapFutures
    from scaler.client.serializer import Serializer
    from scaler.cluster import SchedulerClusterCombo
    from scaler.packing import ObjectReference
    from scaler.utility.scheduler import Scheduler

    __version__: str

_HOMES = {
    "Client": "scaler.client.client",
    "MapFutures": "scaler.client.map_futures",
    "ObjectReference": "scaler.packing",
    "ScalerExecutor": "scaler.client.executor",
    "ScalerFuture": "scaler.client.futures",
    "Scheduler": "scaler.utility.scheduler",
    "SchedulerClusterCombo": "scaler.cluster",
    "Serializer": "scaler.client.serializer",
}

__all__ = [
    "Client",
    "MapFutures",
    "ObjectReference",
    "ScalerExecutor",
    "ScalerFuture",
    "Scheduler",
    "SchedulerClusterCombo",
    "Serializer",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from scaler._core import VERSION

        return VERSION
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'scaler' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
