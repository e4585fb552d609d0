"""A scheduler of a page, for tests of the client alone: speaks the real protocol on a Unix socket, runs tasks in place.

It does what a test tells it: hold tasks back, answer out of order, lose connections, forget, refuse.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
from scaler.packing import ObjectReference, loads, pack_exception, pack_values, unpack_values

HELLO, WELCOME, REFUSED, HEARTBEAT = 0, 1, 2, 4
FUNCTION, FORGET_FUNCTION, SUBMIT, CANCEL, QUERY, CLEAR, GOODBYE, SHUTDOWN, HOLD, RELEASE = range(10, 20)
RESULTS, ANSWER, CLOSING = 20, 21, 22
STREAM_OUTPUT, OUTPUT = 70, 72
PUT, STORED, GET, DATA, MISSING, STORE_ERROR = 60, 61, 62, 63, 64, 67
CANCELLED, FAILURE, EXCEPTION, REFERENCE = 5, 6, 4, 3
# Places of payload lengths among a message's fields, for the kinds that have any but blocks and segments.
PAYLOAD_AT = {FUNCTION: 2, PUT: 5}


@dataclass
class Task:
    """One element that was submitted."""

    session: int
    sequence: int
    function: bytes
    style: int
    argument: Any
    options: list[Any]


@dataclass
class Peer:
    """One link of a client, over one connection after the other."""

    session: int
    role: int
    epoch: int = 0
    sent: int = 0
    received: int = 0
    connection: socket.socket | None = None
    link: int = 0
    # All that was sent in this epoch.
    log: list[tuple[list[Any], tuple[bytes, ...]]] = field(default_factory=list)


@dataclass
class ScriptedScheduler:
    """accept: whether connections are answered. hold: tasks wait in `tasks` until `run`. acknowledge: gives credit."""

    path: str
    hold: bool = False
    acknowledge: bool = True
    protected: bool = False
    refuse: str = ""
    silent: bool = False
    incarnation: int = 7
    functions: dict[bytes, bytes] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    # Submissions whose arguments are not here yet.
    waiting: list[tuple[Peer, list[Any]]] = field(default_factory=list)
    refuse_objects: str = ""
    messages: queue.SimpleQueue[list[Any]] = field(default_factory=queue.SimpleQueue)
    objects: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    held: dict[bytes, int] = field(default_factory=dict)
    large: int = 1 << 30
    explain: Callable[[int, int], str] = lambda kind, sequence: "queued"

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.came = threading.Condition(self.lock)
        self.peers: dict[int, Peer] = {}
        self.connections: set[socket.socket] = set()
        self.listen()

    @property
    def address(self) -> str:
        return f"ipc://{self.path}"

    def listen(self) -> None:
        Path(self.path).unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = listener.accept()[0]
                self.connections.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def stop(self) -> None:
        """Nobody there any more."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        Path(self.path).unlink(missing_ok=True)
        self.drop_connections()

    def drop_connections(self) -> None:
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """As a scheduler that was started again."""
        with self.lock:
            self.incarnation += 1
            self.functions.clear()
            self.tasks.clear()
            self.waiting.clear()
            self.objects.clear()
            self.peers.clear()

    # -- The wire

    def _serve(self, connection: socket.socket) -> None:
        peer: Peer | None = None
        try:
            for link, epoch, sequence, messages in read_frames(connection):
                with self.lock:
                    if messages and messages[0][0] == HELLO:
                        peer = self._welcome(connection, link, epoch, messages[0])
                        continue
                    if peer is None or (sequence and sequence != peer.received + 1):
                        continue
                    peer.received += bool(sequence)
                    for message in messages:
                        self.messages.put(message)
                        self._handle(peer, message)
                    if sequence and self.acknowledge:
                        self._send(peer, [])
        except OSError:
            pass
        finally:
            self.connections.discard(connection)
            connection.close()

    def _welcome(self, connection: socket.socket, link: int, epoch: int, hello: list[Any]) -> Peer | None:
        _, _, role, incarnation, received, _, _, session, _, _, _ = hello
        if self.silent:
            return None
        if self.refuse:
            write_frame(connection, link, epoch, 0, 0, [[REFUSED, 0, self.refuse]])
            return None
        peer = self.peers.get(link)
        if peer is None or incarnation != self.incarnation or peer.epoch != epoch:
            peer = self.peers[link] = Peer(session, role, epoch + 1, link=link)
        peer.connection = connection
        welcome = [WELCOME, self.incarnation, peer.epoch, peer.received, "", self.address, []]
        write_frame(connection, link, epoch, 0, 0, [welcome])
        for sequence, (messages, payloads) in enumerate(peer.log, 1):
            if sequence > received or peer.epoch != epoch:
                write_frame(connection, link, peer.epoch, sequence, peer.received, messages, payloads)
        return peer

    def _send(self, peer: Peer, messages: list[Any], *payloads: bytes) -> None:
        if messages:
            peer.sent += 1
            peer.log.append((messages, payloads))
        if peer.connection is None:
            return
        with contextlib.suppress(OSError):
            acknowledged = peer.received if self.acknowledge else 0
            sequence = peer.sent if messages else 0
            write_frame(peer.connection, peer.link, peer.epoch, sequence, acknowledged, messages, payloads)

    def say(self, *message: Any, payload: bytes = b"") -> None:
        """A message to every client."""
        with self.lock:
            for peer in self.peers.values():
                if peer.role == 0:
                    self._send(peer, [list(message)], payload)

    # -- What it understands

    def _handle(self, peer: Peer, message: list[Any]) -> None:
        kind = message[0]
        if kind == HEARTBEAT:
            self._send(peer, [])
        elif kind == FUNCTION:
            self.functions[message[1]] = message[2]
        elif kind == FORGET_FUNCTION:
            self.functions.pop(message[1], None)
        elif kind == SUBMIT:
            self._submit(peer, message)
        elif kind == CANCEL:
            _, first, count = message
            self.cancel(peer.session, first, count)
        elif kind == CLEAR:
            self.cancel(peer.session, 0, 1 << 62)
            self.held.clear()
        elif kind == QUERY:
            _, request, what, first = message
            self._send(peer, [[ANSWER, request, True, self.explain(what, first)]])
        elif kind == SHUTDOWN:
            self._send(peer, [[ANSWER, message[1], not self.protected, "no"]])
        elif kind == HOLD:
            self.held[message[1][1]] = self.held.get(message[1][1], 0) + 1
        elif kind == RELEASE:
            self.held.pop(message[1][1], None)
        elif kind == PUT:
            self._put(peer, message)
        elif kind == GET:
            self._get(peer, message)

    def _submit(self, peer: Peer, message: list[Any]) -> None:
        _, function, first, options, blocks, _, finished, *_ = message
        if not all(self._is_here(payload) for _, form, payload in blocks if form == REFERENCE):
            self.waiting.append((peer, message))
            return
        done = {first + at + i for at, count in finished for i in range(count)}
        sequence = first
        for count, form, payload in blocks:
            if form == REFERENCE:
                payload, form = self.objects[int.from_bytes(payload[:8], "little"), payload[8:24]], 2
            for argument in unpack_values(form, payload, count):
                if sequence not in done:
                    self.tasks.append(Task(peer.session, sequence, function, options[0], argument, options))
                sequence += 1
        self.came.notify_all()
        if not self.hold:
            self.run()

    def _put(self, peer: Peer, message: list[Any]) -> None:
        _, request, (session, hash), size, offset, payload = message
        if self.refuse_objects:
            self._send(peer, [[STORE_ERROR, request, 0, self.refuse_objects]])
            return
        so_far = self.objects.get((session, hash), b"")
        if len(so_far) == offset:
            self.objects[session, hash] = so_far + payload
        if offset + len(payload) == size:
            self._send(peer, [[STORED, request]])
            waiting, self.waiting = self.waiting, []
            for submitter, submit in waiting:
                self._submit(submitter, submit)

    def _is_here(self, reference: bytes) -> bool:
        key = int.from_bytes(reference[:8], "little"), reference[8:24]
        return len(self.objects.get(key, b"")) == int.from_bytes(reference[24:], "little")

    def _get(self, peer: Peer, message: list[Any]) -> None:
        _, request, (session, hash) = message
        data = self.objects.get((session, hash))
        if data is None:
            self._send(peer, [[MISSING, request]])
            return
        for at in range(0, len(data), 1 << 20):
            part = data[at : at + (1 << 20)]
            self._send(peer, [[DATA, request, len(data), at, len(part)]], part)

    # -- Running

    def run(self, *sequences: int, together: bool = True) -> None:
        """Runs these tasks, once they are there; or all, and those that come later at once.

        together: neighbours are answered by one segment."""
        with self.lock:
            if sequences:
                self.wait_for_tasks(lambda: {*sequences} <= {task.sequence for task in self.tasks})
            self.hold = self.hold and bool(sequences)
            chosen = [task for task in self.tasks if not sequences or task.sequence in sequences]
            self.tasks = [task for task in self.tasks if sequences and task.sequence not in sequences]
            values: list[Any] = []
            start: Task | None = None
            for task in chosen:
                try:
                    value = self._call(task)
                except BaseException as error:
                    self._answer_values(start, values)
                    values = []
                    self.answer(task.sequence, 1, EXCEPTION, pack_exception(error), session=task.session)
                    continue
                if not (values and together and start and _follows(task, start, len(values))):
                    self._answer_values(start, values)
                    start, values = task, []
                values.append(value)
            self._answer_values(start, values)

    def wait_for_tasks(self, there: Callable[[], bool] | int) -> None:
        """Until so many tasks wait, or the condition holds."""
        with self.lock:
            enough = there if callable(there) else lambda: len(self.tasks) >= there
            assert self.came.wait_for(enough, 20), f"{len(self.tasks)} tasks came"

    def _call(self, task: Task) -> Any:
        function = loads(self.functions[task.function])
        args, kwargs = {0: lambda a: a, 1: lambda a: ((a,), {}), 2: lambda a: (a, {})}[task.style](task.argument)
        return function(*[self._object(value) if type(value) is ObjectReference else value for value in args], **kwargs)

    def _object(self, reference: ObjectReference) -> Any:
        return loads(self.objects[reference.session, reference.hash])

    def _answer_values(self, start: Task | None, values: list[Any]) -> None:
        if not values or start is None:
            return
        form, packed = pack_values(values)
        payload = bytes(packed)
        if form == 2 and len(payload) > self.large:
            name = start.sequence.to_bytes(16, "little")
            self.objects[start.session, name] = payload
            payload = start.session.to_bytes(8, "little") + name + len(payload).to_bytes(8, "little")
            form = REFERENCE
        self.answer(start.sequence, len(values), form, payload, session=start.session)

    def answer(
        self,
        first: int,
        count: int,
        kind: int,
        payload: bytes = b"",
        failure: Any = None,
        excepted: Any = (),
        session: int | None = None,
    ) -> None:
        """An outcome, to the client of that session, or to the only one."""
        with self.lock:
            clients = [peer for peer in self.peers.values() if peer.role == 0 and session in (None, peer.session)]
            if clients:
                segment = [first, count, kind, len(payload), failure, list(excepted), 0]
                self._send(clients[-1], [[RESULTS, [segment]]], payload)

    def said(self) -> list[int]:
        """Kinds of the messages that came since somebody looked."""
        kinds = []
        while not self.messages.empty():
            kinds.append(self.messages.get()[0])
        return kinds

    def cancel(self, session: int, first: int, count: int) -> None:
        """Tasks that wait are cancelled; others had their outcome."""
        with self.lock:
            for task in list(self.tasks):
                if task.session == session and first <= task.sequence < first + count:
                    self.tasks.remove(task)
                    self.answer(task.sequence, 1, CANCELLED, session=session)

    def wait_for(self, kind: int, timeout: float = 20) -> list[Any]:
        """The next message of that kind."""
        while True:
            message = self.messages.get(timeout=timeout)
            if message[0] == kind:
                return message


def _follows(task: Task, start: Task, count: int) -> bool:
    return (task.session, task.sequence) == (start.session, start.sequence + count)


def read_frames(connection: socket.socket) -> Iterator[tuple[int, int, int, list[Any]]]:
    """(link, epoch, sequence, messages with payloads in place of their lengths)."""
    stream = connection.makefile("rb")
    while len(prefix := stream.read(4)) == 4:
        frame = stream.read(struct.unpack("<I", prefix)[0])
        header_bytes, body_bytes = struct.unpack_from("<II", frame, 4)
        link, epoch, sequence, _, messages = msgpack.unpackb(frame[12 : 12 + header_bytes], use_list=True)
        body = memoryview(frame)[12 + header_bytes : 12 + header_bytes + body_bytes]
        at = 0

        def take(length: int) -> bytes:
            nonlocal at
            at += length
            return bytes(body[at - length : at])  # noqa: B023 - called before the next frame

        for message in messages:
            if message[0] == SUBMIT:
                for block in message[4]:
                    block[2] = take(block[2])
            elif message[0] in PAYLOAD_AT:
                place = PAYLOAD_AT[message[0]]
                message[place] = take(message[place])
        yield link, epoch, sequence, messages


def write_frame(
    connection: socket.socket,
    link: int,
    epoch: int,
    sequence: int,
    acknowledged: int,
    messages: list[Any],
    payloads: tuple[bytes, ...] = (),
) -> None:
    header = msgpack.packb([link, epoch, sequence, acknowledged, messages])
    body = b"".join(payloads)
    frame = struct.pack("<B3xII", 0, len(header), len(body)) + header + body
    connection.sendall(struct.pack("<I", len(frame)) + frame)


def short_path(tmp: str) -> str:
    """Unix sockets' paths end at 107 characters."""
    return os.path.join(tmp, "s.sock")


__all__ = ["ScriptedScheduler", "Task", "short_path"]
