"""What the parts of a stack say, on one terminal: each line with the part's name in front."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterable


class Terminal:
    """Standard output, a line at a time, from several threads."""

    def __init__(self, names: Iterable[str]) -> None:
        self._width = max(map(len, names), default=0)
        self._lock = threading.Lock()

    def say(self, name: str, text: str) -> None:
        """text: one line or more."""
        lines = "".join(f"{name:<{self._width}} | {line}\n" for line in text.splitlines())
        # Whoever read our output may have gone: the parts run on all the same, and must not block on full pipes.
        with self._lock, contextlib.suppress(OSError, ValueError):
            sys.stdout.write(lines)
            sys.stdout.flush()

    def follow(self, name: str) -> tuple[int, threading.Thread]:
        """A descriptor for a part to write to, the caller's to close; the thread ends when nobody has it any more."""
        reading, writing = os.pipe()
        thread = threading.Thread(target=self._copy, args=(name, reading), name=f"output of {name}", daemon=True)
        thread.start()
        return writing, thread

    def _copy(self, name: str, descriptor: int) -> None:
        with open(descriptor, encoding="utf-8", errors="replace", newline="\n") as lines:
            for line in lines:
                self.say(name, line.rstrip("\r\n") or " ")
