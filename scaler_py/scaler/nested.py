"""Where the clients of tasks find out that they are in one. Imported by every executor: it imports nothing else."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from scaler.node.nest import Nest

_nest: Nest | None = None
_process = 0
_jobs = 0


def enter(nest: Nest) -> None:
    """This process is an executor."""
    global _nest, _process
    _nest, _process = nest, os.getpid()


def nest() -> Nest | None:
    """The executor's, where a task runs here; None elsewhere, also in what a task has forked."""
    return _nest if _nest is not None and _process == os.getpid() else None


class Job:
    """What runs meanwhile is a job of an infrastructure, from where no worker's connections lead back."""

    def __enter__(self) -> None:
        global _jobs
        _jobs += 1

    def __exit__(self, *_: object) -> None:
        global _jobs
        _jobs -= 1


def in_job() -> bool:
    return _jobs > 0
