"""Clients in jobs: there no worker's connections lead back to the cluster, and no cluster is to be started."""

from __future__ import annotations

import os
from typing import Any

from scaler.errors import NotSupportedError

ADDRESS = "SCALER_SCHEDULER_ADDRESS"
_KEYS = ("SCALER_KEY", "SCALER_KEY_FILE", "SCALER_INSECURE")


def job_address(key: Any, insecure: bool | None) -> str:
    """Of the scheduler that the job's environment names. NotSupportedError: it names none, or no key."""
    address = os.environ.get(ADDRESS, "")
    if address and (key is not None or insecure or any(os.environ.get(name) for name in _KEYS)):
        return address
    raise NotSupportedError(
        "This task runs as a job, from where no way leads to its scheduler: Client() cannot be used here.\n"
        f"  to do: set {ADDRESS} and SCALER_KEY (a join token: `scaler_keys export`) in the jobs' environment; "
        "or submit from outside of tasks"
    )
