"""`scaler.Scheduler`, for programs that import it by name."""

from __future__ import annotations

from scaler.errors import NotSupportedError


class Scheduler:
    """A scheduler runs as a process of its own here: to make one of these is a NotSupportedError that says how."""

    def __init__(self, *_: object, **__: object) -> None:
        raise NotSupportedError(
            "A scheduler is no object of this process: it runs as one of its own.\n"
            "  to do: scaler.SchedulerClusterCombo(n_workers=…) from a program, or the command scaler_scheduler"
        )
