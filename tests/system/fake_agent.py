"""The agent's end of an executor's socketpair and shared line, in plain Python: an executor alone."""

import ctypes
import os
import platform
import select
import signal
import socket
import struct
from mmap import mmap
from typing import Any

import msgpack
from scaler.node.starting import ExecutorSettings, start_executor
from scaler.packing import dumps, pack_table, unpack_exception, unpack_values

FUNCTION, FORGET_FUNCTION = 10, 11
READY, CHUNK, RESULT, END, OBJECT, FORGET_OBJECT, LARGE, STOP = range(50, 58)
FULL, ONE, STAR = range(3)
LIST, TABLE, SINGLE, REFERENCE, EXCEPTION, CANCELLED = range(6)
NEVER = 2**64 - 1
PATIENCE = 30.0

_SYS_FUTEX = {"x86_64": 202, "aarch64": 98}[platform.machine()]
_FUTEX_WAKE = 1
_POSITION, _STARTED, _STOP, _CANCEL, _FLUSH = 0, 8, 16, 24, 32


class FakeAgent:
    def __init__(self, **settings: Any) -> None:
        self.started = start_executor(ExecutorSettings(**settings))
        self.pid = self.started.pid
        self.socket = socket.socket(fileno=self.started.fd)
        self.socket.settimeout(PATIENCE)
        self.line = mmap(self.started.line_fd, 4096)
        self.revoke(NEVER)
        self.session = 0x1122334455667788
        self._received = b""
        self._chunk = 0
        self._ended = False

    # What an agent says.

    def send(self, *messages: list[Any], payloads: bytes = b"") -> None:
        header = msgpack.packb([0, 0, 0, 0, list(messages)])
        frame = struct.pack("<4xII", len(header), len(payloads)) + header + payloads
        self.socket.sendall(struct.pack("<I", len(frame)) + frame)

    def function(self, function: Any, name: bytes = b"f" * 16) -> bytes:
        return self.pickled_function(dumps(function), name)

    def pickled_function(self, pickled: bytes, name: bytes = b"f" * 16) -> bytes:
        self.send([FUNCTION, name, len(pickled)], payloads=pickled)
        return name

    def object(self, data: bytes, hash: bytes = b"o" * 16) -> None:
        self.send([OBJECT, [self.session, hash], len(data), 0, len(data)], payloads=data)

    def chunk(
        self, payload: bytes | None, count: int, *, form: int = LIST, style: int = ONE, skip: int = 0,
        take: int | None = None, function: bytes = b"f" * 16, first: int = 100,
    ) -> int:  # fmt: skip
        self._chunk += 1
        take = count - skip if take is None else take
        length = None if payload is None else len(payload)
        fields = [self._chunk, self.session, function, style, first, skip, take, count, form, length, 0, 0, []]
        self.send([CHUNK, *fields], payloads=payload or b"")
        return self._chunk

    def plain(self, values: list[Any], **more: Any) -> int:
        return self.chunk(dumps(values), len(values), form=LIST, **more)

    def calls(self, *calls: tuple[Any, ...], **more: Any) -> int:
        """One element a call, each the positional arguments."""
        return self.packed([dumps((args, {})) for args in calls], style=FULL, **more)

    def packed(self, blobs: list[bytes], **more: Any) -> int:
        return self.chunk(pack_table(blobs), len(blobs), form=TABLE, **more)

    def stop(self) -> None:
        self.send([STOP])

    # The shared line.

    def word(self, offset: int) -> int:
        return int(struct.unpack_from("<Q", self.line, offset)[0])

    def write_word(self, offset: int, value: int) -> None:
        struct.pack_into("<Q", self.line, offset, value)

    @property
    def position(self) -> tuple[int, int]:
        word = self.word(_POSITION)
        return word >> 32, word & 0xFFFFFFFF

    @property
    def started_us(self) -> int:
        return self.word(_STARTED)

    def revoke(self, position: int) -> None:
        self.write_word(_STOP, position)

    def cancel(self, chunk: int, index: int) -> None:
        self.write_word(_CANCEL, chunk << 32 | index)
        os.kill(self.pid, signal.SIGINT)

    def ask_flush(self) -> None:
        self.write_word(_FLUSH, self.word(_FLUSH) + 1)
        # The executor's flusher waits on this word by futex.
        libc = ctypes.CDLL(None, use_errno=True)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.line, _FLUSH))
        libc.syscall(_SYS_FUTEX, ctypes.c_void_p(address), _FUTEX_WAKE, 1, None, None, 0)

    # What an executor says.

    def receive(self) -> list[tuple[list[Any], bytes]]:
        """The messages of one frame, each with its payload."""
        (length,) = struct.unpack("<I", self._exactly(4))
        frame = self._exactly(length)
        header_bytes, body_bytes = struct.unpack_from("<4xII", frame)
        messages = msgpack.unpackb(frame[12 : 12 + header_bytes])[4]
        body = frame[12 + header_bytes :]
        assert len(body) == body_bytes
        if len(messages) == 1:
            return [(messages[0], body)]
        told, at = [], 0
        for message in messages:
            size = message[5] if message[0] == RESULT else 0
            told.append((message, body[at : at + size]))
            at += size
        return told

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError("the executor has closed its socket")
            self._received += data
        data, self._received = self._received[:size], self._received[size:]
        return data

    def ready(self) -> str:
        """What went wrong, if anything did."""
        ((message, _),) = self.receive()
        assert message[:2] == [READY, self.pid]
        return str(message[2])

    def outcomes(self, chunk: int) -> tuple[list[Any], int]:
        """(kind name, value) of each element that has one, in order, and where the chunk ended."""
        found: list[Any] = []
        while True:
            for message, payload in self.receive():
                assert message[1] == chunk
                if message[0] == END:
                    return found, message[2]
                found += self.read_outcome(message, payload, len(found))

    def read_outcome(self, message: list[Any], payload: bytes, index: int) -> list[Any]:
        assert message[2] == index, "outcomes come in order"
        if message[0] == LARGE:
            return [("large", payload)]
        assert message[0] == RESULT
        _, _, _, count, kind, _, _ = message
        if kind == EXCEPTION:
            return [("exception", unpack_exception(payload))]
        if kind == CANCELLED:
            return [("cancelled", None)]
        return [("value", value) for value in unpack_values(kind, payload, count)]

    def values(self, chunk: int) -> list[Any]:
        found, _ = self.outcomes(chunk)
        assert {kind for kind, _ in found} <= {"value"}, found
        return [value for _, value in found]

    # The process.

    def wait(self) -> int:
        """Exit code, or minus the signal's number."""
        descriptor = os.pidfd_open(self.pid)
        try:
            assert select.select([descriptor], [], [], PATIENCE)[0], "the executor does not end"
        finally:
            os.close(descriptor)
        self._ended = True
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def output(self) -> tuple[bytes, bytes]:
        """All of its standard output and error; it has ended."""
        return _read_all(self.started.stdout), _read_all(self.started.stderr)

    def close(self) -> None:
        if not self._ended:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait()
        self.socket.close()
        self.line.close()
        for descriptor in (self.started.line_fd, self.started.stdout, self.started.stderr):
            os.close(descriptor)


def _read_all(descriptor: int) -> bytes:
    data = b""
    while part := os.read(descriptor, 1 << 16):
        data += part
    return data
