"""The system's verdicts as exceptions: what happened, where, what to do."""

from __future__ import annotations

import signal
from collections import Counter
from typing import NamedTuple

from scaler import errors


class Failure(NamedTuple):
    """As the scheduler told it. status: exit code, or minus the signal's number."""

    code: int
    attempts: int
    status: int
    nodes: list[str]
    detail: str


_CLASSES: tuple[type[errors.TaskError], ...] = (
    errors.ProcessorDiedError,
    errors.WorkerDiedError,
    errors.TaskTimeoutError,
    errors.TaskMemoryError,
    errors.MissingObjects,
    errors.NodeSetupError,
    errors.TaskRejectedError,
    errors.ObjectStorageException,
)

_WHAT = (
    "The process that ran the task ended with {status}, in {attempts}.",
    "The node that ran the task was lost, in {attempts}.",
    "The task ran longer than its time-out; its process was ended.",
    "The task used more memory than it may; its process was ended.",
    "An object that the task needs is not in object storage any more.",
    "The process that would run the task cannot start.",
    "The scheduler or the worker could not accept the task.",
    "Object storage could not be reached, or did not take an object.",
)

# Of jobs no exit code is told, but what the infrastructure says.
_JOB_ENDED = "The job that ran the task ended without an outcome, in {attempts}."

_MEND = (
    "run the function here with the same arguments; os._exit, a crash in C code or the kernel's memory killer do this",
    "look at the nodes' logs; `retries=` or more nodes help when machines come and go",
    "raise `timeout=` of submit_verbose (or --task-timeout-seconds), or split the task",
    "raise --per-worker-memory-limit, or give the task less at a time",
    "send the object again with `send_object`: clear() and the end of its client drop it",
    "mend what `preload` does, or see the node's log",
    "see the text above; a function must be picklable and importable on the workers",
    "see that the object storage server runs, has room (--memory-limit, --directory, --session-quota), and can be "
    "reached from everywhere at its advertised address",
)


NESTING_LIMIT = 9


def failure_error(failure: Failure) -> errors.TaskError:
    """A fresh exception for this verdict."""
    if failure.code == NESTING_LIMIT:
        return _nesting_limit(failure)
    code = failure.code if 0 <= failure.code < len(_CLASSES) else 6
    what = _WHAT[code] if code or failure.status or not failure.detail else _JOB_ENDED
    what = what.format(status=status_text(failure.status), attempts=_attempts(failure.attempts))
    lines = [f"{what.removesuffix('.')}: {failure.detail}" if failure.detail else what]
    if failure.nodes:
        lines.append(f"  where: {_nodes(failure.nodes)}")
    lines.append(f"  to do: {_MEND[code]}")
    return _CLASSES[code](
        "\n".join(lines), attempts=failure.attempts, status=failure.status, nodes=tuple(failure.nodes)
    )


def _nesting_limit(failure: Failure) -> errors.NestingLimitError:
    return errors.NestingLimitError(
        f"A task waits for this one, and no process is left to run it: {failure.detail}\n"
        f"  where: {_nodes(failure.nodes)}\n"
        "  to do: nest less deeply, give the node more memory, or add nodes",
        nodes=tuple(failure.nodes),
    )


def status_text(status: int) -> str:
    """`exit code 3` or `signal 9 (SIGKILL)`."""
    if status >= 0:
        return f"exit code {status}"
    try:
        return f"signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"signal {-status}"


def _attempts(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"


def _nodes(nodes: list[str]) -> str:
    """nodes: one for each attempt, in that order; a node may be there more than once."""
    counts = Counter(nodes)
    names = [name if count == 1 else f"{name} ({count} times)" for name, count in counts.items()]
    return f"{'node' if len(names) == 1 else 'nodes'} {', '.join(names)}"
