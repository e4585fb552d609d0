"""Secrets that were typed: taken out of this process's arguments, where everybody on the machine can read them."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from scaler.config.options import Option

# Number of /proc/<pid>/stat's field with the address of the arguments, counted from the third, behind the name.
_ARG_START = 48 - 3


@dataclass
class Hidden:
    """flags: what was hidden, as it was typed.

    command, environment: should the process start itself anew, its own line without, and what stands for it there.
    """

    flags: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def words(self, options: Iterable[Option]) -> Iterator[str]:
        """For people: what is better."""
        variables = {flag: option.variable for option in options for flag in flags_of(option)}
        for flag in self.flags:
            yield (
                f"{flag} is a secret, and whoever looked could read it in the list of processes until now: "
                f"better set {variables[flag]} in the environment, or write it into a file that only you can read"
            )


def hide_secrets(options: Iterable[Option]) -> Hidden:
    """Overwrites the values of all that are secret in this process's arguments."""
    variables = {flag: option.variable for option in options if option.secret for flag in flags_of(option)}
    hidden = Hidden()
    places = []
    for at, flag, value, given in _given(sys.orig_argv[1:], variables):
        if flag:
            hidden.flags.append(flag)
            hidden.environment[variables[flag]] = value
            places.append((at, value))
        else:
            hidden.command += given
    if places:
        _overwrite(places)
    return hidden


def flags_of(option: Option) -> list[str]:
    """All that it may be typed as."""
    older = [name if name.startswith("-") else "--" + name.replace("_", "-") for name in option.older]
    return [flag for flag in (option.flag, option.short, *older) if flag]


def _given(arguments: Sequence[str], secrets: Mapping[str, str]) -> Iterator[tuple[int, str, str, Sequence[str]]]:
    """(index of the argument with the value, flag, value, what was typed); without a flag where nothing is secret."""
    index = 0
    while index < len(arguments):
        flag, equals, value = arguments[index].partition("=")
        if flag in secrets and equals:
            yield index, flag, value, arguments[index : index + 1]
        elif flag in secrets and index + 1 < len(arguments):
            yield index + 1, flag, arguments[index + 1], arguments[index : index + 2]
            index += 1
        else:
            yield index, "", "", arguments[index : index + 1]
        index += 1


def _overwrite(places: Sequence[tuple[int, str]]) -> None:
    """places: indices behind the program's own name, and the values at the arguments' ends."""
    with open("/proc/self/cmdline", "rb") as file:
        listed = file.read().split(b"\0")
    with open("/proc/self/stat", "rb") as file:
        start = int(file.read().rpartition(b")")[2].split()[_ARG_START])
    for index, value in places:
        length = len(os.fsencode(value))
        end = start + sum(len(each) + 1 for each in listed[: index + 2]) - 1
        # Only where it is: somebody else may have changed the arguments.
        if listed[index + 1].endswith(os.fsencode(value)) and length:
            ctypes.memset(end - length, ord("*"), length)
