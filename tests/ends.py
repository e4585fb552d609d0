"""Waiting for processes of anybody's."""

from __future__ import annotations

import os
import select

from commands import PATIENCE


def wait_for_end(pid: int) -> None:
    """Of any process, not only a child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], PATIENCE)[0], f"process {pid} does not end"
    finally:
        os.close(descriptor)
