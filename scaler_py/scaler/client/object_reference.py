"""ObjectReference, where programs of before look for it."""

from __future__ import annotations

import warnings

from scaler.packing import ObjectReference

__all__ = ["ObjectReference"]

warnings.warn("scaler.client.object_reference is scaler.packing now", DeprecationWarning, stacklevel=2)
