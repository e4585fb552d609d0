"""Frames out of a stream: each behind its length, u32 little-endian."""

import socket
import struct
import threading

LENGTH = struct.Struct("<I")
# A frame's prefix, and a frame that has nothing else.
SHORTEST_FRAME = 12
LARGEST_FRAME = 8 << 20

# Read at once, where it is not known how much will come.
_READ_BYTES = 256 << 10
# Read in one call of `FrameReader.read`, so that nobody else waits for long.
_TURN_BYTES = 4 << 20


class _Scratch(threading.local):
    """What a thread reads into: `recv` would map as much anew each time, to give most of it back."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(_READ_BYTES))


_scratch = _Scratch()


class FrameReader:
    """Reads frames from a non-blocking stream socket. A large one is read to where it stays, without a copy."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        # Bytes of a frame whose length is not known yet, three at most; or one that grows, and how far it is.
        self._rest = b""
        self._frame: memoryview | None = None
        self._filled = 0

    def read(self, limit: int = _TURN_BYTES) -> tuple[list[bytes | memoryview], bool]:
        """Frames that are complete, without their lengths, and whether the stream goes on."""
        frames: list[bytes | memoryview] = []
        taken = 0
        while taken < limit:
            grows = self._frame is not None
            try:
                got = self._read_large(frames) if grows else self._read_any(frames)
            except BlockingIOError:
                return frames, True
            except OSError:
                return frames, False
            if not got:
                return frames, False
            taken += got
            if not grows and got < _READ_BYTES:
                # All that was there: another look would most likely find nothing.
                return frames, True
        return frames, True

    def _read_large(self, frames: list[bytes | memoryview]) -> int:
        assert self._frame is not None, "called while a frame grows"
        got = self._stream.recv_into(self._frame[self._filled :])
        self._filled += got
        if self._filled == len(self._frame):
            frames.append(self._frame)
            self._frame = None
        return got

    def _read_any(self, frames: list[bytes | memoryview]) -> int:
        buffer = _scratch.buffer
        got = self._stream.recv_into(buffer)
        data = self._rest + buffer[:got]
        view = memoryview(data)
        start = 0
        while len(data) - start >= 4:
            begin, end = start + 4, start + 4 + LENGTH.unpack_from(data, start)[0]
            if end > len(data):
                self._begin(view[begin:], end - begin)
                start = len(data)
                break
            frames.append(view[begin:end])
            start = end
        self._rest = data[start:]
        return got

    def _begin(self, first: memoryview, length: int) -> None:
        if length > LARGEST_FRAME:
            raise OSError("a frame is longer than any may be")
        self._frame = memoryview(bytearray(length))
        self._filled = len(first)
        self._frame[: self._filled] = first
