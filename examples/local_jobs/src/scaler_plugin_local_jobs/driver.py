"""Each task is a process of this machine, known by a folder in `context.state_directory` and by the lock in it.

A job's folder is there as a whole or not at all. Its lock is held by the process while it lives, and has the process's
id in it from the moment it began. So what is true after a crash is what is on the disk, and there is nothing else.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from scaler.managers.api import (
    Context,
    DriverInfo,
    Family,
    Job,
    Offer,
    OptionModel,
    Resource,
    Scope,
    TemporaryError,
    Unit,
    UnitState,
    option,
    pack_job,
)

from scaler_plugin_local_jobs.job import LOCK, object_file

_MODULE = "scaler_plugin_local_jobs.job"
# In a job's environment: whose it is, for who knows nothing of folders.
_OWNER = "SCALER_LOCAL_JOBS_OWNER"
# What folders are named by that are not whole yet.
_DRAFT = "draft-"
# What of a failed job's output is worth telling.
_OUTPUT_BYTES = 500


class LocalJobsOptions(OptionModel):
    group: ClassVar[str] = "driver local_jobs"

    nice: int = option(0, "how far jobs give way to other processes, from 0 to 19", ge=0, le=19)


@dataclass
class State:
    """`reaping`: only one thread may learn how a process ended, and it writes that down."""

    folder: Path
    reaping: threading.Lock = field(default_factory=threading.Lock)


def describe() -> DriverInfo:
    return DriverInfo("local_jobs", Family.OFFLOAD, LocalJobsOptions, api_version=1)


def open(context: Context) -> None:
    folder = context.state_directory / "jobs"
    folder.mkdir(exist_ok=True)
    context.state = State(folder)


def offer(context: Context) -> Offer:
    # What was started is in its folder at once.
    return Offer(settle_seconds=0, batch=50)


def start(context: Context, requests: Sequence[Job]) -> list[Unit]:
    return [_start(context, job) for job in requests]


def _start(context: Context, job: Job) -> Unit:
    name = hashlib.sha256(job.id.encode()).hexdigest()
    folder = context.state.folder / f"{name}-{job.attempt:06}"
    try:
        if not folder.exists():
            _write(context, job, folder)
        _run_once(context, folder)
    except OSError as error:
        return Unit(job.id, "", UnitState.FAILED, f"the process cannot be started: {error}")
    return _unit(context, folder) or Unit(job.id, folder.name, UnitState.PENDING)


def _write(context: Context, job: Job, folder: Path) -> None:
    """All that the job needs. Of two that do this at the same time one is too late, and that is fine."""
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=folder.parent))
    try:
        (draft / "lock").touch()
        (draft / "job").write_bytes(pack_job(job))
        (draft / "about").write_text(json.dumps({"id": job.id, "timeout": job.timeout}))
        for reference in job.references:
            with context.objects.open(reference) as stream, object_file(draft, reference).open("wb") as copy:
                shutil.copyfileobj(stream, copy)
        if not folder.exists():
            draft.rename(folder)
    except OSError:
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run_once(context: Context, folder: Path) -> None:
    """Nothing, where it runs or has run."""
    lock = _lock(folder)
    if lock is None:
        return
    try:
        if not _process_of(folder):
            os.pwrite(lock, str(_spawn(context, folder, lock)).encode(), 0)
    finally:
        os.close(lock)  # the process has it still


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the lock, to be closed; None while somebody else has it."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _spawn(context: Context, folder: Path, lock: int) -> int:
    output = os.open(folder / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", _MODULE, str(folder), str(context.options.nice)],
            {
                **os.environ,
                _OWNER: f"{context.owner.cluster}/{context.owner.manager}",
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
            file_actions=[
                (os.POSIX_SPAWN_DUP2, here, there) for here, there in ((lock, LOCK), (output, 1), (output, 2))
            ],
            setsid=True,
        )
    finally:
        os.close(output)


def _process_of(folder: Path) -> int:
    """0 for a job that has not begun."""
    return int((folder / "lock").read_text() or 0)


def heartbeat(context: Context) -> list[Unit]:
    # Of several attempts the last one counts.
    units = {unit.id: unit for folder in _folders(context) if (unit := _unit(context, folder)) is not None}
    return list(units.values())


def _folders(context: Context) -> list[Path]:
    """Of all jobs, earlier attempts before later ones."""
    return sorted(
        each.parent for each in context.state.folder.glob("*/about") if not each.parent.name.startswith(_DRAFT)
    )


def _unit(context: Context, folder: Path) -> Unit | None:
    """None: it has not begun, for the manager was killed before that, and is as if it were not there."""
    try:
        about = json.loads((folder / "about").read_text())
        if not _ended(context, folder):
            return Unit(about["id"], folder.name, UnitState.RUNNING)
        if (folder / "outcome").exists():
            return Unit(about["id"], folder.name, UnitState.SUCCEEDED)
        if not _process_of(folder):
            return None
        reason, timed_out = _reason(folder, about["timeout"])
        return Unit(about["id"], folder.name, UnitState.FAILED, reason, timed_out=timed_out)
    except FileNotFoundError:
        return None  # forgotten meanwhile


def _ended(context: Context, folder: Path) -> bool:
    """Whether it does not run. Writes down how our own child has ended, which can be asked once."""
    lock = _lock(folder)
    if lock is None:
        return False
    os.close(lock)
    process = _process_of(folder)
    with context.state.reaping:
        try:
            reaped, status = os.waitpid(process, os.WNOHANG) if process else (-1, 0)
        except ChildProcessError:
            return True  # an earlier manager's, or reaped before
        if reaped == process:
            (folder / "status").write_text(str(os.waitstatus_to_exitcode(status)))
    return reaped != 0


def _reason(folder: Path, timeout: float) -> tuple[str, bool]:
    """Why it ended without an outcome, and whether its time was up."""
    status = folder / "status"
    code = int(status.read_text()) if status.exists() else None
    late = timeout and time.time() - (folder / "lock").stat().st_mtime >= timeout
    if code == -signal.SIGALRM or (code is None and late):
        return f"it ran out of its time of {timeout:g} s", True
    how = "while no manager looked" if code is None else f"with exit code {code}"
    if code is not None and code < 0:
        how = f"by {signal.Signals(-code).name}"
    output = (folder / "output").read_bytes()[-_OUTPUT_BYTES:].decode(errors="replace").strip()
    return f"the process ended {how}" + (f": {output}" if output else ""), False


def shutdown(context: Context, ids: Sequence[str]) -> None:
    for folder in _folders(context):
        with suppress(FileNotFoundError):
            if json.loads((folder / "about").read_text())["id"] in ids:
                _remove(context, folder)


def _remove(context: Context, folder: Path) -> None:
    _end(folder, context.shutdown_seconds)
    _ended(context, folder)
    shutil.rmtree(folder)


def _end(folder: Path, seconds: float) -> None:
    """Kills it with all that it has started."""
    deadline = time.monotonic() + seconds
    while (lock := _lock(folder)) is None:
        if process := _process_of(folder):
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TemporaryError(f"process {process} does not end")
        time.sleep(0.005)
    os.close(lock)


def collect(context: Context, ids: Sequence[str]) -> dict[str, bytes]:
    found = {}
    for folder in _folders(context):
        with suppress(FileNotFoundError):
            name = json.loads((folder / "about").read_text())["id"]
            found.pop(name, None)  # of an earlier attempt
            if name in ids:
                found[name] = (folder / "outcome").read_bytes()
    return found


def cleanup(context: Context, scope: Scope, dry_run: bool) -> list[Resource]:
    """Folders that a killed manager did not get ready; jobs of managers of which there is nothing but the process."""
    folders = [] if scope is Scope.RUN else list(context.state.folder.glob(f"{_DRAFT}*"))
    jobs = _jobs_of_cluster(context.owner.cluster) if scope is Scope.CLUSTER else []
    if not dry_run:
        for folder in jobs:
            _remove(context, folder)
        for folder in folders:
            shutil.rmtree(folder)
    outcome = "would be deleted" if dry_run else "deleted"
    return [Resource("job" if each in jobs else "folder", str(each), outcome) for each in (*jobs, *folders)]


def _jobs_of_cluster(cluster: str) -> list[Path]:
    """The folders of running jobs, of all managers."""
    mark = f"{_OWNER}={cluster}/".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # another user's, or gone meanwhile
            command = (process / "cmdline").read_bytes().split(b"\0")
            marks = [each for each in (process / "environ").read_bytes().split(b"\0") if each.startswith(mark)]
            if marks and _MODULE.encode() in command:
                found.append(Path(os.fsdecode(command[command.index(_MODULE.encode()) + 1])))
    return found
