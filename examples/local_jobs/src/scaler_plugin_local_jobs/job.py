"""`python -m scaler_plugin_local_jobs.job FOLDER NICE`: one job. It reads the job in the folder and leaves its outcome.

It holds the folder's lock, which it was given as descriptor 3, for as long as it lives.
"""

import hashlib
import os
import signal
import sys
from pathlib import Path

LOCK = 3


def object_file(folder: Path, reference: str) -> Path:
    """Where the bytes of an object are that the job refers to."""
    return folder / f"object-{hashlib.sha256(reference.encode()).hexdigest()}"


def main() -> None:
    os.set_inheritable(LOCK, False)
    os.pwrite(LOCK, str(os.getpid()).encode(), 0)
    folder = Path(sys.argv[1])
    os.nice(int(sys.argv[2]))
    # After the lock, for it takes a while.
    from scaler.managers.api import run_job, unpack_job

    packed = (folder / "job").read_bytes()
    # By the kernel: the signal ends the process, whatever runs in it.
    signal.setitimer(signal.ITIMER_REAL, unpack_job(packed).timeout)
    outcome = run_job(packed, lambda reference: object_file(folder, reference).read_bytes())
    signal.setitimer(signal.ITIMER_REAL, 0)
    (folder / "unfinished").write_bytes(outcome)
    (folder / "unfinished").rename(folder / "outcome")


if __name__ == "__main__":
    main()
