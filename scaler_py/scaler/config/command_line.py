"""Command lines from tables of options. Help is printed from the tables alone: it must be fast."""

from __future__ import annotations

import sys
from collections.abc import Sequence

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
    """A command and the options that it takes, its own first."""

    def __init__(self, program: str, description: str, components: Sequence[Component]) -> None:
        self.program = program
        self.description = description
        self.components = components
        self.options = [option for component in components for option in component.options]

    def read(self, arguments: Sequence[str]) -> Typed:
        """Parses; UsageError says in three lines what is wrong. `--help` and `--version` end the process."""
        if not {"--help", "-h"}.isdisjoint(arguments):
            print(self.help(), end="")
            sys.exit(0)
        if not {"--version", "-v"}.isdisjoint(arguments):
            from scaler import __version__

            print(__version__)
            sys.exit(0)
        # argparse alone would take half of the time that help may.
        from scaler.config.parser import Parser

        return Parser(self.program, self.options).read(arguments)

    def help(self) -> str:
        positional = [option for option in self.options if option.kind == "positional"]
        lines = [
            f"usage: {' '.join([self.program, *(option.metavar for option in positional), '[options]'])}",
            "",
            *_wrapped(self.description, "", ""),
            "",
        ]
        for option in positional:
            lines += _entry(option.metavar, _told(option))
        lines.append("")
        for option in self.options:
            if option.kind != "positional" and not option.hidden:
                lines += _entry(_flags(option), _told(option))
        table = self.components[0].table
        lines += _entry("-c, --config FILE", f"TOML file whose table [{table}] has what is not typed")
        lines += _entry("-v, --version", "print the version and end")
        lines += _entry("-h, --help", "print this and end")
        return "\n".join(lines) + "\n"


def usage_error(what: str, where: str, mend: str) -> UsageError:
    # Imported here: help does without.
    from scaler.config.usage import UsageError

    return UsageError(what, where, mend)


def _flags(option: Option) -> str:
    flags = ", ".join(filter(None, (option.short, option.flag)))
    if option.kind == "flag":
        return flags
    value = "|".join(option.choices) if option.choices else option.metavar
    return f"{flags} {value}" + (" …" if option.kind == "list" else "")


def _told(option: Option) -> str:
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
