"""A local cloud a module, as new for each test, in which nothing is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import chores
import cloudpickle
import pytest
from commands import Run
from fargate import Fargate, scaled
from scaler.testing.localcloud import LocalCloud


@pytest.fixture(autouse=True)
def chores_travel() -> Iterator[None]:
    """Other tests of this process are not told."""
    cloudpickle.register_pickle_by_value(chores)
    yield
    cloudpickle.unregister_pickle_by_value(chores)


@pytest.fixture(scope="module")
def whole_cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(whole_cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCloud]:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    whole_cloud.reset()
    yield whole_cloud
    assert whole_cloud.leftovers() == []


@pytest.fixture
def fargate(run: Run, cloud: LocalCloud) -> Callable[..., Fargate]:
    """Starts a scheduler, with more options if there are."""
    return lambda *arguments, **named: scaled(run, cloud, *arguments, **named)
