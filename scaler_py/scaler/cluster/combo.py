"""SchedulerClusterCombo, where programs of before look for it."""

from __future__ import annotations

import warnings

from scaler.cluster import SchedulerClusterCombo

__all__ = ["SchedulerClusterCombo"]

warnings.warn("scaler.cluster.combo is scaler.cluster now", DeprecationWarning, stacklevel=2)
