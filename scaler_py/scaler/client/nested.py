"""The client of a task: of the same class to its user, with a session that ends with the task.

It has no connection before it is used, and a new one in each task that uses it: a function that a client was captured
in stays in its executor, where one task after the other calls it. It connects through its executor's door.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING, Any

from scaler._core import EVENT_REFUSED
from scaler.client.client import Client
from scaler.client.connection import BackOff, Endpoint
from scaler.client.conversation import Conversation
from scaler.client.receiver import Receiver
from scaler.errors import ClientQuitException, SchedulerUnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaler._core import Channel
    from scaler.client.object_link import ObjectLink, Owner
    from scaler.node.nest import Nest
    from scaler.transport.connect import Connection

# The refusal by which a scheduler says that the task is over.
CLOSING = 5
# Between two looks of a receive thread that nobody counts on; in seconds.
UNASKED_PAUSE = 1.0


class NestedEndpoint(Endpoint):
    """A part of the cluster that the agent connects to."""

    def dial(self, timeout: float) -> Connection:
        nest = _nest()
        attempts = BackOff(time.monotonic() + timeout)
        while True:
            try:
                return nest.dial(self.role, "" if self.role == "client" else self.address)
            except SchedulerUnreachableError:
                pause = attempts.next_pause()
                if pause <= 0:
                    raise
                time.sleep(pause)

    def first_dial(self, timeout: float) -> Connection:
        return self.dial(timeout)


class NestedReceiver(Receiver):
    """There may be hundreds on a machine, all of which wait: it looks seldom unasked."""

    def pause(self) -> float:
        return max(super().pause(), min(UNASKED_PAUSE, self._conversation.turns.longest_wait))


class NestedConversation(Conversation):
    """Says when its task waits."""

    def __init__(
        self,
        endpoint: Endpoint,
        session: int,
        channel: Channel,
        timeout: float,
        heartbeat: float,
        open_link: Callable[[str, Owner], ObjectLink],
        nest: Nest,
        task: tuple[int, int],
    ) -> None:
        super().__init__(endpoint, session, channel, timeout, heartbeat, open_link)
        channel.within(nest.node, *task)
        self._nest = nest
        self.receiver = NestedReceiver(self)
        self._wait = self.wait_for
        self.wait_for = self._wait_and_say

    def _wait_and_say(self, target: Any, timeout: float | None) -> None:
        if target._outcome is None and self.book.unfinished and self._nest.begin_wait():
            try:
                self._wait(target, timeout)
            finally:
                self._nest.end_wait()
        else:
            self._wait(target, timeout)

    def settle_all(self) -> None:
        self._nest.stirred()
        super().settle_all()

    def other_event(self, kind: int, event: tuple[Any, ...]) -> None:
        if kind == EVENT_REFUSED and event[1] == CLOSING and self.refusal is None and self._nest.has_clients:
            # For the scheduler the task is not here any more: what it would say of its children is no outcome of it.
            os._exit(1)
        super().other_event(kind, event)


class NestedClient(Client):
    """See the module's text. What is not there is made when it is first asked for, in the task that asks."""

    _OF_A_TASK = ("_conversation", "_functions", "_needs", "_packer", "_known", "_submit_blob")

    def _begin(self) -> None:
        self._begin_lock = threading.RLock()
        self._left = False

    def __getattr__(self, name: str) -> Any:
        if name not in self._OF_A_TASK:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        with self._begin_lock:
            if name not in self.__dict__:
                if self._left:
                    raise ClientQuitException("This client was disconnected: make another one.")
                super()._begin()
                _nest().begin(self)
        return self.__dict__[name]

    def _make_endpoint(self, address: str | None, key: Any, insecure: bool | None, compression: str) -> Endpoint:
        return NestedEndpoint(_nest().address if address is None else address, "client", key, insecure, compression)

    def _make_conversation(
        self,
        endpoint: Endpoint,
        session: int,
        channel: Channel,
        timeout: float,
        heartbeat: float,
        open_link: Callable[[str, Owner], ObjectLink],
    ) -> Conversation:
        nest = _nest()
        task = nest.task
        if task is None:
            raise ClientQuitException("The task of this client is over: nothing can be submitted any more.")
        return NestedConversation(endpoint, session, channel, timeout, heartbeat, open_link, nest, task)

    def _place(self) -> tuple[int, int]:
        return _nest().place

    @property
    def address(self) -> str:
        return _nest().address if self._given[0] is None else str(self._given[0])

    def disconnect(self) -> None:
        with self._begin_lock:
            if "_conversation" in self.__dict__:
                super().disconnect()
            self._left = True

    def unfinished(self) -> int:
        conversation = self.__dict__.get("_conversation")
        return 0 if conversation is None else int(conversation.book.unfinished)

    def is_observed(self) -> bool:
        conversation = self.__dict__.get("_conversation")
        return conversation is not None and bool(conversation.observed)

    def end_with_task(self) -> None:
        with self._begin_lock:
            conversation = self.__dict__.get("_conversation")
            for name in self._OF_A_TASK:
                self.__dict__.pop(name, None)
        if conversation is not None:
            with contextlib.suppress(Exception):
                conversation.close(_task_over)


def _nest() -> Nest:
    from scaler import nested

    nest = nested.nest()
    if nest is None:
        raise ClientQuitException("This client is that of a task, and here none runs: make a Client() of its own here.")
    return nest


def _task_over() -> ClientQuitException:
    return ClientQuitException("The task of this client is over.")
