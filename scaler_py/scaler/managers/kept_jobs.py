"""Jobs that the core has named, as drivers start them, and the objects that they refer to."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from typing import Any, BinaryIO

from scaler.errors import MissingObjects
from scaler.managers.api import Job
from scaler.managers.arguments import pack_arguments, reference_of


class KeptObjects:
    """What `context.objects` is. Objects come and go in the loop's requests, and are opened in threads of hooks."""

    def __init__(self) -> None:
        self._bytes: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, session: int, hash: bytes, data: bytes) -> None:
        with self._lock:
            self._bytes[reference_of(session, hash)] = data

    def forget(self, session: int, hash: bytes) -> None:
        with self._lock:
            self._bytes.pop(reference_of(session, hash), None)

    def open(self, reference: str) -> BinaryIO:
        with self._lock:
            data = self._bytes.get(reference)
        if data is None:
            raise MissingObjects(f"Nobody waits for the job any more that needs the object {reference}.")
        return io.BytesIO(data)


class KeptJobs:
    """By id. python: what functions that were pickled by value were pickled with, like "3.12"."""

    def __init__(self, python: str) -> None:
        self._python = python
        self._jobs: dict[str, Job] = {}

    def define(self, id: str, told: Mapping[str, Any]) -> None:
        entry = (told["form"], told["count"], told["index"], told["payload"])
        self._jobs[id] = Job(
            id=id,
            attempt=told["attempt"],
            name=told["name"],
            function=told["function"],
            arguments=pack_arguments(told["style"], entry, told["taken"]),
            references=[reference_of(session, hash) for session, hash in told["objects"]],
            python=self._python,
            timeout=told["timeout"],
            priority=told["priority"],
            capabilities=dict(told["capabilities"]),
        )

    def forget(self, id: str) -> None:
        self._jobs.pop(id, None)

    def get(self, id: str) -> Job | None:
        """None: it is of an earlier process, or not wanted any more."""
        return self._jobs.get(id)
