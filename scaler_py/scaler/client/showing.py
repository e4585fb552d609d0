"""Prints what tasks wrote, for clients made with `stream_output=True`: to the streams that `sys` has at that time."""

from __future__ import annotations

import contextlib
import sys
from itertools import groupby
from typing import TextIO

from scaler.written_lines import STDOUT, records


def show(dropped: int, payload: bytes) -> None:
    """payload: records. dropped: so many lines were left out before these. Whatever a stream raises is its own
    affair: tasks go on."""
    if dropped:
        _write(sys.stderr, f"scaler: {dropped} lines that tasks wrote were left out here: too many came at once\n")
    for stream, of_stream in groupby(records(payload), key=lambda record: record[1]):
        text = b"".join(text for _, _, text in of_stream).decode(errors="backslashreplace")
        _write(sys.stdout if stream == STDOUT else sys.stderr, text)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # a program without a terminal
        return
    with contextlib.suppress(Exception):
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
