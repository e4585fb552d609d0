"""Which drivers are installed, by looking into the folders on `sys.path`: `importlib.metadata` takes longer to import
than `--list` may take.

Plain classes and few imports, for the same reason.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

from scaler.managers.names import BUILT_IN

GROUP = "scaler.drivers"
HOST = "scaler-py"


class Installed:
    """An entry point of the group. module: what it names. record: a file that every installation writes anew."""

    __slots__ = ("distribution", "module", "name", "record", "version")

    def __init__(self, name: str, module: str, distribution: str, version: str, record: str) -> None:
        self.name = name
        self.module = module
        self.distribution = distribution
        self.version = version
        self.record = record

    def __repr__(self) -> str:
        return f"{self.name} of {self.distribution} {self.version}"


def installed() -> list[Installed]:
    """All of them, the host's own first. Two of one name are two entries; a distribution is looked at once."""
    found = [_built_in()]
    seen = set()
    for folder in sys.path:
        for place in _metadata(folder or "."):
            text = _text(os.path.join(place, "entry_points.txt"))
            if GROUP not in text:
                continue
            distribution, version = _name_and_version(place)
            if distribution not in seen:
                seen.add(distribution)
                record = os.path.join(place, "RECORD")
                found += [
                    Installed(name, module, distribution, version, record)
                    for name, module in _entries(text.splitlines())
                    if module != found[0].module
                ]
    return found


def _built_in() -> Installed:
    """The host's own is there even where the package was not installed but is only on the path.

    Its version is not looked up: that of the core is in a library that `--help` does without.
    """
    return Installed(BUILT_IN, f"scaler.drivers.{BUILT_IN}", HOST, "", "")


def _metadata(folder: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        if name.endswith((".dist-info", ".egg-info")):
            yield os.path.join(folder, name)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _name_and_version(place: str) -> tuple[str, str]:
    """As the metadata has them; by the folder's name where it has none."""
    stem = os.path.basename(place).rpartition(".")[0]
    name, _, version = stem.partition("-")
    text = _text(os.path.join(place, "METADATA")) or _text(os.path.join(place, "PKG-INFO"))
    for line in text.splitlines():
        if not line:
            break
        key, _, value = line.partition(":")
        if key == "Name":
            name = value.strip()
        elif key == "Version":
            version = value.strip()
    return name, version


def _entries(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(name, module) of each entry of the group."""
    section = ""
    for line in map(str.strip, lines):
        if line.startswith("["):
            section = line.strip("[] ")
        elif section == GROUP and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.partition("[")[0].strip()
