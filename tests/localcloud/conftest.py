"""One cloud a module, as new for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scaler.testing.localcloud import LocalCloud


@pytest.fixture(scope="module")
def module_cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(module_cloud: LocalCloud) -> LocalCloud:
    module_cloud.reset()
    return module_cloud
