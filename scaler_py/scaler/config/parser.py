"""Parsing of command lines by tables of options, old names and options without meaning included."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from scaler.config import retired
from scaler.config.command_line import Typed
from scaler.config.nearest import nearest
from scaler.config.options import Option
from scaler.config.usage import UsageError

# How the values of positional options begin.
ADDRESSES = ("tcp://", "ipc://")


class Parser(argparse.ArgumentParser):
    """Its errors are UsageErrors. Help is not its business: CommandLine has it."""

    def __init__(self, program: str, options: Sequence[Option]) -> None:
        super().__init__(prog=program, allow_abbrev=False, add_help=False)
        self._options = options
        self._retired: set[str] = set()
        self._older: dict[str, tuple[str, Option]] = {}
        self.add_argument("--config", "-c", default=None)
        for option in self._options:
            self._add(option)
        taken = set(self._option_string_actions)
        for option in self._options:
            self._add_older(option, taken)
        for each in retired.RETIRED:
            self._add_retired(each, taken)

    def _add(self, option: Option) -> None:
        if option.kind == "positional":
            self.add_argument(option.name, nargs="?", metavar=option.metavar, default=argparse.SUPPRESS)
        else:
            self._add_flags((option.flag, *filter(None, [option.short])), option.name, option)

    def _add_flags(self, flags: tuple[str, ...], destination: str, option: Option) -> None:
        common: dict[str, Any] = {"dest": destination, "default": argparse.SUPPRESS}
        if option.kind == "flag":
            self.add_argument(*flags, action="store_true", **common)
        else:
            self.add_argument(*flags, nargs="+" if option.kind == "list" else None, **common)

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
            self._add_flags((flag,), destination, option)

    def _add_retired(self, each: retired.Retired, taken: set[str]) -> None:
        flags = [flag for flag in (each.flag, each.short) if flag and flag not in taken]
        if not flags:
            return
        destination = f"retired:{each.name}"
        self._retired.add(destination)
        common: dict[str, Any] = {"dest": destination, "default": argparse.SUPPRESS}
        if each.takes_value:
            self.add_argument(*flags, nargs="+" if each.name == "adapter_webhook_urls" else None, **common)
        else:
            self.add_argument(*flags, action="store_true", **common)

    def read(self, arguments: Sequence[str]) -> Typed:
        """UsageError says in three lines what is wrong."""
        found, rest = self.parse_known_args(list(arguments))
        if rest:
            raise self._unknown(rest[0])
        self._take_addresses_out_of_lists(found)
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

    def _take_addresses_out_of_lists(self, found: argparse.Namespace) -> None:
        """An option that takes a list takes the positional address behind it, too; no list has a place for one."""
        for name, values in list(vars(found).items()):
            addresses = [value for value in values if value.startswith(ADDRESSES)] if isinstance(values, list) else []
            if not addresses:
                continue
            missing = [each for each in self._options if each.kind == "positional" and each.name not in found]
            if len(addresses) > len(missing):
                raise self._unknown(addresses[len(missing)])
            for option, address in zip(missing, addresses, strict=False):
                setattr(found, option.name, address)
            left = [value for value in values if value not in addresses]
            if not left:
                flag = "--" + name.rpartition(":")[2].replace("_", "-")
                raise UsageError(f"{flag} has no value.", self.prog, f"see {self.prog} --help")
            setattr(found, name, left)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message[0].upper() + message[1:] + ".", self.prog, f"see {self.prog} --help")

    def _unknown(self, text: str) -> UsageError:
        if not text.startswith("-"):
            return UsageError(f"There is no place for {text!r}.", self.prog, f"see {self.prog} --help")
        flag = text.partition("=")[0]
        near = nearest(flag, [flag for flag in self._option_string_actions if flag.startswith("--")])
        mend = f"did you mean {near}? " if near else ""
        return UsageError(f"There is no option {flag}.", self.prog, f"{mend}see {self.prog} --help")
