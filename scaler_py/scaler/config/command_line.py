"""Command lines from tables of options. Help is printed from the tables alone: it must be fast."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from scaler.config.options import Component, Option

# Not from `typing`: help must be fast.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scaler.config.usage import UsageError

# Widths of the help: of a line, and of the column with the flags.
_WIDTH = 110
_FLAGS = 36


class Typed:
    """What the command line gave: texts, True for flags, lists. `words`: sentences for people about old names."""

    def __init__(self, values: dict[str, Any] | None = None, config: str | None = None) -> None:
        self.values: dict[str, Any] = values or {}
        self.config = config
        self.words: list[str] = []


class CommandLine:
    """A command and the options that it takes, its own first. example: a whole line, for its help."""

    def __init__(self, program: str, description: str, components: Sequence[Component], example: str = "") -> None:
        self.program = program
        self.description = description
        self.components = components
        self.example = example
        self.options = [option for component in components for option in component.options]

    def read(self, arguments: Sequence[str]) -> Typed:
        """Parses; UsageError says in three lines what is wrong. `--help` and `--version` end the process."""
        if answered(arguments, self.help):
            sys.exit(0)
        # argparse alone would take half of the time that help may.
        from scaler.config.parser import Parser

        return Parser(self.program, self.options).read(arguments)

    def groups(self) -> dict[str, list[Option]]:
        """The options that help shows, positional ones aside, by the headings that they stand under."""
        found: dict[str, list[Option]] = {}
        for option in self.options:
            if option.kind != "positional" and not option.hidden:
                found.setdefault(option.group or "options", []).append(option)
        return found

    def help(self) -> str:
        positional = [option for option in self.options if option.kind == "positional"]
        lines = [
            f"usage: {' '.join([self.program, *(option.metavar for option in positional), '[options]'])}",
            "",
            *_wrapped(self.description, "", ""),
            "",
        ]
        for option in positional:
            lines += _entry(option.metavar, told(option))
        for group, options in self.groups().items():
            lines += ["", f"{group}:"]
            for option in options:
                lines += _entry(flags(option), told(option))
        lines += ["", "general:"]
        lines += _entry(
            "-c, --config FILE", f"TOML file whose table [{self.components[0].table}] has what is not typed"
        )
        lines += _entry("-v, --version", "print the version and end")
        lines += _entry("-h, --help", "print this and end")
        lines += ["", *_wrapped(self._where_from(positional), "", "")]
        if self.example:
            lines += ["", f"example: {self.example}"]
        return "\n".join(lines) + "\n"

    def _where_from(self, positional: list[Option]) -> str:
        plain = next(option for option in self.options if option.kind == "value")
        variables = " and ".join(f"{option.metavar} is {option.variable}" for option in positional)
        return (
            f"What is not typed may be in the environment ({plain.flag} is {plain.variable}, {variables}), "
            f"then in the file ({plain.name} = …)."
        )


def answered(arguments: Sequence[str], text: Callable[[], str]) -> bool:
    """Prints what `--help` or `--version` asks for. Whether one of them does. text: the help."""
    if not {"--help", "-h"}.isdisjoint(arguments):
        print(text(), end="")
        return True
    if not {"--version", "-v"}.isdisjoint(arguments):
        from scaler import __version__

        print(__version__)
        return True
    return False


def usage_error(what: str, where: str, mend: str) -> UsageError:
    # Imported here: help does without.
    from scaler.config.usage import UsageError

    return UsageError(what, where, mend)


def flags(option: Option) -> str:
    """How it is typed."""
    names = ", ".join(filter(None, (option.short, option.flag)))
    if option.kind == "flag":
        return names
    value = "|".join(option.choices) if option.choices else option.metavar
    return f"{names} {value}" + (" …" if option.kind == "list" else "")


def told(option: Option) -> str:
    """What it is for, and its default."""
    return option.help + (f" (default: {option.default})" if option.default else "")


def _entry(left: str, right: str) -> list[str]:
    """Two columns; the right one below where the left one is too wide."""
    indent = " " * _FLAGS
    if len(left) > _FLAGS - 4:
        return [f"  {left}", *_wrapped(right, indent, indent)]
    return _wrapped(right, f"  {left}".ljust(_FLAGS), indent)


def _wrapped(text: str, first: str, others: str) -> list[str]:
    lines, line = [], first
    for word in text.split():
        if len(line) + len(word) > _WIDTH and line.strip():
            lines.append(line.rstrip())
            line = others
        line += word + " "
    return [*lines, line.rstrip()]
