"""What a task installs when it starts: the user's packages, and this software.

Images read PYTHON_REQUIREMENTS in two ways. Newer ones write it to a file as it is, a requirement a line, and install
that; older ones split it at `;` and at blanks, and install the pieces. So entries stand on lines of their own, and have
no blanks within: each of the two finds the same ones. Only an environment marker is more than the older ones can read.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from scaler.managers.api import ConfigurationError

# The distribution that the workers are of.
HOST = "scaler-py"
_FORMER = "opengris-scaler"
_OPERATOR = r"(?:===|==|!=|~=|<=|>=|<|>|\bnot\s+in\b|\bin\b)"
_MARKER = re.compile(rf"\s*(?:[\"'(]|[a-z_.]+\s*{_OPERATOR}\s*[\"'])")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_COMMENT = re.compile(r"(^|\s)#.*$")
# Options of an index, and the variables that say the same to uv and to pip.
_INDEX = {
    "--index-url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"),
    "-i": ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"),
    "--extra-index-url": ("UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL"),
    "--find-links": ("UV_FIND_LINKS", "PIP_FIND_LINKS"),
    "-f": ("UV_FIND_LINKS", "PIP_FIND_LINKS"),
}
_HOW = "--worker-package scaler-py==VERSION, a wheel's path in the image or its address"


@dataclass(frozen=True)
class Software:
    """What a task is told to install. warnings: for people, a line each."""

    entries: tuple[str, ...]
    version: str
    index: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """Of a container, as the worker images read it."""
        return {"PYTHON_REQUIREMENTS": "\n".join(self.entries), "PYTHON_VERSION": self.version, **self.index}


def entries(text: str) -> list[str]:
    """Requirements that stand on lines, or with `;` between them; what is a marker stays with its requirement."""
    found: list[str] = []
    for line in text.splitlines():
        of_line: list[str] = []
        for piece in _COMMENT.sub("", line).split(";"):
            if of_line and _MARKER.match(piece):
                # Behind an address a marker needs a blank: the address may have a semicolon.
                of_line[-1] += (" ;" if "://" in of_line[-1] else ";") + piece.strip()
            elif piece.strip():
                of_line.append(_compact(piece.strip()))
        found += of_line
    return found


def _compact(requirement: str) -> str:
    """Without the blanks that a requirement may have around its parts."""
    if requirement.startswith("-"):
        return requirement
    return re.sub(r"\s*(===|==|!=|~=|<=|>=|<|>|,|@|\[|\])\s*", r"\1", requirement)


def software(requirements: str, version: str, package: str | None, installed: str | None) -> Software:
    """requirements: the user's. package: `--worker-package`. installed: this software as an index has it; None: it
    came from somewhere else. ConfigurationError: the package cannot be read.
    """
    wanted = entries(requirements)
    warnings = []
    if former := [each for each in wanted if _is(each, _FORMER)]:
        wanted = [each for each in wanted if each not in former]
        instead = package or installed or "what the image has of it"
        warnings.append(f"{former[0]} in --ecs-python-requirements is taken as this project: tasks get {instead}")
    named = any(_is(each, HOST) for each in wanted)
    own, index = _package(package) if package else ([installed] if installed and not named else [], {})
    if not own and not named:
        warnings.append(
            "this software was not installed from the public index here, so tasks do not install it: their image must "
            f"have it; otherwise say how they get it: {_HOW}"
        )
    return Software((*own, *wanted), version, index, tuple(warnings))


def _is(requirement: str, name: str) -> bool:
    found = _NAME.match(requirement)
    return found is not None and re.sub(r"[-_.]+", "-", found[0]).lower() == name


def _package(text: str) -> tuple[list[str], dict[str, str]]:
    """What to install, and variables that name an index. Those are no part of a requirement: they may hold a password,
    and a requirement is shown when it fails."""
    try:
        words = iter(shlex.split(text))
    except ValueError as error:
        raise _unreadable(text, str(error)) from None
    own: list[str] = []
    values: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("-"):
            option, equals, value = word.partition("=")
            if option not in _INDEX:
                raise _unreadable(text, f"it has {option}; known are {', '.join(_INDEX)}")
            if not (value := value if equals else next(words, "")):
                raise _unreadable(text, f"{option} names nothing")
            for variable in _INDEX[option]:
                values.setdefault(variable, []).append(value)
        else:
            own.append(word)
    if not own:
        raise _unreadable(text, "it names no package")
    # `scaler-py == 1.2` came as three words.
    return entries(_joined(own)), {name: " ".join(each) for name, each in values.items()}


def _joined(words: Iterable[str]) -> str:
    return re.sub(r"\s*(===|==|~=|<=|>=|@)\s*", r"\1", " ".join(words)).replace(" ", "\n")


def _unreadable(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"{text!r} is no package: {why}.", "--worker-package", f"like {_HOW.partition(' ')[2]}")


def installed_package(environment: Mapping[str, str] = os.environ) -> str | None:
    """This software as the public index has it. None: it was installed from a folder or a file (PEP 610), or perhaps
    from an index of the environment's own, which a task does not have; or is not installed at all."""
    from importlib import metadata

    if any(value and _names_index(name) for name, value in environment.items()):
        return None
    try:
        found = metadata.distribution(HOST)
    except metadata.PackageNotFoundError:
        return None
    return None if found.read_text("direct_url.json") else f"{HOST}=={found.version}"


def _names_index(variable: str) -> bool:
    known = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL")
    uv = variable.startswith("UV_INDEX") and variable != "UV_INDEX_STRATEGY"
    return uv or variable in (*known, "UV_FIND_LINKS")


def python_words(version: str, minor: tuple[int, int], is_default: bool) -> Iterator[str]:
    """What there is to say of the tasks' Python. minor: this host's, (3, 12)."""
    theirs = tuple(map(int, version.split(".")[:2]))
    if is_default and theirs != minor:
        yield (
            f"tasks run Python {version}, the default of --ecs-python-version, and this is {minor[0]}.{minor[1]}: "
            "functions that are sent by value need the same minor version on both sides"
        )
