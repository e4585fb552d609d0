"""An executor as tasks' clients see it: the way to their cluster, and the word that their task waits.

A task waits where its own thread does: in `result` and its like, as the client says; or it has unfinished children and
its thread has used no CPU for a while, shorter where somebody observes a future (`wait`, `as_completed`, asyncio).
"""

from __future__ import annotations

import os

from scaler._core import ExecutorPort

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from typing import Any, Protocol

    from scaler.node.chunks import Chunks
    from scaler.transport.connect import Connection

    class NestedClient(Protocol):
        """What a task's client must be for its executor."""

        def unfinished(self) -> int:
            """Tasks of it that have no outcome yet."""

        def is_observed(self) -> bool:
            """Somebody waits for a future by the library's means, or has given it a callback."""

        def end_with_task(self) -> None: ...


# Between two looks at whether a task's thread does anything, and how long it must have done nothing; in seconds. Looks
# at one that does nothing are rarer: most of those who wait do so for long, and there may be hundreds of them.
LOOK = 0.01
RARE_LOOK = 0.1
IDLE = 0.1
IDLE_OBSERVED = 0.02
# CPU that a thread may use in a look and still do nothing, in seconds.
LITTLE = 0.0005


class Nest:
    """Made in the executor's main thread, which runs the tasks."""

    def __init__(self, port: ExecutorPort, chunks: Chunks, door: int, node: int, address: str) -> None:
        """door: descriptor. node: the link by which the scheduler knows the agent. address: the scheduler's."""
        self.address = address
        self.node = node
        self._port = port
        self._chunks = chunks
        self._door_descriptor = door
        self._door: Any = None
        self._clients: list[NestedClient] = []
        self._lock: Any = None
        self._wanted: Any = None
        self._main = 0
        # Calls of the task's thread that wait; that it was found to; that the agent knows.
        self._waits = 0
        self._idle = self._told = False

    @property
    def place(self) -> tuple[int, int]:
        """Depth, and priority unless it is given one, of what the running task submits."""
        depth, priority = self._chunks.place
        return depth + 1, priority

    @property
    def task(self) -> tuple[int, int] | None:
        """(session, sequence) of the task that runs."""
        return self._chunks.position

    def is_here(self, address: str | None) -> bool:
        """Whether that is this cluster's scheduler."""
        if address is None or address == self.address:
            return True
        from scaler.transport.addresses import TcpAddress, is_this_machine, parse_address, resolve

        try:
            theirs, ours = parse_address(address), parse_address(self.address)
            if not isinstance(theirs, TcpAddress) or not isinstance(ours, TcpAddress) or theirs.port != ours.port:
                return False
            here, there = resolve(ours), resolve(theirs)
        except (OSError, ValueError):
            return False
        return bool(set(here) & set(there)) or (any(map(is_this_machine, here)) and any(map(is_this_machine, there)))

    def dial(self, role: str, address: str) -> Connection:
        """Through the door. ConnectionError."""
        import json
        import socket

        from scaler.errors import SchedulerUnreachableError
        from scaler.transport.connect import Connection

        self._set_up()
        with self._lock:
            if self._door is None:
                self._door = socket.socket(fileno=self._door_descriptor)
            try:
                self._door.send(json.dumps({"role": role, "address": address}).encode())
                text, descriptors, _, _ = socket.recv_fds(self._door, 4096, 1)
                told = json.loads(text)
            except (OSError, ValueError) as error:
                raise SchedulerUnreachableError(f"The agent of this task does not answer: {error}") from None
        if not descriptors:
            raise SchedulerUnreachableError(f"The agent of this task cannot connect: {told.get('error')}")
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        ticket = bytes.fromhex(told["ticket"])
        return Connection(descriptors[0], ticket, told["cluster"], is_local=bool(told["is_local"]))

    def begin(self, client: NestedClient) -> None:
        """The task that runs has a client, which ends with it."""
        self._set_up()
        self._clients.append(client)
        self._port.cut_slice()
        self._wanted.set()

    def end_task(self) -> None:
        """In the main thread: nothing of a task's clients outlives it."""
        clients, self._clients = self._clients, []
        for client in clients:
            client.end_with_task()
        with self._lock:
            self._waits = 0
            self._idle = self._told = False

    @property
    def has_clients(self) -> bool:
        return bool(self._clients)

    # -- Waiting

    def begin_wait(self) -> bool:
        """The thread that calls is about to wait for tasks; whether that is the one of the task."""
        import threading

        if threading.get_ident() != self._main:
            return False
        with self._lock:
            self._waits += 1
            self._tell()
        return True

    def end_wait(self) -> None:
        with self._lock:
            self._waits = max(0, self._waits - 1)
            self._idle = False
            self._tell()
        self._wanted.set()

    def stirred(self) -> None:
        """Something came for which the task's thread may wait."""
        with self._lock:
            self._idle = False
            self._tell()

    def _tell(self) -> None:
        """With the lock."""
        waits = (self._waits > 0 or self._idle) and any(client.unfinished() for client in self._clients)
        if waits != self._told:
            self._told = waits
            self._port.say_waits(waits)

    def _set_up(self) -> None:
        if self._lock is not None:
            return
        import threading

        self._main = threading.main_thread().ident or 0
        self._lock = threading.RLock()
        self._wanted = threading.Event()
        threading.Thread(target=self._watch, name="nest", daemon=True).start()

    def _watch(self) -> None:
        import time

        clock = time.pthread_getcpuclockid(self._main)
        before, idle = 0.0, 0.0
        while True:
            while not self._clients or self._waits:
                self._wanted.clear()
                if not self._clients or self._waits:
                    self._wanted.wait()
                before, idle = time.clock_gettime(clock), 0.0
            pause = RARE_LOOK if self._idle else LOOK
            time.sleep(pause)
            now = time.clock_gettime(clock)
            idle = idle + pause if now - before <= LITTLE else 0.0
            before = now
            with self._lock:
                observed = any(client.is_observed() for client in self._clients)
                self._idle = idle >= (IDLE_OBSERVED if observed else IDLE)
                self._tell()
