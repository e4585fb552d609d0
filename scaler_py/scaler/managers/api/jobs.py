"""A job's way through an infrastructure: packed by its driver, run by `run_job` there, its outcome brought back.

scaler-job-1\\n    u32 length of the header    header: JSON    function    arguments
scaler-outcome-1\\n    u8 kind    packed value or exception
"""

import json
import struct
import sys
from collections.abc import Sequence
from typing import Any

from scaler import nested
from scaler.errors import DeserializeObjectError, TaskError
from scaler.managers.api.requests import Job
from scaler.managers.arguments import ReadObject, read_object, reading
from scaler.packing import ObjectReference, dumps, loads, pack_exception

_JOB = b"scaler-job-1\n"
_OUTCOME = b"scaler-outcome-1\n"
VALUE, EXCEPTION = 0, 1


def pack_job(job: Job) -> bytes:
    """The whole job as bytes, to be compressed, stored and sent as the driver likes."""
    header = {
        "id": job.id,
        "attempt": job.attempt,
        "name": job.name,
        "references": list(job.references),
        "python": job.python,
        "timeout": job.timeout,
        "priority": job.priority,
        "capabilities": dict(job.capabilities),
        "function_bytes": len(job.function),
    }
    packed = json.dumps(header).encode()
    return b"".join((_JOB, struct.pack("<I", len(packed)), packed, job.function, job.arguments))


def unpack_job(packed: bytes) -> Job:
    """The job of `pack_job`. ValueError: these bytes are none."""
    if packed[: len(_JOB)] != _JOB:
        raise ValueError("this is no packed job")
    try:
        (length,) = struct.unpack_from("<I", packed, len(_JOB))
        at = len(_JOB) + 4
        header = json.loads(packed[at : at + length])
        at += length
        middle = at + header.pop("function_bytes")
        if middle > len(packed):
            raise ValueError("it is cut short")
        return Job(function=bytes(packed[at:middle]), arguments=bytes(packed[middle:]), **header)
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ValueError(f"this is no packed job: {error}") from None


def run_job(packed: bytes, read_object: ReadObject | None = None) -> bytes:
    """Runs a packed job here, in this thread; its outcome, for `collect` to give back. Never raises.

    What the function raises is an outcome; so is what keeps it from running. Only what ends the process gives none.
    read_object: for jobs with references. A time-out is the infrastructure's to keep.
    """
    try:
        with nested.Job(), reading(read_object):
            return _OUTCOME + bytes([VALUE]) + dumps(_run(unpack_job(packed)))
    except BaseException as error:  # SystemExit and KeyboardInterrupt are a task's outcome as any other
        return _OUTCOME + bytes([EXCEPTION]) + pack_exception(error)


def unpack_outcome(outcome: bytes) -> tuple[int, bytes]:
    """(kind, packed value or exception) of `run_job`'s bytes. ValueError: these bytes are none."""
    start = len(_OUTCOME)
    if outcome[:start] != _OUTCOME or len(outcome) <= start + 1 or outcome[start] not in (VALUE, EXCEPTION):
        raise ValueError("this is no outcome of run_job")
    return outcome[start], outcome[start + 1 :]


def _run(job: Job) -> Any:
    function = _unpacked("function", job.function, job)
    args, kwargs = _unpacked("arguments", job.arguments, job)
    return function(*_in_place_of_references(args, job), **kwargs)


def _in_place_of_references(args: Sequence[Any], job: Job) -> list[Any]:
    """As executors do it: only references that stand alone among the positional arguments are replaced."""
    return [
        _unpacked(f"object {each.name!r}", read_object(each.object_id.hex(), each.name), job)
        if type(each) is ObjectReference
        else each
        for each in args
    ]


def _unpacked(what: str, packed: bytes, job: Job) -> Any:
    try:
        return loads(packed)
    except TaskError:
        raise
    except Exception as error:
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        versions = f" (it was packed by Python {job.python}; this is {here})" if job.python not in ("", here) else ""
        text = f"The {what} cannot be unpickled in the job: {type(error).__name__}: {error}{versions}"
        raise DeserializeObjectError(text) from error
