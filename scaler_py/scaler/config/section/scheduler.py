"""PolicyConfig, where programs of before look for it."""

from __future__ import annotations

import warnings

from scaler.config.policy import PolicyConfig

__all__ = ["PolicyConfig"]

warnings.warn("scaler.config.section.scheduler is scaler.config.policy now", DeprecationWarning, stacklevel=2)
