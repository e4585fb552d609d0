"""From a configuration file to the parts that it asks for, all of it checked before anything starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scaler.config import load
from scaler.config.models import ObjectStorageOptions, SchedulerOptions, WorkerManagerOptions
from scaler.config.options import Component, Option
from scaler.config.policy import SCALED, chosen_policy, parse_policy
from scaler.config.sources import Document, Given, combine, read_document
from scaler.config.table import CLUSTER, OBJECT_STORAGE, PING, SCHEDULER, WORKER_MANAGER
from scaler.managers.api import Family
from scaler.managers.tables import ManagerTable, manager_tables
from scaler.process import READY_SECONDS
from scaler.scheduler.settings import SchedulerSettings
from scaler.storage.settings import StorageSettings
from scaler.transport.addresses import parse_peer_address
from scaler.transport.errors import AddressError, ConfigurationError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from scaler.config.models import LoggingOptions


def _component(table: str, *names: str) -> Component:
    """Of a part that this version lacks: the keys that its table may have."""
    names = (*names, "logging_level", "logging_paths", "logging_config_file")
    return Component(table, tuple(Option(name, "value", "") for name in names))


_GUI = _component("gui", "gui_address", "web_host", "web_port", "broadcast_interval_seconds", "task_log_max_size")
# Read by others, and checked all the same: a mistake in a file is better said at once.
_OTHERS = (_component("top", "timeout"), CLUSTER, PING)


@dataclass(frozen=True)
class PlannedPart:
    """A part as `scaler.process` starts it. ready_seconds: what it may take to be ready.

    folder_setting: the setting that is a folder for objects, which the stack makes; empty: it needs none.
    """

    name: str
    module: str
    settings: dict[str, Any]
    ready_seconds: float = READY_SECONDS
    folder_setting: str = ""


@dataclass
class Plan:
    """Parts in the order in which they start; they end the other way round. words: for people, said at the start."""

    parts: list[PlannedPart] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


def read_plan(path: str) -> Plan:
    """ConfigurationError, with file, line and key, for the first thing in the file that cannot be used."""
    document = read_document(path)
    plan = Plan()
    # First of all: what is not installed is said before the addresses that its example leaves to be filled in.
    managers = [_Manager(document, table) for table in manager_tables(document)]
    storage = _plan_storage(plan, document) if OBJECT_STORAGE.table in document.tables else ""
    dynamic = [manager.name for manager in managers if manager.is_dynamic]
    scheduler = _plan_scheduler(plan, document, storage, dynamic) if SCHEDULER.table in document.tables else ""
    names: dict[str, str] = {}
    for manager in managers:
        part = manager.plan(plan, scheduler)
        if part.name in names:
            raise ConfigurationError(
                f"Two worker managers are called {part.name!r}.",
                f"{manager.named} ({names[part.name]} has the name already)",
                "give each a worker_manager_id of its own",
            )
        names[part.name] = manager.named
        plan.parts.append(part)
    for component in _OTHERS:
        load.single_table(document, [component])
    for name in ("gui", "ui", "webui"):
        if name in document.tables:
            plan.words += load.single_table(document, [_GUI]).words
            plan.words.append(f"[gui] starts nothing in this version, which has no web page ({document.where(name)})")
    if not plan.parts:
        raise ConfigurationError(
            "The file has nothing to start.", path, "write [scheduler], [object_storage_server] or [[worker_manager]]"
        )
    # What is said of the environment holds for all parts.
    plan.words = list(dict.fromkeys(plan.words))
    return plan


def _gather(document: Document, table: Given, components: Sequence[Component], *place: str | int) -> Given:
    given = combine({}, table, components)
    given.place = f"{document.where(*place)}, [{place[0]}]"
    return given


def _plan_storage(plan: Plan, document: Document) -> str:
    components = [OBJECT_STORAGE]
    given = _gather(document, load.single_table(document, components), components, OBJECT_STORAGE.table)
    options = load.validate(ObjectStorageOptions, given, components)
    # What is started again when it dies finds its objects again.
    chosen = dataclasses.replace(StorageSettings.chosen(options), write_through=options.write_through != "off")
    settings = {**dataclasses.asdict(chosen), "logging": _logging(options)}
    folder = "directory" if chosen.write_through and not chosen.directory else ""
    plan.parts.append(PlannedPart("object_storage", "scaler.storage", settings, folder_setting=folder))
    plan.words += given.words
    return options.bind_address


def _plan_scheduler(plan: Plan, document: Document, storage: str, dynamic: Sequence[str]) -> str:
    """dynamic: names of the managers that start workers only when they are asked to."""
    components = [SCHEDULER]
    given = _gather(document, load.single_table(document, components), components, SCHEDULER.table)
    _follow(given, "object_storage_address", storage)
    options = load.validate(SchedulerOptions, given, components)
    policy = chosen_policy(options, given)
    words = list(given.words)
    if dynamic and "policy_content" not in given.values:
        # With scaling=no such a manager would do nothing, and who writes it into a file wants workers.
        policy = parse_policy("simple", SCALED)
        words.append(f'{dynamic[0]} scales by need: policy_content is "{SCALED}", as [scheduler] has none')
    chosen = SchedulerSettings.chosen(options, policy)
    chosen = dataclasses.replace(chosen, storage_write_through=not chosen.object_storage)
    settings = {**dataclasses.asdict(chosen), "logging": _logging(options)}
    folder = "storage_directory" if chosen.storage_write_through else ""
    plan.parts.append(PlannedPart("scheduler", "scaler.scheduler", settings, folder_setting=folder))
    plan.words += words
    return options.bind_address


def _follow(given: Given, name: str, address: str) -> None:
    """An address that the file gives once, at the part that listens there, need not be given again."""
    if not address or name in given.values:
        return
    try:
        parse_peer_address(address)
    except AddressError as error:
        raise ConfigurationError(
            f"{name} is missing, and no port is known yet.", given.place, f"{error.mend}: write it at both places"
        ) from None
    given.values[name] = address


class _Manager:
    """A `[[worker_manager]]` table whose driver is there."""

    def __init__(self, document: Document, table: ManagerTable) -> None:
        self._document = document
        self._table = table
        # Where its name is, once that was looked for.
        self.named = table.where
        self._driver = table.load_driver()
        self._components = [self._driver.options, WORKER_MANAGER]
        self._given = _gather(document, table.values(self._components), self._components, *table.place)

    @property
    def name(self) -> str:
        return str(self._given.values.get("worker_manager_id") or self._driver.info.name)

    @property
    def is_dynamic(self) -> bool:
        """Whether it starts workers only when a scheduler asks for them."""
        own = load.validate(self._driver.info.options, self._given, self._components)
        return self._driver.info.family is Family.CAPACITY and getattr(own, "mode", "dynamic") == "dynamic"

    def plan(self, plan: Plan, scheduler: str) -> PlannedPart:
        model = self._driver.info.options
        components, given = self._components, self._given
        _follow(given, "scheduler_address", scheduler)
        options = load.validate(WorkerManagerOptions, given, components)
        load.validate(model, given, components)
        plan.words += given.words
        self.named = given.origins.get("worker_manager_id", self.named)
        settings = {
            "driver": self._driver.info.name,
            # As they were given: a dumped model would not say its secrets.
            "options": _of_model(given, WorkerManagerOptions),
            "own": _of_model(given, model),
            "logging": _logging(options),
        }
        return PlannedPart(self.name, "scaler.managers", settings, READY_SECONDS + options.connect_timeout_seconds)


def _of_model(given: Given, model: type[BaseModel]) -> dict[str, Any]:
    return {name: value for name, value in given.values.items() if name in model.model_fields}


def _logging(options: LoggingOptions) -> dict[str, Any]:
    """As `scaler.part` takes it."""
    return {
        "level": options.logging_level,
        "paths": options.logging_paths,
        "config_file": options.logging_config_file,
    }
