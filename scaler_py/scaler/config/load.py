"""From what was typed to a checked model, or to an error of three lines."""

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from scaler.config.command_line import Typed
from scaler.config.options import Component
from scaler.config.sources import OLDER_TABLES, Document, Given, combine, read_document, table_now, table_values
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
    """What the one table of a component gives, under its name or an older one; nothing where there is none."""
    title = components[0].table
    older = [name for name, (new, _) in OLDER_TABLES.items() if new == title]
    there = [name for name in (title, *older) if name in document.tables]
    if not there:
        return Given()
    found = document.tables[there[0]]
    if not isinstance(found, Mapping) or len(there) > 1:
        several = isinstance(found, list) or len(there) > 1
        what = f"There is more than one [{title}]." if several else f"{there[0]} is no table."
        where = document.where(there[1]) if len(there) > 1 else document.where(there[0], 1)
        raise ConfigurationError(what, where, f"write one [{title}] above its keys")
    given = table_values(document, (there[0],), found, components)
    if there[0] != title:
        given.words.insert(0, renamed(document, there[0]))
    return given


def renamed(document: Document, *place: str | int) -> str:
    """What to say of a table that has another name by now."""
    return f"[{place[0]}] is {table_now(str(place[0]))} now ({document.where(*place)})"


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
    mend = (option.help if option is not None else "") or "see --help"
    if option is not None and option.choices:
        mend = "one of " + ", ".join(option.choices)
    value = "The value" if option is not None and option.secret else repr(given.values.get(name))
    what, _, own_mend = _wrong(first, value).partition("\n")
    return ConfigurationError(what, given.origins.get(name, name), own_mend or mend)


def _wrong(found: "ErrorDetails", value: str) -> str:
    """value: as it may be shown."""
    message = found["msg"].removeprefix("Value error, ")
    if found["type"] == "value_error":
        return message if "\n" in message else message[0].upper() + message[1:] + "."
    return f"{value} will not do: {message[0].lower() + message[1:]}."
