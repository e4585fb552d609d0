"""Calls of hooks for which a user waits: what they raise is said in three lines."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from scaler.transport.errors import ThreeLineError

log = logging.getLogger("scaler.managers")

Result = TypeVar("Result")


def asked(hook: str, call: Callable[[], Result], passing: tuple[type[Exception], ...] = ()) -> Result:
    """What a hook gives. ThreeLineError: that it has failed. passing: what the caller knows to deal with."""
    try:
        return call()
    except Exception as error:
        if isinstance(error, (ThreeLineError, *passing)):
            raise
        raise failed(hook, error) from error


def failed(hook: str, error: Exception) -> ThreeLineError:
    log.debug("the driver's %s has failed", hook, exc_info=error)
    text = " ".join(str(error).split()) or "it does not say why"
    what = f"The driver's {hook} has failed: {type(error).__name__}: {text.rstrip('.')}."
    return ThreeLineError(what, "", "--logging-level DEBUG shows where")
