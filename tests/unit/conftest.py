"""A client of a scripted scheduler, for tests of the client alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from scaler import Client
from scripted_scheduler import ScriptedScheduler


@pytest.fixture
def scheduler() -> Iterator[ScriptedScheduler]:
    with tempfile.TemporaryDirectory() as folder:
        scheduler = ScriptedScheduler(str(Path(folder) / "s.sock"))
        yield scheduler
        scheduler.stop()


@pytest.fixture
def client(scheduler: ScriptedScheduler) -> Iterator[Client]:
    with Client(scheduler.address, timeout_seconds=20) as client:
        yield client
