"""The agent of a node: a loop with the node's engine, a link to the scheduler, one to object storage, and executors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from scaler._core import Loop
from scaler.node.doors import PATIENCE, Doors
from scaler.node.executors import SWEEP_SECONDS, Executors
from scaler.node.settings import AgentSettings
from scaler.outward import OutwardLink
from scaler.part import Ending
from scaler.running_loop import RunningLoop, log
from scaler.transport.addresses import IpcAddress, parse_address
from scaler.transport.connect import Connection, dial
from scaler.transport.keys import ANY_ROLE, ClusterKey, Key, find_key, make_ticket

logger = logging.getLogger("scaler.node")


def run_agent(settings: AgentSettings, ending: Ending, on_ready: Callable[[dict[str, Any]], None]) -> int:
    """Runs an agent in the main thread until it is told to end; its exit status.

    on_ready: called with {"name": …} when the scheduler has welcomed it.
    """
    return Agent(settings, ending, on_ready).run()


class Agent:
    def __init__(self, settings: AgentSettings, ending: Ending, on_ready: Callable[[dict[str, Any]], None]) -> None:
        self._settings = settings
        self._ending = ending
        self._on_ready = on_ready
        self._status = 0
        # In the place of one that was good for the start alone.
        self._ticket = b""
        self._access: dict[str, Any] = {
            "key_file": settings.key_file or None,
            "insecure": settings.insecure or None,
            "compression": settings.compression,
        }
        # Fails here, with what to do, when there is no such address or no key.
        first = dial(settings.scheduler, "node", timeout=settings.connect_timeout, **self._access)
        try:
            node = settings.node.for_loop(_ticket(settings))
            self._loop = Loop(node=node)
            self._name = node["name"]
            self._scheduler = OutwardLink(self._loop, "scheduler", "node", settings.scheduler, **self._access)
            self._store = OutwardLink(self._loop, "store", "objects", settings.object_storage, **self._access)
        except BaseException:
            first.close()
            raise
        self._first: int | None = first.fd

    def run(self) -> int:
        doors = Doors(self._settings.scheduler, self._dial_for_task)
        executors = Executors(self._loop, self._settings.node.executor, doors)
        self._ending.watch(on_stop=self._loop.stop, on_drain=self._loop.drain)
        running = RunningLoop(self._loop, "node")
        try:
            running.serve(
                {
                    "start_executor": executors.start,
                    "listen": executors.listen,
                    "connect": self._connect,
                    "welcome": self._welcomed,
                    "ticket": self._renewed,
                    "refused": self._refused,
                    "log": log,
                    "exit": self._exit,
                },
                SWEEP_SECONDS,
                executors.sweep,
            )
        finally:
            self._scheduler.close()
            self._store.close()
            executors.close()
        return self._status

    def _dial_for_task(self, role: str, address: str) -> Connection:
        settings = self._settings
        if role != "client":
            address = settings.object_storage or address
        connection = dial(address or settings.scheduler, role, timeout=PATIENCE, **self._access)
        # The one of the environment may have ended.
        return replace(connection, ticket=self._ticket) if self._ticket and connection.ticket else connection

    def _renewed(self, ticket: bytes) -> None:
        self._ticket = ticket

    def _connect(self, link: str, attempt: int) -> None:
        if link == "store":
            self._store.connect(attempt)
        elif self._first is not None:
            fd, self._first = self._first, None
            self._loop.attach("scheduler", fd)
        else:
            self._scheduler.connect(attempt)

    def _welcomed(self, link: str, cluster: str, storage: str) -> None:
        if link == "scheduler":
            self._store.learn(storage, self._settings.scheduler)
            self._on_ready({"name": self._name, "cluster": cluster})

    def _refused(self, link: str, code: int, text: str) -> None:
        logger.error("the %s does not want this node: %s", link, text)
        if link == "scheduler":
            self._status = 2
            self._ending.stop()

    def _exit(self, reason: str) -> None:
        logger.info("the node ends: %s", reason)
        self._ending.stop()


def _ticket(settings: AgentSettings) -> bytes:
    """One for all of the node's links; none is asked for on a local path."""
    if settings.insecure or isinstance(parse_address(settings.scheduler), IpcAddress):
        return b""
    return node_ticket(find_key(None, settings.key_file or None))


def node_ticket(key: Key | None) -> bytes:
    if isinstance(key, ClusterKey):
        return make_ticket(key.ticket_key, ANY_ROLE)
    return b"" if key is None else key.ticket("node")
