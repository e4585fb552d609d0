"""Serializer, where programs of before look for it."""

from __future__ import annotations

import warnings

from scaler.client.serializer import Serializer

__all__ = ["Serializer"]

warnings.warn("scaler.client.serializer.mixins is scaler.client.serializer now", DeprecationWarning, stacklevel=2)
