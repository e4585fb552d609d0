"""Output of tasks whose client wants it (`Client(stream_output=True)`), sent by the executor itself.

It goes to the agent by the socket that carries results, so a task's lines are at the client before its result is. A
line leaves at once, unless very many come: then they are gathered for a moment. C code and child processes know nothing
of this and write to the pipe, which the agent reads (`output.py`); a forked child has no say on the socket either.
"""

from __future__ import annotations

import _thread
import os
from time import monotonic, sleep

from scaler.node.printing import flush_standard_streams
from scaler.written_lines import STDERR, STDOUT, Gathered

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Callable

    # (session, lines, dropped, records): to the agent.
    Send = Callable[[int, int, int, bytes], None]

# So often at once, and so often a second, what is written leaves by itself.
SENT_ALONE = 100.0
# After that lines wait for others so long, in seconds, or until there are so many bytes.
GATHER_SECONDS = 0.02
MOST_GATHERED = 32 << 10
# A line is cut when it is longer, in bytes.
LONGEST_LINE = 64 << 10


class Streaming:
    """`sessions` are those whose output is wanted; while there are none, nothing here is called."""

    def __init__(self, send: Send) -> None:
        self.sessions: dict[int, Gathered] = {}
        self._send_to_agent = send
        # Reentrant: a finalizer may print wherever the interpreter allocates memory, in here too.
        self._lock = _thread.RLock()
        # Of each stream, the beginning of a line and whose it is.
        self._begun: dict[int, tuple[tuple[int, int], bytearray]] = {}
        self._alone = SENT_ALONE
        self._asked_at = 0.0
        self._has_helper = False
        self._wanted = _thread.allocate_lock()
        self._wanted.acquire()
        os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self.sessions = {}
        self._begun = {}
        self._lock = _thread.RLock()

    def listen(self, session: int, on: bool) -> None:
        with self._lock:
            if on:
                self.sessions.setdefault(session, Gathered())
            else:
                self.sessions.pop(session, None)

    def write(self, stream: int, task: tuple[int, int], data: bytes) -> bool:
        """False where nobody wants it."""
        if task[0] not in self.sessions:
            return False
        with self._lock:
            owner, line = self._begun.setdefault(stream, (task, bytearray()))
            if owner != task:
                self._end_line(stream)
                line = bytearray()
                self._begun[stream] = task, line
            whole, end, rest = data.rpartition(b"\n")
            if end:
                self._add(stream, task, bytes(line) + whole + end)
                line.clear()
            line += rest
            if len(line) > LONGEST_LINE:
                self._end_line(stream)
            self._send_or_wait(task[0])
        return True

    def finish(self) -> None:
        """A slice has ended: what its tasks wrote goes before their values."""
        flush_standard_streams()
        with self._lock:
            for stream in (STDOUT, STDERR):
                self._end_line(stream)
            self._send_all(also_what_was_left_out=True)

    def send_gathered(self) -> None:
        with self._lock:
            self._send_all()

    def _end_line(self, stream: int) -> None:
        task, line = self._begun.pop(stream, (None, b""))
        if task is not None and line:
            self._add(stream, task, bytes(line) + b"\n")

    def _add(self, stream: int, task: tuple[int, int], text: bytes) -> None:
        gathered = self.sessions.get(task[0])
        if gathered is not None:
            gathered.add(task[1], stream, text)

    def _send_or_wait(self, session: int) -> None:
        gathered = self.sessions.get(session)
        if not gathered:
            return
        now = monotonic()
        self._alone = min(SENT_ALONE, self._alone + (now - self._asked_at) * SENT_ALONE)
        self._asked_at = now
        if len(gathered) > MOST_GATHERED or self._alone >= 1:
            self._alone -= 1
            self._send_all()
            return
        if not self._has_helper:
            self._has_helper = True
            _thread.start_new_thread(self._send_late, ())
        if self._wanted.locked():
            self._wanted.release()

    def _send_all(self, also_what_was_left_out: bool = False) -> None:
        for session, gathered in self.sessions.items():
            if gathered or (also_what_was_left_out and gathered.dropped):
                self._send_to_agent(session, *gathered.take())

    def _send_late(self) -> None:
        """A thread: sends what nothing follows that would."""
        while True:
            self._wanted.acquire()
            sleep(GATHER_SECONDS)
            try:
                self.send_gathered()
            except OSError:
                return  # the agent is gone
