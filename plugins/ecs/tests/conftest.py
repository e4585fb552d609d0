"""One local cloud for the tests of a module, as new for each of them."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scaler.testing.localcloud import LocalCloud

# An image whose agent does nothing but live.
STAND_IN = "stand-in:latest"
_AGENT = """#!/bin/sh
# In the place of the shell, as a real agent it ends by SIGTERM.
exec sleep 3600
"""


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of programs that stands for an image."""
    folder = tmp_path_factory.mktemp("image")
    agent = folder / "scaler_cluster"
    agent.write_text(_AGENT)
    agent.chmod(agent.stat().st_mode | stat.S_IEXEC)
    return folder


@pytest.fixture(scope="module")
def running_cloud(stand_in: Path) -> Iterator[LocalCloud]:
    with LocalCloud(step_seconds=0.02, images=[f"stand-in*={stand_in}"]) as cloud:
        yield cloud


@pytest.fixture
def cloud(running_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloud]:
    """As new; this process's own environment leads to it."""
    running_cloud.reset()
    for name, value in running_cloud.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    yield running_cloud


@pytest.fixture
def options(cloud: LocalCloud) -> dict[str, Any]:
    """Enough for a driver whose tasks live and do nothing."""
    return {"ecs_subnets": cloud.subnet, "ecs_task_image": STAND_IN, "ecs_task_cpu": 0.25, "ecs_task_memory": 0.5}
