"""What the tasks of the fault tests run. Imports little: a fresh executor imports it after each kill."""

from __future__ import annotations

import itertools
import mmap
import os
import time
from typing import NamedTuple

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


class Gate(NamedTuple):
    """Holds up whoever passes it first, a task, until it is opened. Two named pipes."""

    arrived: str
    opened: str

    @staticmethod
    def new(folder: str, name: str) -> Gate:
        gate = Gate(os.path.join(folder, f"{name}-arrived"), os.path.join(folder, f"{name}-opened"))
        os.mkfifo(gate.arrived)
        os.mkfifo(gate.opened)
        return gate

    def hold(self) -> None:
        """In the task. Lets pass whoever comes again: another attempt."""
        try:
            os.mkdir(self.opened + "-passed")
        except FileExistsError:
            return
        with open(self.arrived, "w") as pipe:
            pipe.write(str(os.getpid()))
        with open(self.opened) as pipe:
            pipe.read()

    def wait_for_arrival(self) -> int:
        """The process that is held up."""
        with open(self.arrived) as pipe:
            return int(pipe.read())

    def open(self) -> None:
        with open(self.opened, "w"):
            pass


def pass_gates(call: tuple[int, Gate | None]) -> int:
    i, gate = call
    if gate is not None:
        gate.hold()
    return i


def log_and_pass(call: tuple[str, int, Gate | None, bool]) -> int:
    """Notes its start, waits where there is a gate, dies where it is deadly."""
    path, i, gate, is_deadly = call
    log_and_spin((path, i, 0.0))
    if gate is not None:
        gate.hold()
    if is_deadly:
        os._exit(9)
    return i


def never_returns_to_the_interpreter() -> int:
    return sum(itertools.repeat(0))


def sleep_and_give_back(call: tuple[float, bytes]) -> bytes:
    seconds, data = call
    time.sleep(seconds)
    return data


def sleep_and_add(seconds: float, *values: int) -> int:
    time.sleep(seconds)
    return sum(values)


def with_children(call: tuple[str, int, Gate | None]) -> int:
    """Element `i`, which waits for three children, one after the other; all four note their starts."""
    from scaler import Client

    path, i, gate = call
    log_and_spin((path, 4 * i, 0.0))
    client = Client()
    children = [4 * i + below for below in (1, 2, 3)]
    return sum(client.submit(log_and_pass, (path, child, gate, False)).result() for child in children)
