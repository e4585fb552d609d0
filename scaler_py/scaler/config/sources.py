"""Where values come from: command line, then environment, then TOML file. What none of them gives has its default."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scaler.config import retired
from scaler.config.nearest import nearest
from scaler.config.options import Component, Option
from scaler.transport.errors import ConfigurationError

# All tables that a configuration file may have; those of other components are left to them.
TABLES = ("scheduler", "object_storage_server", "worker_manager", "cluster", "gui", "top")
# Tables inside one that only group its keys.
_GROUPS = ("policy", "logging", "worker_config", "security")


@dataclass
class Given:
    """Values by option name, and for each where it came from, for errors and for the log."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)


def combine(
    typed: Mapping[str, Any],
    table: Given,
    components: Sequence[Component],
    environment: Mapping[str, str] | None = None,
) -> Given:
    """One value an option, by precedence. A word is added where the environment overrides the file."""
    environment = os.environ if environment is None else environment
    given = Given(dict(table.values), dict(table.origins), list(table.words))
    for option in (each for component in components for each in component.options):
        if option.name in typed:
            given.values[option.name] = typed[option.name]
            given.origins[option.name] = option.typed
        elif option.variable and environment.get(option.variable):
            if option.name in table.values:
                given.words.append(f"{option.variable} overrides {option.name} in {table.origins[option.name]}")
            given.values[option.name] = _from_text(option, environment[option.variable])
            given.origins[option.name] = f"the environment variable {option.variable}"
    return given


def _from_text(option: Option, text: str) -> Any:
    return text.split(",") if option.kind == "list" else text


def read_tables(path: str) -> dict[str, Any]:
    """The tables of a TOML file. ConfigurationError when it cannot be read, or has a table that nobody knows."""
    try:
        with open(os.path.expanduser(path), "rb") as file:
            tables = tomllib.load(file)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The file is no TOML: {error}.", path, "mend the line") from None
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"The file cannot be read: {what}.", path, "check the name after --config") from None
    for name in tables:
        if _key(name) not in TABLES:
            near = nearest(_key(name), TABLES)
            mend = f"did you mean [{near}]?" if near else f"known are {', '.join(TABLES)}"
            raise ConfigurationError(f"There is no table [{name}].", path, mend)
    return {_key(name): value for name, value in tables.items()}


def table_values(path: str, table: Mapping[str, Any], title: str, components: Sequence[Component]) -> Given:
    """What one table gives. ConfigurationError names the file, the key and the nearest one there is."""
    options = {option.name: option for component in components for option in component.options}
    older = {name: option for option in options.values() for name in option.older if not name.startswith("-")}
    given = Given()
    for written, value in _flatten(table).items():
        key = _key(written)
        where = f"{path}, [{title}] {written}"
        if key in options:
            given.values[key], given.origins[key] = value, where
        elif key in older:
            option = older[key]
            if option.kind != "positional":
                given.words.append(f"{written} is called {option.name} now ({path}, [{title}])")
            given.values.setdefault(option.name, value)
            given.origins.setdefault(option.name, where)
        elif key in retired.BY_NAME:
            given.words.append(f"{retired.answer(key)} ({path}, [{title}])")
        else:
            near = nearest(key, options)
            mend = f"did you mean {near}?" if near else "take it out"
            raise ConfigurationError(f"There is no option {written!r}.", where, mend)
    return given


def _flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping) and _key(key) in _GROUPS:
            flat.update(value)
        else:
            flat[key] = value
    return flat


def _key(name: str) -> str:
    return name.replace("-", "_")
