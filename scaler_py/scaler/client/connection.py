"""Connecting to the scheduler or to object storage, with errors for people."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from scaler.errors import SchedulerUnreachableError

if TYPE_CHECKING:
    from scaler.transport.connect import Connection

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0


class Endpoint(NamedTuple):
    """Where a part is, and how to be let in."""

    address: str
    role: str
    key: Any = None
    insecure: bool | None = None
    compression: str = "auto"

    def dial(self, timeout: float) -> Connection:
        """Raises what `scaler.transport.connect.dial` does."""
        from scaler.transport.connect import dial

        return dial(
            self.address,
            self.role,
            key=self.key,
            insecure=self.insecure,
            timeout=max(0.0, timeout),
            compression=self.compression,
        )

    def first_dial(self, timeout: float) -> Connection:
        """As `dial`; nobody there is a SchedulerUnreachableError."""
        from scaler.transport.errors import NobodyThereError

        try:
            return self.dial(timeout)
        except NobodyThereError as error:
            raise SchedulerUnreachableError(f"{error}\n  (tried for {timeout:g} s)") from None


def unreachable(endpoint: Endpoint, timeout: float, lost: bool) -> SchedulerUnreachableError:
    """For the futures of a client whose scheduler is gone for good, or who never heard from it."""
    what = "was lost and did not come back" if lost else "accepted the connection and did not answer"
    return SchedulerUnreachableError(
        f"The scheduler {what} for {timeout:g} s.\n"
        f"  where: {endpoint.address}\n"
        f"  to do: see that it runs (its log says why it ended), or give timeout_seconds more time"
    )


class BackOff:
    """Pauses between attempts, until a deadline (time.monotonic)."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self._pause = FIRST_PAUSE

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def next_pause(self) -> float:
        """Seconds to wait before the next attempt; 0 or less when time is up."""
        pause = min(self._pause, self.left)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return pause
