"""What executors write to standard output and error, read by the agent, shown with the task's id.

A thread of the agent reads the pipes. Each line is written to the agent's own stream as

    [task 3f2a91c4:17] text

with the first digits of the session and the task's number in it. `printing.py` has the executor's side. Lines of a
session whose client wants them go there instead: those that come here, which are C code's and child processes'.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from scaler.node.printing import SEPARATOR, START
from scaler.written_lines import STDERR, STDOUT, Gathered

_READ_BYTES = 1 << 16
# Lines that were left out are told when nothing has come for so long, in seconds.
_TELL_SECONDS = 1.0
# A line is shown in parts when it is longer.
_LONGEST_LINE = 1 << 16
_HEAD = re.compile(START + (rb"([0-9a-f]{1,16})" + SEPARATOR) * 2 + rb"([0-9a-f]{1,4})" + SEPARATOR)
_BEGINNING_OF_HEAD = re.compile(START + rb"[0-9a-f]{0,16}(" + SEPARATOR + rb"[0-9a-f]{0,16}){0,2}")

# (session, sequence), None where it is not known.
Task = tuple[int, int] | None


def label(task: Task) -> bytes:
    return b"" if task is None else b"[task %s:%d] " % (f"{task[0]:016x}"[:8].encode(), task[1])


def labelled(task: Task, line: bytes) -> bytes:
    return label(task) + line


@dataclass
class Lines:
    """One pipe's bytes, cut into lines that each belong to one task. show: what to write of a line."""

    show: Callable[[Task, bytes], bytes] = labelled
    _waiting: bytearray = field(default_factory=bytearray)
    _line: bytearray = field(default_factory=bytearray)
    _owner: Task = None

    def feed(self, data: bytes, running: Task) -> bytes:
        """Labelled whole lines. running: the task that owns what is in no record."""
        self._waiting += data
        shown = bytearray()
        while self._waiting:
            start = self._waiting.find(START)
            if start:
                plain = bytes(self._waiting[: start if start > 0 else None])
                del self._waiting[: len(plain)]
                shown += self._text(plain, running)
                continue
            record = self._record()
            if record is None:
                break
            shown += self._text(*record)
        return bytes(shown)

    def end(self) -> bytes:
        """What is left when the pipe has ended."""
        rest, self._waiting = bytes(self._waiting), bytearray()
        return bytes(self._text(rest, self._owner)) + self._cut_line()

    def _record(self) -> tuple[bytes, Task] | None:
        """The record at the beginning; None when some of it is still to come."""
        head = _HEAD.match(self._waiting)
        if head is None:
            if _BEGINNING_OF_HEAD.fullmatch(self._waiting):
                return None
            # No record: the user's own bytes happen to begin like one.
            byte = bytes(self._waiting[:1])
            del self._waiting[:1]
            return byte, self._owner
        session, sequence, length = (int(number, 16) for number in head.groups())
        begin = head.end()
        if len(self._waiting) < begin + length:
            return None
        text = bytes(self._waiting[begin : begin + length])
        del self._waiting[: begin + length]
        return text, (session, sequence)

    def _text(self, text: bytes, task: Task) -> bytes:
        if not text:
            return b""
        shown = b""
        if self._line and task != self._owner:
            shown = self._cut_line()
        self._owner = task
        *whole, rest = text.split(b"\n")
        for line in whole:
            shown += self.show(task, bytes(self._line) + line + b"\n")
            self._line.clear()
        self._line += rest
        return shown + self._cut_line() if len(self._line) > _LONGEST_LINE else shown

    def _cut_line(self) -> bytes:
        if not self._line:
            return b""
        shown = self.show(self._owner, bytes(self._line) + b"\n")
        self._line.clear()
        return shown


@dataclass
class _Pipe:
    descriptor: int
    pid: int
    target: int
    lines: Lines


class OutputReader:
    """The thread that reads all executors' pipes."""

    def __init__(
        self,
        running: Callable[[], list[tuple[int, int, int, int]]],
        send: Callable[[int, int, int, bytes], None],
        targets: tuple[int, int] = (1, 2),
    ) -> None:
        """running: `Loop.positions`. send: `Loop.output`. targets: where what was stdout and stderr goes."""
        self._running = running
        self._send = send
        self._listening: dict[int, Gathered] = {}
        self._targets = targets
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._new: list[_Pipe] = []
        self._lock = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._read, name="output", daemon=True)
        self._thread.start()

    def add(self, pid: int, stdout: int, stderr: int) -> None:
        """Takes over both descriptors."""
        with self._lock:
            for descriptor, target, stream in zip((stdout, stderr), self._targets, (STDOUT, STDERR), strict=True):
                self._new.append(_Pipe(descriptor, pid, target, Lines(self._shower(stream))))
        os.write(self._wake_write, b"x")

    def listen(self, session: int, on: bool) -> None:
        """Whether the session's client wants its lines."""
        if on:
            self._listening.setdefault(session, Gathered())
        else:
            self._listening.pop(session, None)

    def _shower(self, stream: int) -> Callable[[Task, bytes], bytes]:
        def show(task: Task, line: bytes) -> bytes:
            gathered = None if task is None else self._listening.get(task[0])
            if task is None or gathered is None:
                return labelled(task, line)
            gathered.add(task[1], stream, line)
            return b""

        return show

    def close(self) -> None:
        """Shows what is there, closes all pipes and ends the thread."""
        self._stopping = True
        os.write(self._wake_write, b"x")
        self._thread.join()
        for descriptor in (self._wake_read, self._wake_write):
            os.close(descriptor)
        self._selector.close()

    def _read(self) -> None:
        while not self._stopping:
            self._send_gathered(also_what_was_left_out=False)
            untold = any(gathered.dropped for gathered in list(self._listening.values()))
            ready = self._selector.select(_TELL_SECONDS if untold else None)
            if not ready:
                self._send_gathered(also_what_was_left_out=True)
            for key, _ in ready:
                if key.data is None:
                    os.read(self._wake_read, 4096)
                    self._register_new()
                else:
                    self._read_pipe(key.data)
        self._register_new()
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                while self._read_pipe(key.data):
                    continue
        self._send_gathered(also_what_was_left_out=True)

    def _send_gathered(self, also_what_was_left_out: bool) -> None:
        for session, gathered in list(self._listening.items()):
            if gathered or (also_what_was_left_out and gathered.dropped):
                self._send(session, *gathered.take())

    def _register_new(self) -> None:
        with self._lock:
            new, self._new = self._new, []
        for pipe in new:
            os.set_blocking(pipe.descriptor, False)
            self._selector.register(pipe.descriptor, selectors.EVENT_READ, pipe)

    def _read_pipe(self, pipe: _Pipe) -> bool:
        """False when nothing is left to read: the pipe's end, or, while stopping, for now."""
        try:
            data = os.read(pipe.descriptor, _READ_BYTES)
        except BlockingIOError:
            if not self._stopping:
                return True
            data = b""
        shown = pipe.lines.feed(data, self._task_of(pipe.pid, data)) if data else pipe.lines.end()
        _write_all(pipe.target, shown)
        if data:
            return True
        self._selector.unregister(pipe.descriptor)
        os.close(pipe.descriptor)
        return False

    def _task_of(self, pid: int, data: bytes) -> Task:
        if data.startswith(START):
            return None
        return next((at[2:] for at in self._running() if at[1] == pid), None)


def _write_all(descriptor: int, data: bytes) -> None:
    # Nobody may be there to read any more; tasks go on all the same.
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(descriptor, data) :]
