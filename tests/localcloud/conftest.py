"""A cloud a module, as new before each test. What a test leaves in it is an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ecs_cloud import EcsCloud
from scaler.testing.localcloud import LocalCloud


@pytest.fixture(scope="module")
def cloud_options() -> dict[str, Any]:
    """For a module that wants another cloud: what `scaler_localcloud` takes."""
    return {}


@pytest.fixture(scope="module")
def module_cloud(folders: Path, cloud_options: dict[str, Any]) -> Iterator[LocalCloud]:
    with LocalCloud(**cloud_options) as cloud:
        yield cloud


@pytest.fixture
def cloud(module_cloud: LocalCloud, request: pytest.FixtureRequest) -> Iterator[LocalCloud]:
    """Mark a test that is about something else than cleaning up `leaves`."""
    module_cloud.reset()
    yield module_cloud
    if request.node.get_closest_marker("leaves") is None:
        assert module_cloud.leftovers() == []


@pytest.fixture
def ecs(cloud: LocalCloud) -> Iterator[EcsCloud]:
    """With a cluster; all that is made in it is gone after the test."""
    ecs = EcsCloud(cloud)
    yield ecs
    ecs.clean()
