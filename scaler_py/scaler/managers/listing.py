"""`scaler_worker_manager --list`: every driver that is installed, and what keeps a broken one from running."""

from __future__ import annotations

from scaler.managers.described import describe_all
from scaler.managers.installed import Installed, installed
from scaler.managers.names import KNOWN


class Listed:
    """A driver's line. `problem` is empty for one that can be run."""

    __slots__ = ("api_version", "distribution", "family", "mend", "name", "note", "problem", "version")

    def __init__(self, found: Installed) -> None:
        self.name = found.name
        self.distribution = found.distribution
        self.version = found.version
        self.family = ""
        self.api_version = 0
        self.problem = self.mend = self.note = ""

    def lines(self) -> list[str]:
        head = f"{self.name:<20} {self.distribution} {self.version}".rstrip()
        if not self.problem:
            lines = [f"{head:<52} {self.family:<9} interface {self.api_version}"]
            return [*lines, f"{'':<20} note: {self.note}"] if self.note else lines
        lines = [f"{head:<52} broken", f"{'':<20} {self.problem}"]
        return [*lines, f"{'':<20} to do: {self.mend}"] if self.mend else lines


def list_drivers() -> list[Listed]:
    """By name. A broken one harms no other."""
    found = sorted(installed(), key=lambda each: (each.name, each.distribution))
    listed = []
    for each, described in zip(found, describe_all(found), strict=True):
        line = Listed(each)
        line.version = each.version or described.version
        line.family, line.api_version = described.family, described.api_version
        line.problem, line.mend, line.note = described.problem, described.mend, described.note
        if others := [other for other in found if other.name == each.name and other is not each]:
            line.problem = f"Another package has a driver of this name: {others[0].distribution}."
            line.mend = f"pip uninstall {each.distribution}, or the other one"
        listed.append(line)
    return listed


def text() -> str:
    """The whole list, and what there is besides."""
    listed = list_drivers()
    lines = [line for each in listed for line in each.lines()]
    missing = [(name, package) for name, package in KNOWN.items() if name not in {each.name for each in listed}]
    lines += [f"{name:<20} not installed: pip install {package}" for name, package in missing]
    return "\n".join(lines) + "\n"
