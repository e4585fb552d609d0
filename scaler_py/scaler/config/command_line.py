"""Command lines from tables of options: help and parsing, without pydantic."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from scaler.config import retired
from scaler.config.nearest import nearest
from scaler.config.options import Component, Option
from scaler.transport.errors import ConfigurationError


class UsageError(ConfigurationError):
    """What was typed cannot be used."""


@dataclass
class Typed:
    """What the command line gave: texts, True for flags, lists. `words`: sentences for people about old names."""

    values: dict[str, Any] = field(default_factory=dict)
    config: str | None = None
    words: list[str] = field(default_factory=list)


class CommandLine(argparse.ArgumentParser):
    """A parser whose errors are UsageErrors and that knows old names and options without meaning."""

    def __init__(
        self, program: str, description: str, components: Sequence[Component], *, takes_config: bool = True
    ) -> None:
        positional = [
            each.metavar for component in components for each in component.options if each.kind == "positional"
        ]
        super().__init__(
            prog=program,
            usage=" ".join([program, *positional, "[options]"]),
            description=description,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=110),
        )
        self._options = [option for component in components for option in component.options]
        self._retired: set[str] = set()
        self._older: dict[str, tuple[str, Option]] = {}
        if takes_config:
            table = components[0].table
            self.add_argument(
                "--config",
                "-c",
                metavar="FILE",
                help=f"TOML file whose table [{table}] has what is not typed",
                default=None,
            )
        self.add_argument("--version", "-v", action=_Version, nargs=0, help="print the version and end")
        for option in self._options:
            self._add(option)
        taken = set(self._option_string_actions)
        for option in self._options:
            self._add_older(option, taken)
        for each in retired.RETIRED:
            self._add_retired(each, taken)

    def _add(self, option: Option) -> None:
        text = argparse.SUPPRESS if option.hidden else _help(option)
        if option.kind == "positional":
            self.add_argument(option.name, nargs="?", metavar=option.metavar, help=text, default=argparse.SUPPRESS)
            return
        self._add_flags((option.flag, *filter(None, [option.short])), option.name, option, text)

    def _add_flags(self, flags: tuple[str, ...], destination: str, option: Option, text: str) -> None:
        common: dict[str, Any] = {"dest": destination, "help": text, "default": argparse.SUPPRESS}
        if option.kind == "flag":
            self.add_argument(*flags, action="store_true", **common)
        elif option.choices:
            self.add_argument(*flags, metavar="|".join(option.choices), **common)
        else:
            self.add_argument(*flags, metavar=option.metavar, nargs="+" if option.kind == "list" else None, **common)

    def _add_older(self, option: Option, taken: set[str]) -> None:
        if option.kind == "positional":
            return
        long = ""
        for name in option.older:
            if not name.startswith("-"):
                long = name
            flag = name if name.startswith("-") else "--" + name.replace("_", "-")
            if flag in taken:
                continue
            taken.add(flag)
            destination = f"older:{long}"
            self._older[destination] = ("--" + long.replace("_", "-"), option)
            self._add_flags((flag,), destination, option, argparse.SUPPRESS)

    def _add_retired(self, each: retired.Retired, taken: set[str]) -> None:
        flags = [flag for flag in (each.flag, each.short) if flag and flag not in taken]
        if not flags:
            return
        destination = f"retired:{each.name}"
        self._retired.add(destination)
        common: dict[str, Any] = {"dest": destination, "help": argparse.SUPPRESS, "default": argparse.SUPPRESS}
        if each.takes_value:
            self.add_argument(*flags, nargs="+" if each.name == "adapter_webhook_urls" else None, **common)
        else:
            self.add_argument(*flags, action="store_true", **common)

    def read(self, arguments: Sequence[str]) -> Typed:
        """Parses; UsageError says in three lines what is wrong. `--help` and `--version` end the process."""
        found, rest = self.parse_known_args(list(arguments))
        if rest:
            raise self._unknown(rest[0])
        typed = Typed()
        for name, value in vars(found).items():
            if name == "config":
                typed.config = value
            elif name in self._retired:
                typed.words.append(retired.answer(name.removeprefix("retired:")))
            elif name in self._older:
                flag, option = self._older[name]
                typed.words.append(f"{flag} is called {option.flag} now")
                typed.values.setdefault(option.name, value)
            else:
                typed.values[name] = value
        return typed

    def error(self, message: str) -> NoReturn:
        raise UsageError(message[0].upper() + message[1:] + ".", self.prog, f"see {self.prog} --help")

    def _unknown(self, text: str) -> UsageError:
        if not text.startswith("-"):
            return UsageError(f"There is no place for {text!r}.", self.prog, f"see {self.prog} --help")
        flag = text.partition("=")[0]
        near = nearest(flag, [flag for flag in self._option_string_actions if flag.startswith("--")])
        mend = f"did you mean {near}? " if near else ""
        return UsageError(f"There is no option {flag}.", self.prog, f"{mend}see {self.prog} --help")


class _Version(argparse.Action):
    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        from scaler import __version__

        print(__version__)
        sys.exit(0)


def _help(option: Option) -> str:
    default = f" (default: {option.default})" if option.default else ""
    return (option.help + default).replace("%", "%%")
