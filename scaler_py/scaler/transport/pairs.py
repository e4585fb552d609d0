"""Our end of a socketpair whose other end a loop reads and writes as if the remote peer were there.

On the pair travel frames behind their length (u32, little-endian); on the zmq socket each frame is one message.
"""

import contextlib
import socket
import sys
from collections import deque
from itertools import islice

from scaler import _core
from scaler.transport.frames import LARGEST_FRAME, LENGTH, SHORTEST_FRAME, FrameReader

Message = bytes | memoryview

# Most bytes that may wait for the loop to take them. Links stay far below it by their credit.
LARGEST_BACKLOG = 128 << 20

# A message that says that the conversation is over: all that was sent before has arrived.
END = b""

_SEND_PARTS = 64
# A smaller frame goes in one piece with its length.
_COPIED = 16 << 10


class PairEnd:
    """One connection's bytes on their way between zmq and a loop. Never blocks."""

    def __init__(self, codec: str) -> None:
        """codec: for what leaves this host (`_core.pack_remote`)."""
        self._codec = codec
        self._socket, self._other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for end in (self._socket, self._other):
            end.setblocking(False)
        self._reader = FrameReader(self._socket)
        self._waiting: deque[memoryview | bytes] = deque()
        self._waiting_bytes = 0

    def detach_other(self) -> int:
        """The loop's end, for the loop."""
        return self._other.detach()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def unsent(self) -> bool:
        """Whether bytes wait for room in the socket."""
        return bool(self._waiting)

    def deliver(self, message: bytes) -> bool:
        """A message from the remote peer, for the loop. False: the message is no frame, or the loop has gone.

        An unpacked body is checked against its limits by the core; the frame's content by the loop."""
        if len(message) < SHORTEST_FRAME:
            return False
        frame = message
        if message[0]:
            try:
                frame = _core.unpack_remote(message)
            except ValueError:
                return False
        length = len(frame)
        if self._waiting_bytes + length > LARGEST_BACKLOG or length > LARGEST_FRAME:
            return False
        if length < _COPIED:
            self._waiting.append(LENGTH.pack(length) + frame)
        else:
            self._waiting.append(LENGTH.pack(length))
            self._waiting.append(frame)
        self._waiting_bytes += length + 4
        return True

    def flush(self) -> bool:
        """Writes what the socket takes. False when the loop has closed its end."""
        waiting = self._waiting
        while waiting:
            try:
                if len(waiting) == 1:
                    sent = self._socket.send(waiting[0])
                else:
                    sent = self._socket.sendmsg(list(islice(waiting, _SEND_PARTS)))
            except BlockingIOError:
                return True
            except OSError:
                return False
            self._drop(sent)
        return True

    def _drop(self, sent: int) -> None:
        self._waiting_bytes -= sent
        while sent:
            first = self._waiting[0]
            if len(first) > sent:
                self._waiting[0] = memoryview(first)[sent:]
                return
            sent -= len(first)
            self._waiting.popleft()

    def read(self) -> tuple[list[Message], bool]:
        """Packed messages for the remote peer, and whether the loop's end is still open."""
        frames, is_open = self._reader.read()
        return [self._pack(frame) for frame in frames], is_open

    def drain(self) -> list[Message]:
        """Packed messages of all that the loop has written so far."""
        frames, _ = self._reader.read(sys.maxsize)
        return [self._pack(frame) for frame in frames]

    def _pack(self, frame: Message) -> Message:
        return frame if self._codec == "off" else _core.pack_remote(frame, self._codec)

    def close(self) -> None:
        """Ends the connection for the loop. May be repeated."""
        self._waiting.clear()
        self._waiting_bytes = 0
        for end in (self._socket, self._other):
            with contextlib.suppress(OSError):
                end.close()
