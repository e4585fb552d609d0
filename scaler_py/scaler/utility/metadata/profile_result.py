"""ProfileResult, where programs of before look for it."""

from __future__ import annotations

import warnings

from scaler.client.profiling import ProfileResult

__all__ = ["ProfileResult"]

warnings.warn("scaler.utility.metadata.profile_result is scaler.client.profiling now", DeprecationWarning, stacklevel=2)
