"""Whose units they are: a manager's key, name, folder and ledger, and the contexts that its hooks are called with."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from pydantic import SecretStr

from scaler._core import blake3
from scaler.config.logs import hide_in_logs
from scaler.config.models import WorkerManagerOptions
from scaler.managers.api import Context, Offer, OptionModel, Owner
from scaler.managers.api.context import NoObjects, Objects
from scaler.managers.ledger import Ledger, state_directory
from scaler.managers.loading import Driver
from scaler.transport.keys import ANY_ROLE, ClusterKey, Key, find_key


class Ownership:
    """To be closed: until then no other process has this manager's ledger.

    shutdown_seconds, objects: of contexts that are made from now on. token_seconds: how long a group's token that is
    made from now on lets its agent in for the first time; 0 for ever.
    """

    def __init__(self, driver: Driver, options: WorkerManagerOptions, own: OptionModel, patience: float = 0.0) -> None:
        """patience: seconds that a former process of this manager may still take to end.

        ConfigurationError: another process has the ledger. LedgerError: it cannot be written."""
        for value in dict(own).values():
            if isinstance(value, SecretStr):
                hide_in_logs(value.get_secret_value())
        self.key = None if options.insecure else find_key(None, options.key_file)
        self.name = options.worker_manager_id or driver.info.name
        self.cluster = cluster_of(self.key, options.scheduler_address)
        chosen = Path(options.state_directory).expanduser() if options.state_directory else None
        self.folder = (chosen or state_directory(self.cluster, self.name)).absolute()
        self.ledger = Ledger(self.folder, patience)
        given = options.shutdown_timeout_seconds
        self.shutdown_seconds = Offer().shutdown_seconds if given is None else given
        self.objects: Objects = NoObjects()
        self.token_seconds = 0.0
        self._driver = driver
        self._own = own

    def close(self) -> None:
        self.ledger.close()

    def make_context(self) -> Context:
        """One that was not opened."""
        return Context(
            Owner(self.cluster, self.name, self.ledger.generation),
            self._own,
            logging.getLogger(f"scaler.drivers.{self._driver.info.name}"),
            shutdown_seconds=self.shutdown_seconds,
            state_directory=self.folder,
            make_token=self.join_token,
            objects=self.objects,
        )

    def join_token(self, group: str) -> str:
        """With which the agent of a group is let in, and nobody else, for the first time soon; empty without keys.

        A manager that has a token itself has nothing else to give.
        """
        if self.key is None:
            return ""
        if isinstance(self.key, ClusterKey):
            expiry = int(time.time() + self.token_seconds) if self.token_seconds else 0
            return self.key.token(role=ANY_ROLE, group=group, expiry=expiry)
        return self.key.text()


def cluster_of(key: Key | None, scheduler: str) -> str:
    """16 hexadecimal digits: of the key, or, where there is none, of the scheduler's address."""
    if key is not None:
        return key.cluster
    return blake3(f"insecure {scheduler}".encode()).hex()[:16]


def bare_context(driver: Driver) -> Context:
    """For a driver's subcommands, which have options of their own."""
    log = logging.getLogger(f"scaler.drivers.{driver.info.name}")
    return Context(Owner("", driver.info.name), None, log)
