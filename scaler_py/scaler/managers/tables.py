"""The `[[worker_manager]]` tables of a configuration file, and the driver that each names."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaler.config import load
from scaler.config.command_line import Typed
from scaler.config.lines import Path
from scaler.config.options import Component
from scaler.config.sources import OLDER_TABLES, Document, Given, combine, read_document, table_values
from scaler.managers.names import full_name
from scaler.transport.errors import ConfigurationError

if TYPE_CHECKING:
    from scaler.managers.loading import Driver

TITLE = "worker_manager"


class ManagerTable:
    """One of them. place: where it is. driver: the name of its driver, short ones made full."""

    def __init__(self, document: Document, place: Path, entry: Mapping[str, Any]) -> None:
        self._document = document
        self._entry = entry
        self.place = place
        self.where = document.where(*place)
        kind = entry.get("type")
        if not isinstance(kind, str) or not kind:
            mend = 'like: type = "baremetal_native"'
            raise ConfigurationError("A [[worker_manager]] has no type.", self.where, mend)
        self.driver = full_name(kind)

    def load_driver(self) -> "Driver":
        """ConfigurationError, with file and line, when it cannot be had."""
        # Here: the rest of this module does without.
        from scaler.managers.loading import load_driver

        try:
            return load_driver(self.driver)
        except ConfigurationError as error:
            where = f"{self._document.where(*self.place, 'type')}, [{self.place[0]}] type"
            raise ConfigurationError(error.what, where, error.mend) from None

    def values(self, components: Sequence[Component]) -> Given:
        """All that it gives but its type."""
        values = {key: value for key, value in self._entry.items() if key != "type"}
        given = table_values(self._document, self.place, values, components)
        if self.place[0] != TITLE:
            given.words.insert(0, load.renamed(self._document, *self.place))
        return given


def manager_tables(document: Document) -> list[ManagerTable]:
    """All of a file; a single `[worker_manager]` counts as one, and so do tables that had other names."""
    found = _entries(document, TITLE, {})
    for name, (new, said) in OLDER_TABLES.items():
        if new == TITLE:
            found += _entries(document, name, said)
    return found


def _entries(document: Document, title: str, said: Mapping[str, str]) -> list[ManagerTable]:
    """said: what a table's name says besides."""
    found = document.tables.get(title, [])
    if isinstance(found, Mapping):
        return [ManagerTable(document, (title,), {**said, **found})]
    if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
        what, mend = f"{title} is no table.", "write [[worker_manager]] above its keys"
        raise ConfigurationError(what, document.where(title), mend)
    return [ManagerTable(document, (title, index), {**said, **entry}) for index, entry in enumerate(found)]


def only_manager(path: str) -> ManagerTable:
    """A file's only worker manager."""
    found = manager_tables(read_document(path))
    if len(found) != 1:
        what = f"The file has {len(found)} worker managers."
        raise ConfigurationError(what, path, "say which: scaler_worker_manager DRIVER -c FILE")
    return found[0]


def gather(typed: Typed, driver: str, components: Sequence[Component]) -> Given:
    """All values of the one worker manager of that driver; the file's table is the one whose `type` says so."""
    table = Given()
    if typed.config is not None:
        document = read_document(typed.config)
        found = [each for each in manager_tables(document) if each.driver == driver]
        if len(found) != 1:
            number = "no" if not found else "more than one"
            mend = f'write one with type = "{driver}"' if not found else "leave one of that type"
            where = found[1].where if found else typed.config
            raise ConfigurationError(f"There is {number} [[worker_manager]] of type {driver!r}.", where, mend)
        table = found[0].values(components)
    given = combine(typed.values, table, components)
    given.words[:0] = typed.words
    return given
