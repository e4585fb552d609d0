"""What tasks write, on its way from a worker to the client that wants it: whole lines, in records, within an allowance.

    record: u64 sequence, u8 stream (1 standard output, 2 standard error), u32 length, text      (little-endian)

Workers put them together here, and clients take them apart; everybody between passes them on unopened.
"""

from __future__ import annotations

import struct
from time import monotonic

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STDOUT, STDERR = 1, 2
_HEAD = struct.Struct("<QBI")
# So much text of one session may pass at once, and so much more each second, in bytes: of one executor, and of the
# pipes of one agent.
BURST_BYTES = 1 << 20
BYTES_A_SECOND = 256 << 10
# Text is taken or left out in pieces of so many bytes, or a line.
_PIECE = 8 << 10
# Once something was left out, so is all that follows until there is room for so many bytes: one hole in a text is
# better than many.
_ROOM_AGAIN = BYTES_A_SECOND // 4


class Gathered:
    """One session's lines that are to be sent. What is over the allowance is left out, and counted."""

    __slots__ = ("_bytes", "_clock", "_full", "_left", "_lines", "_records", "_since", "dropped")

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._left = float(BURST_BYTES)
        self._since = clock()
        self._records: list[bytes] = []
        self._full = False
        # Lines that were left out since something was taken.
        self._bytes = self._lines = self.dropped = 0

    def __len__(self) -> int:
        """Bytes that wait."""
        return self._bytes

    def add(self, sequence: int, stream: int, text: bytes) -> None:
        """text: whole lines, with their ends."""
        now = self._clock()
        self._left = min(BURST_BYTES, self._left + (now - self._since) * BYTES_A_SECOND)
        self._since = now
        for piece in _pieces(text):
            lines = piece.count(b"\n")
            size = _HEAD.size + len(piece)
            self._full = size > self._left or (self._full and self._left < _ROOM_AGAIN)
            if self._full:
                self.dropped += lines
                continue
            self._left -= size
            self._bytes += size
            self._lines += lines
            self._records += [_HEAD.pack(sequence, stream, len(piece)), piece]

    def take(self) -> tuple[int, int, bytes]:
        """(lines, dropped, records), and nothing waits any more."""
        taken = self._lines, self.dropped, b"".join(self._records)
        self._records = []
        self._bytes = self._lines = self.dropped = 0
        return taken


def _pieces(text: bytes) -> Iterator[bytes]:
    at = 0
    while len(text) - at > _PIECE:
        end = text.rfind(b"\n", at, at + _PIECE) + 1 or text.find(b"\n", at) + 1 or len(text)
        yield text[at:end]
        at = end
    if at < len(text):
        yield text[at:]


def records(payload: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(sequence, stream, text), in the order in which they were added. ValueError for what is malformed."""
    at = 0
    while at < len(payload):
        try:
            sequence, stream, length = _HEAD.unpack_from(payload, at)
        except struct.error:
            raise ValueError("malformed output") from None
        at += _HEAD.size
        yield sequence, stream, payload[at : at + length]
        at += length
