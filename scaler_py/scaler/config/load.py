"""From what was typed to a checked model, or to an error of three lines."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from scaler.config.command_line import Typed
from scaler.config.lines import Path
from scaler.config.options import Component
from scaler.config.sources import Document, Given, combine, read_document, table_values
from scaler.transport.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

    Model = TypeVar("Model", bound=BaseModel)

log = logging.getLogger("scaler.config")


def gather(typed: Typed, components: Sequence[Component]) -> Given:
    """All values of a component whose table is a single one."""
    table = Given() if typed.config is None else single_table(read_document(typed.config), components)
    given = combine(typed.values, table, components)
    given.words[:0] = typed.words
    return given


def single_table(document: Document, components: Sequence[Component]) -> Given:
    """What the one table of a component gives; nothing where there is none."""
    title = components[0].table
    found = document.tables.get(title, {})
    if not isinstance(found, Mapping):
        what = f"There is more than one [{title}]." if isinstance(found, list) else f"{title} is no table."
        raise ConfigurationError(what, document.where(title, 1), f"write one [{title}] above its keys")
    return table_values(document, (title,), found, components)


def gather_manager(typed: Typed, driver: str, components: Sequence[Component]) -> Given:
    """Like `gather` for the one [[worker_manager]] of that driver, whose `type` says so."""
    table = Given()
    if typed.config is not None:
        document = read_document(typed.config)
        entries = [entry for entry in manager_entries(document) if type_of(document, *entry) == driver]
        if len(entries) != 1:
            found = "no" if not entries else "more than one"
            mend = f'write one with type = "{driver}"' if not entries else "leave one of that type"
            where = document.where(*entries[1][0]) if entries else typed.config
            raise ConfigurationError(f"There is {found} [[worker_manager]] of type {driver!r}.", where, mend)
        table = manager_table(document, *entries[0], components)
    given = combine(typed.values, table, components)
    given.words[:0] = typed.words
    return given


def manager_table(document: Document, place: Path, entry: Mapping[str, Any], components: Sequence[Component]) -> Given:
    """What one of the `[[worker_manager]]` tables gives, without its type."""
    values = {key: value for key, value in entry.items() if key != "type"}
    return table_values(document, place, values, components)


def manager_entries(document: Document) -> list[tuple[Path, Mapping[str, Any]]]:
    """The `[[worker_manager]]` tables of a file, and where they are; a single `[worker_manager]` counts as one."""
    title = "worker_manager"
    found = document.tables.get(title, [])
    if isinstance(found, Mapping):
        return [((title,), found)]
    if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
        where = document.where(title)
        raise ConfigurationError("worker_manager is no table.", where, "write [[worker_manager]] above its keys")
    return [((title, index), entry) for index, entry in enumerate(found)]


def driver_of(path: str) -> str:
    """The driver of a file's only worker manager."""
    document = read_document(path)
    entries = manager_entries(document)
    if len(entries) != 1:
        raise ConfigurationError(
            f"The file has {len(entries)} worker managers.", path, "say which: scaler_worker_manager DRIVER -c FILE"
        )
    return type_of(document, *entries[0])


def type_of(document: Document, place: Path, entry: Mapping[str, Any]) -> str:
    """The driver that one of them names."""
    kind = entry.get("type")
    if not isinstance(kind, str) or not kind:
        where = document.where(*place)
        raise ConfigurationError("A [[worker_manager]] has no type.", where, 'like: type = "baremetal_native"')
    return kind


def validate(model: "type[Model]", given: Given, components: Sequence[Component]) -> "Model":
    """The model of the values that are its own. ConfigurationError for the first that is wrong or missing."""
    from pydantic import ValidationError

    values = {name: value for name, value in given.values.items() if name in model.model_fields}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _explain(error, given, components) from None


def speak(given: Given) -> None:
    """Logs what there is to say about old names and overridden values."""
    for word in given.words:
        log.warning("%s", word)


def _explain(error: "ValidationError", given: Given, components: Sequence[Component]) -> ConfigurationError:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    option = next((each for component in components for each in component.options if each.name == name), None)
    if first["type"] == "missing" and given.place:
        return ConfigurationError(f"{name} is missing: {option.help if option else ''}.", given.place, f"write {name}")
    if first["type"] == "missing" and option is not None:
        also = f", or {name} in the configuration file" + (f", or {option.variable}" if option.variable else "")
        lists = [each for component in components for each in component.options if each.kind == "list"]
        typed_list = next((each.typed for each in lists if given.origins.get(each.name) == each.typed), "")
        place = f" before {typed_list}, which takes what follows it" if typed_list else ""
        mend = f"type {option.typed}{place}{also}"
        return ConfigurationError(f"{option.typed} is missing: {option.help}.", "", mend)
    mend = option.help if option is not None else ""
    if option is not None and option.choices:
        mend = "one of " + ", ".join(option.choices)
    what, _, own_mend = _wrong(first, given.values.get(name)).partition("\n")
    return ConfigurationError(what, given.origins.get(name, name), own_mend or mend)


def _wrong(found: "ErrorDetails", value: Any) -> str:
    message = found["msg"].removeprefix("Value error, ")
    if found["type"] == "value_error":
        return message if "\n" in message else message[0].upper() + message[1:] + "."
    return f"{value!r} will not do: {message[0].lower() + message[1:]}."
