"""ScalerFuture, where programs of before look for it."""

from __future__ import annotations

import warnings

from scaler.client.futures import ScalerFuture

__all__ = ["ScalerFuture"]

warnings.warn("scaler.client.future is scaler.client.futures now", DeprecationWarning, stacklevel=2)
