"""Standard output and error of an executor, with the task that wrote them.

What Python code writes to `sys.stdout` and `sys.stderr` goes to the pipe in records that name the task, made where the
task is known for certain: by the time that the agent reads a pipe, short tasks have long passed. What C code and child
processes write goes there plain, and the agent labels it with what runs just then.

    record: 0x1E session, 0x1F sequence, 0x1F length, 0x1F bytes      (numbers in hexadecimal digits)
"""

from __future__ import annotations

import io
import os
import sys

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    # (session, sequence) of the task that runs, None between tasks.
    Position = Callable[[], tuple[int, int] | None]
    # Takes what a task wrote to a stream (1 or 2), or not.
    Taker = Callable[[int, tuple[int, int], bytes], bool]

START, SEPARATOR = b"\x1e", b"\x1f"
# A write of at most this many bytes to a pipe is never mixed with another's (PIPE_BUF), the record's head included.
_MOST_BYTES = 4096 - 64


class LabelledOutput(io.RawIOBase):
    """A raw stream over a descriptor that it does not own."""

    def __init__(self, descriptor: int, position: Position, taken: Taker) -> None:
        self._descriptor = descriptor
        self._taken = taken
        self._position = position
        # Whose text waits in the buffers above us.
        self.owner: tuple[int, int] | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def write(self, data: Buffer, /) -> int:  # type: ignore[override,unused-ignore]
        position = self.owner or self._position()
        view = memoryview(data).cast("B")
        if position is None:
            return os.write(self._descriptor, view)
        if self._taken(self._descriptor, position, bytes(view)):
            return len(view)
        part = view[:_MOST_BYTES]
        session, sequence = position
        os.write(self._descriptor, b"\x1e%x\x1f%x\x1f%x\x1f%b" % (session, sequence, len(part), bytes(part)))
        return len(part)


class LabelledText(io.TextIOWrapper):
    """Text of one task at a time: what one has left in the buffers goes out before the next one writes."""

    def __init__(self, raw: LabelledOutput, position: Position, errors: str) -> None:
        super().__init__(io.BufferedWriter(raw), encoding="utf-8", errors=errors, line_buffering=True)
        self._raw = raw
        self._position = position

    def write(self, text: str, /) -> int:
        position = self._position()
        if position != self._raw.owner:
            self.flush()
            self._raw.owner = position
        return super().write(text)


def label_standard_streams(position: Position, taken: Taker) -> None:
    """Replaces `sys.stdout` and `sys.stderr`. They are flushed at each line's end, and after each chunk.

    taken: asked first, for what may go another way than the pipe."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        errors = "strict" if name == "stdout" else "backslashreplace"
        stream = LabelledText(LabelledOutput(descriptor, position, taken), position, errors)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def flush_standard_streams() -> None:
    """What a task left in the buffers is that task's. User code may have put anything in the streams' place."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            continue
