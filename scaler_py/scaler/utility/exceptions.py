"""The error names of opengris-scaler, each the class that `scaler.errors` has for it."""

from __future__ import annotations

import asyncio
import builtins
import warnings

from scaler.errors import (
    ClientQuitException,
    ClientShutdownException,
    DeserializeObjectError,
    MissingObjects,
    ObjectStorageException,
    ProcessorDiedError,
    RemoteError,
    ScalerError,
    SchedulerUnreachableError,
    TaskExceptionNotSerializableError,
    TaskMemoryError,
    TaskTimeoutError,
    WorkerDiedError,
)

warnings.warn("scaler.utility.exceptions is scaler.errors now", DeprecationWarning, stacklevel=2)

# What a silent scheduler raises is one, too (SchedulerUnreachableError).
TimeoutError = builtins.TimeoutError
# Never raised here: kept so that an `except` clause which names them still imports.
ClientCancelledException = asyncio.CancelledError
DisconnectedError = SchedulerUnreachableError
SchedulerError = ScalerError


class NoWorkerError(ScalerError):
    """Never raised: a task that no worker can serve waits, and `client.explain` says why."""


class TaskNotFoundError(ScalerError):
    """Never raised."""


__all__ = [
    "ClientCancelledException",
    "ClientQuitException",
    "ClientShutdownException",
    "DeserializeObjectError",
    "DisconnectedError",
    "MissingObjects",
    "NoWorkerError",
    "ObjectStorageException",
    "ProcessorDiedError",
    "RemoteError",
    "SchedulerError",
    "SchedulerUnreachableError",
    "TaskExceptionNotSerializableError",
    "TaskMemoryError",
    "TaskNotFoundError",
    "TaskTimeoutError",
    "TimeoutError",
    "WorkerDiedError",
]
