"""Batch's errors: there are two kinds, and this is the caller's."""

from __future__ import annotations

import re
import uuid

from scaler.testing.localcloud.answers import AwsError

# Of jobs, definitions, queues, environments.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


def client_error(message: str) -> AwsError:
    return AwsError("ClientException", message)


def executing_error(message: str) -> AwsError:
    """In the form that most of Batch's checks have."""
    if message.startswith("Error executing request"):
        return client_error(message)
    return client_error(f"Error executing request, Exception : {message}, RequestId: {uuid.uuid4()}")
