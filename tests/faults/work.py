"""What the tasks of the fault tests run. Imports little: a fresh executor imports it after each kill."""

import itertools
import mmap
import os
import time

_marks: dict[str, mmap.mmap] = {}


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def spin_and_measure(data: bytes, seconds: float) -> int:
    spin(seconds)
    return len(data)


def marked(call: tuple[str, int, float]) -> int:
    """Element `i`, which notes in the file `folder/<pid>` that it runs: i + 1 while it does, 0 after."""
    folder, i, seconds = call
    mark = _marks.get(folder)
    if mark is None:
        mark = _marks[folder] = _new_mark(os.path.join(folder, str(os.getpid())))
    mark[:8] = (i + 1).to_bytes(8, "little")
    spin(seconds)
    mark[:8] = bytes(8)
    return i


def _new_mark(path: str) -> mmap.mmap:
    with open(path + ".new", "wb+") as file:
        file.truncate(mmap.PAGESIZE)
        mark = mmap.mmap(file.fileno(), mmap.PAGESIZE)
    os.rename(path + ".new", path)
    return mark


def running_element(folder: str, pid: int) -> int | None:
    """The element that a stopped executor is in the middle of; None when it is between two, or has not begun."""
    try:
        with open(os.path.join(folder, str(pid)), "rb") as file:
            mark = int.from_bytes(file.read(8), "little")
    except FileNotFoundError:
        return None
    return mark - 1 if mark else None


def short(call: tuple[int, float]) -> int:
    i, seconds = call
    spin(seconds)
    return i


def deadly(i: int) -> int:
    if i == 777:
        os._exit(9)
    return i


def log_and_spin(call: tuple[str, int, float]) -> int:
    """Notes each start of each element in a file that all executors append to."""
    path, i, seconds = call
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, i.to_bytes(8, "little"))
    finally:
        os.close(descriptor)
    spin(seconds)
    return i


def wait_at_gate(call: tuple[int, int, str, str]) -> int:
    """Element `special` says that it runs and stays; all others return at once."""
    i, special, begun, gate = call
    if i == special:
        with open(begun, "w"):
            pass
        with open(gate):
            pass
    return i


def never_returns_to_the_interpreter() -> int:
    return sum(itertools.repeat(0))
