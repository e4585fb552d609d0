"""Where values come from: command line, then environment, then TOML file. What none of them gives has its default."""

import os
import re
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
TABLES = ("scheduler", "object_storage_server", "worker_manager", "cluster", "gui", "top", "ping")
# Tables of other versions: the table that each is now, and the keys that its name stands for.
_MANAGER = "worker_manager"
OLDER_TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "ui": ("gui", {}),
    "webui": ("gui", {}),
    "native_worker_adapter": (_MANAGER, {"type": "baremetal_native"}),
    "native_worker_manager": (_MANAGER, {"type": "baremetal_native"}),
    "fixed_native_worker_adapter": (_MANAGER, {"type": "baremetal_native", "mode": "fixed"}),
    "ecs_worker_adapter": (_MANAGER, {"type": "aws_raw_ecs"}),
    "ecs_worker_manager": (_MANAGER, {"type": "aws_raw_ecs"}),
    "aws_hpc_worker_manager": (_MANAGER, {"type": "aws_hpc"}),
    "orb_worker_adapter": (_MANAGER, {"type": "orb_aws_ec2"}),
    "symphony_worker_adapter": (_MANAGER, {"type": "symphony"}),
    "symphony_worker_manager": (_MANAGER, {"type": "symphony"}),
}
# Tables inside one that only group its keys; those with longer names are other versions'.
_GROUPS = (
    *("policy", "logging", "security"),
    *("logging_config", "worker_config", "worker_manager_config", "python_worker_environment"),
)
# What goes before an option's value in a file, although it is another's name.
_STRONGER = {"key_file": "SCALER_KEY"}


def table_now(name: str) -> str:
    """What to write instead of a table of another version."""
    new, said = OLDER_TABLES[name]
    keys = " and ".join(f'{key} = "{value}"' for key, value in said.items())
    return f"[[{new}]] with {keys}" if keys else f"[{new}]"


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
        stronger = _STRONGER.get(option.name, "")
        if option.name in typed:
            given.values[option.name] = typed[option.name]
            given.origins[option.name] = option.typed
        elif stronger and environment.get(stronger):
            # Read where it is needed, never as an option: it is a secret.
            if given.values.pop(option.name, None) is not None:
                given.words.append(f"{stronger} overrides {option.name} in {given.origins.pop(option.name)}")
        elif environment.get(option.variable):
            if option.name in table.values:
                given.words.append(f"{option.variable} overrides {option.name} in {table.origins[option.name]}")
            given.values[option.name] = _from_text(option, environment[option.variable])
            given.origins[option.name] = f"the environment variable {option.variable}"
    given.words += [
        f"{retired.answer(each.name)} (the environment variable {each.variable})"
        for each in retired.RETIRED
        if environment.get(each.variable)
    ]
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
    """ConfigurationError when the file cannot be read, or has a table that nobody knows or that is there twice."""
    try:
        with open(os.path.expanduser(path), encoding="utf-8-sig", newline="") as file:
            text = file.read().replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"The file cannot be read: {what}.", path, "check its name") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _no_toml(path, text, str(error)) from None
    document = Document(path, {_key(name): value for name, value in tables.items()}, Lines(text))
    for name in tables:
        if _key(name) not in (*TABLES, *OLDER_TABLES):
            near = nearest(_key(name), [*TABLES, *OLDER_TABLES])
            mend = f"did you mean [{near}]?" if near else f"known are {', '.join(TABLES)}"
            raise ConfigurationError(f"There is no table [{name}].", document.where(name), mend)
        if "-" in name and _key(name) in tables:
            what = f"The table [{_key(name)}] is there twice, once as [{name}]."
            raise ConfigurationError(what, document.where(name), "write its name in one way")
    return document


def _no_toml(path: str, text: str, said: str) -> ConfigurationError:
    """Of a text that tomllib refuses: what is there twice is said with its name and the line of the first."""
    found = re.search(r" \(at line (\d+), column \d+\)", said)
    if found is None:
        return ConfigurationError(f"The file is no TOML: {said}.", path, "mend the line")
    line = int(found[1])
    again = Lines(text).repeated()
    if again is None or again.line > line:
        what = said.replace(found[0], "")
        return ConfigurationError(f"The file is no TOML: {what}.", f"{path}, line {line}", "mend the line")
    names = [part for part in again.path if isinstance(part, str)]
    what = f"The key {names[-1]!r} is there twice."
    where = f"{path}, line {again.line}" + (f", [{'.'.join(names[:-1])}] {names[-1]}" if names[:-1] else "")
    mend = f"line {again.first} has it already: leave one of them"
    if again.header:
        what, where = f"The table [{'.'.join(names)}] is there twice.", f"{path}, line {again.line}"
        mend = f"line {again.first} begins it: put all of its keys there"
    return ConfigurationError(what, where, mend)


@dataclass(frozen=True)
class _Written:
    """A key as it is in the file, the option that it means by now, and where it is."""

    key: str
    name: str
    value: Any
    where: str


def table_values(document: Document, place: Path, table: Mapping[str, Any], components: Sequence[Component]) -> Given:
    """What the table at `place` gives. ConfigurationError names file, line, key and the nearest key there is."""
    options = {option.name: option for component in components for option in component.options}
    older = {name: option.name for option in options.values() for name in option.older if not name.startswith("-")}
    given = Given()
    renamed = []
    for each in _written(document, place, table):
        if each.key in options:
            if each.key in given.values:
                mend = f"{given.origins[each.key]} has it already: leave one of them"
                raise ConfigurationError(f"The key {each.name!r} is there twice.", each.where, mend)
            _check_kind(options[each.key], each)
            given.values[each.key], given.origins[each.key] = each.value, each.where
        elif each.key in older:
            renamed.append(each)
        elif each.key in retired.BY_NAME:
            given.words.append(f"{retired.answer(each.key)} ({each.where})")
        else:
            near = nearest(each.key, [*options, *_GROUPS] if isinstance(each.value, Mapping) else options)
            mend = f"did you mean {near}?" if near else "take it out"
            raise ConfigurationError(f"There is no option {each.name!r}.", each.where, mend)
    for each in renamed:
        name = older[each.key]
        if name in given.values:
            given.words.append(f"{each.name} means nothing beside {name} ({each.where})")
            continue
        _check_kind(options[name], each)
        given.values[name], given.origins[name] = each.value, each.where
        given.words.append(f"{each.name} is called {name} now ({each.where})")
    return given


def _written(document: Document, place: Path, table: Mapping[str, Any]) -> Iterator[_Written]:
    """The keys of a table, those in its groups, too."""
    for key, value in table.items():
        if isinstance(value, Mapping) and _key(key) in _GROUPS:
            for inner, inner_value in value.items():
                where = f"{document.where(*place, key, inner)}, [{place[0]}] {inner}"
                yield _Written(_key(inner), inner, inner_value, where)
        else:
            yield _Written(_key(key), key, value, f"{document.where(*place, key)}, [{place[0]}] {key}")


def _check_kind(option: Option, given: _Written) -> None:
    """pydantic would take true for 1."""
    if isinstance(given.value, bool) and option.kind != "flag":
        text = str(given.value).lower()
        raise ConfigurationError(
            f"{given.name} is not true or false: {text} will not do.", given.where, option.help or "see --help"
        )


def _key(name: str) -> str:
    return name.replace("-", "_")
