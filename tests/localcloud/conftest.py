"""A cloud a module, as new before each test, and what a test leaves in it is an error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scaler.testing.localcloud import LocalCloud


@pytest.fixture(scope="module")
def cloud_options() -> dict[str, Any]:
    """For a module that wants another cloud."""
    return {}


@pytest.fixture(scope="module")
def started_cloud(folders: Path, cloud_options: dict[str, Any]) -> Iterator[LocalCloud]:
    with LocalCloud(**cloud_options) as cloud:
        yield cloud


@pytest.fixture
def cloud(started_cloud: LocalCloud, request: pytest.FixtureRequest) -> Iterator[LocalCloud]:
    """Mark a test that leaves something, or is about that, `leaves`."""
    started_cloud.reset()
    with contextlib.ExitStack() as stack:
        started_cloud.closing = stack  # type: ignore[attr-defined]
        yield started_cloud
    if request.node.get_closest_marker("leaves") is None:
        assert started_cloud.leftovers() == []
