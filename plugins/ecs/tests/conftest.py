"""Local clouds for the tests: one a module, as new for each of them or as the one before has left it."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clouds import options_of
from scaler.testing.localcloud import LocalCloud

# An agent that does nothing but live. In the place of the shell: as a real one it ends by SIGTERM.
_AGENT = """#!/bin/sh
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
    """What IAM makes is seen at once: who calls hooks by hand has no patience."""
    with LocalCloud(step_seconds=0.02, iam_seconds=0.0, images=[f"stand-in*={stand_in}"]) as cloud:
        yield cloud


@pytest.fixture
def used_cloud(running_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> LocalCloud:
    """As the test before has left it; this process's own environment leads to it."""
    for name, value in running_cloud.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    return running_cloud


@pytest.fixture
def cloud(used_cloud: LocalCloud) -> LocalCloud:
    """As new."""
    used_cloud.reset()
    return used_cloud


@pytest.fixture
def options(cloud: LocalCloud) -> dict[str, Any]:
    """Enough for a driver whose tasks live and do nothing."""
    return options_of(cloud.subnet)


@pytest.fixture
def subnet(used_cloud: LocalCloud) -> str:
    """For tests on a used cloud."""
    return used_cloud.subnet
