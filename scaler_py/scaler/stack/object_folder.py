"""Where a stack's object storage has its files, unless it is told: a folder that goes with the stack."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "scaler-objects-"


@contextlib.contextmanager
def object_folder() -> Iterator[str]:
    """A new folder (mode 0700), removed at the end; and those of stacks that were killed go.

    Below `$TMPDIR`, else /var/tmp, for /tmp may be memory.
    """
    base = _base()
    _remove_left_over(base)
    path, lock = _make(base)
    try:
        # The lock on the folder itself is ours.
        yield str(path / "stored")
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _base() -> Path:
    for each in (os.environ.get("TMPDIR"), "/var/tmp"):
        if each and os.path.isdir(each) and os.access(each, os.W_OK | os.X_OK):
            return Path(each)
    return Path(tempfile.gettempdir())


def _make(base: Path) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        # It says that the folder has an owner. Another stack may have taken it for left over before it was there.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path, lock
        os.close(lock)


def _remove_left_over(base: Path) -> None:
    for path in base.glob(_PREFIX + "*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_uid != os.geteuid():
                continue
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            finally:
                os.close(lock)
