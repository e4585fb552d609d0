"""Where values come from: command line, then environment, then TOML file. What none of them gives has its default."""

import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scaler.config import retired
from scaler.config.lines import Lines, Path
from scaler.config.nearest import nearest
from scaler.config.options import Component, Option
from scaler.transport.errors import ConfigurationError

# All tables that a configuration file may have; those of other components are left to them.
TABLES = ("scheduler", "object_storage_server", "worker_manager", "cluster", "gui", "top")
# Tables of other versions, and what to write instead.
_MANAGER = '[[worker_manager]] with type = "{}"'
OLDER_TABLES = {
    "ui": "[gui]",
    "webui": "[gui]",
    "native_worker_adapter": _MANAGER.format("baremetal_native"),
    "native_worker_manager": _MANAGER.format("baremetal_native"),
    "fixed_native_worker_adapter": _MANAGER.format("baremetal_native") + ' and mode = "fixed"',
    "ecs_worker_adapter": _MANAGER.format("aws_raw_ecs"),
    "ecs_worker_manager": _MANAGER.format("aws_raw_ecs"),
    "aws_hpc_worker_manager": _MANAGER.format("aws_hpc"),
    "orb_worker_adapter": _MANAGER.format("orb_aws_ec2"),
    "symphony_worker_adapter": _MANAGER.format("symphony"),
    "symphony_worker_manager": _MANAGER.format("symphony"),
}
# Tables inside one that only group its keys.
_GROUPS = ("policy", "logging", "worker_config", "security")


@dataclass
class Given:
    """Values by option name, and for each where it came from, for errors and for the log.

    place: where the table is that must have what is missing; empty where that may be typed.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    place: str = ""


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


@dataclass
class Document:
    """A TOML file: its tables, by names with underscores."""

    path: str
    tables: dict[str, Any]
    lines: Lines

    def where(self, *place: str | int) -> str:
        """File and line of a table or key, for errors and for the log."""
        line = self.lines.line(*place)
        return f"{self.path}, line {line}" if line else self.path


def read_document(path: str) -> Document:
    """ConfigurationError when the file cannot be read, or has a table that nobody knows."""
    try:
        with open(os.path.expanduser(path), encoding="utf-8", newline="") as file:
            text = file.read().replace("\r\n", "\n")
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The file is no TOML: {error}.", path, "mend the line") from None
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"The file cannot be read: {what}.", path, "check its name") from None
    document = Document(path, {_key(name): value for name, value in tables.items()}, Lines(text))
    for name in tables:
        if _key(name) not in TABLES:
            raise ConfigurationError(f"There is no table [{name}].", document.where(name), _known_table(_key(name)))
    return document


def _known_table(name: str) -> str:
    if name in OLDER_TABLES:
        return f"it is {OLDER_TABLES[name]} now"
    near = nearest(name, TABLES)
    return f"did you mean [{near}]?" if near else f"known are {', '.join(TABLES)}"


def table_values(document: Document, place: Path, table: Mapping[str, Any], components: Sequence[Component]) -> Given:
    """What the table at `place` gives. ConfigurationError names file, line, key and the nearest key there is."""
    title = place[0]
    options = {option.name: option for component in components for option in component.options}
    older = {name: option for option in options.values() for name in option.older if not name.startswith("-")}
    given = Given()
    for inside, value in _flatten(table):
        written = inside[-1]
        key = _key(written)
        line = document.where(*place, *inside)
        where = f"{line}, [{title}] {written}"
        if key in options:
            given.values[key], given.origins[key] = value, where
        elif key in older:
            option = older[key]
            if option.kind != "positional":
                given.words.append(f"{written} is called {option.name} now ({line}, [{title}])")
            given.values.setdefault(option.name, value)
            given.origins.setdefault(option.name, where)
        elif key in retired.BY_NAME:
            given.words.append(f"{retired.answer(key)} ({line}, [{title}])")
        else:
            near = nearest(key, options)
            mend = f"did you mean {near}?" if near else "take it out"
            raise ConfigurationError(f"There is no option {written!r}.", where, mend)
    return given


def _flatten(table: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Keys with the groups that they are in, and their values."""
    for key, value in table.items():
        if isinstance(value, Mapping) and _key(key) in _GROUPS:
            for inner, inner_value in value.items():
                yield (key, inner), inner_value
        else:
            yield (key,), value


def _key(name: str) -> str:
    return name.replace("-", "_")
