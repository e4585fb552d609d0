"""The tcp connections of a listening zmq socket, by what its monitor tells, so that one can be cut.

libzmq says which descriptor a connection has (also with every message), and has no call to end one. Shutting the
descriptor down is what the peer's disappearance looks like; libzmq does the rest.
"""

import contextlib
import errno
import os
import socket
import time

import zmq
from zmq.utils.monitor import parse_monitor_message

EVENTS = (
    zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)  # fmt: skip

_MONITOR = "inproc://monitor"


class Connections:
    """Follows accepted connections. `silent` ones have not had a message yet: among them all that prove nothing."""

    def __init__(
        self, context: "zmq.Context[zmq.Socket[bytes]]", router: "zmq.Socket[bytes]", most_silent: int
    ) -> None:
        self._most_silent = most_silent
        self._silent: dict[int, float] = {}
        self._speaking: set[int] = set()
        self._port = 0
        # No bound: a full monitor would stop libzmq's own thread.
        self.socket = context.socket(zmq.PAIR)
        self.socket.setsockopt(zmq.RCVHWM, 0)
        self.socket.setsockopt(zmq.LINGER, 0)
        router.monitor(_MONITOR, EVENTS)
        self.socket.connect(_MONITOR)

    def listening(self, port: int) -> None:
        self._port = port

    def observe(self) -> tuple[list[int], int]:
        """Reads what happened: descriptors of connections that ended after they had spoken, and how many strangers."""
        ended: list[int] = []
        strangers = 0
        failed = False
        while True:
            try:
                event = parse_monitor_message(self.socket.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                break
            kind, value = event["event"], event["value"]
            if kind == zmq.EVENT_ACCEPTED:
                self._silent[value] = time.monotonic()
                self._speaking.discard(value)
            elif kind == zmq.EVENT_DISCONNECTED:
                if value in self._speaking:
                    self._speaking.discard(value)
                    ended.append(value)
                elif self._silent.pop(value, None) is not None and not failed:
                    strangers += 1
                failed = False
            else:
                # Just before its DISCONNECTED. Refused keys are reported by the ZAP handler; a peer that only looked
                # whether the port is open is none.
                failed = True
                looked = kind == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL and value == errno.EPIPE
                strangers += kind != zmq.EVENT_HANDSHAKE_FAILED_AUTH and not looked
        while len(self._silent) > self._most_silent:
            self.cut(next(iter(self._silent)))
        return ended, strangers

    def spoke(self, descriptor: int) -> bool:
        """The first message of a peer came by this connection. False when that has ended already."""
        if descriptor in self._silent:
            del self._silent[descriptor]
            self._speaking.add(descriptor)
            return True
        return descriptor in self._speaking

    def cut(self, descriptor: int) -> None:
        """Ends a connection of ours. Its DISCONNECTED comes as if the peer had left."""
        self._silent.pop(descriptor, None)
        # The number may have passed to another socket by now: only one at our port is shut down.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as found:
            if found.family in {socket.AF_INET, socket.AF_INET6} and found.getsockname()[1] == self._port:
                found.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.socket.close()
