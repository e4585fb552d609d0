"""DefaultSerializer, where programs of before look for it."""

from __future__ import annotations

import warnings

from scaler.client.serializer import DefaultSerializer

__all__ = ["DefaultSerializer"]

warnings.warn("scaler.client.serializer.default is scaler.client.serializer now", DeprecationWarning, stacklevel=2)
