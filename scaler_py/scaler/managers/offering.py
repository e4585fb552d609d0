"""What a driver offers, checked before it is announced."""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

from scaler.config.models import MOST_WORKERS
from scaler.managers.api import Offer
from scaler.node.settings import available_cpus
from scaler.transport.errors import ConfigurationError

# The least that makes sense of each number.
_LEAST = {
    "slots": 1,
    "batch": 1,
    "calls": 1,
    "most_workers": 0,
    "deadline_seconds": 0.001,
    "startup_seconds": 0.001,
    "settle_seconds": 0.0,
    "shutdown_seconds": 0.0,
}


def checked_offer(driver: str, offer: object) -> Offer:
    """An Offer where there is none. ConfigurationError: it is one that nobody can start."""
    found = Offer() if offer is None else offer
    if not isinstance(found, Offer):
        raise _broken(driver, f"is {found!r:.200}", "return an Offer")
    for name, least in _LEAST.items():
        value = getattr(found, name)
        if not isinstance(value, (int, float)) or not least <= value <= MOST_WORKERS:
            raise _broken(driver, f"has {name}={value!r:.80}", f"{least} at least, and {MOST_WORKERS} at most")
    python_minor(found)
    return found


class FleetSize(NamedTuple):
    """The most that a manager has at a time: groups of so many slots, and workers in all."""

    groups: int
    slots: int
    workers: int


def fleet_size(offer: Offer, wanted: int | None) -> FleetSize:
    """wanted: the user's `--max-task-concurrency`, None without."""
    most = wanted or offer.most_workers or available_cpus()
    if offer.fixed:
        return FleetSize(1, most, most)
    if offer.limits_groups:
        return FleetSize(most, offer.slots, most * offer.slots)
    slots = min(offer.slots, most)
    return FleetSize(math.ceil(most / slots), slots, most)


def python_minor(offer: Offer) -> int:
    """Of the workers' Python. ConfigurationError: there is no such version."""
    if not offer.python:
        return sys.version_info.minor
    major, _, rest = offer.python.partition(".")
    minor = rest.partition(".")[0]
    if major != "3" or not minor.isdigit() or int(minor) > 255:
        raise ConfigurationError(f"{offer.python!r} is no version of Python 3.", "", "like 3.12")
    return int(minor)


def _broken(driver: str, what: str, mend: str) -> ConfigurationError:
    return ConfigurationError(f"The driver {driver!r} offers what cannot be: its offer {what}.", driver, mend)
