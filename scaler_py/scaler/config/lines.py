"""On which lines of a TOML file its tables and keys are: `tomllib` gives values alone."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

# A key's path from the top, table by table; of an array of tables, the index of the table follows its name.
Path = tuple[str | int, ...]

_SPACE = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*""")
# Of a value: what may have brackets or line ends in it that mean nothing, and all that has none.
_PART = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"""|[^"'#\[\]{}\n]+""",
    re.DOTALL,
)


@dataclass(frozen=True)
class Repeated:
    """A table or key that is there a second time. first, line: where it is, from 1. header: whether it is a table."""

    path: Path
    first: int
    line: int
    header: bool


class Lines:
    """Of a text that tomllib takes: of others it may say anything. Dashes and underscores are alike in all names."""

    def __init__(self, text: str) -> None:
        self._text = text
        # Where each header and key begins that is there as such, not only as part of another's path.
        self._written: dict[Path, int] = {}
        self._repeated: Repeated | None = None
        self._starts: dict[Path, int] = {}
        # Index of the last table of each array of tables so far.
        self._last: dict[Path, int] = {}
        for written, at, header in self._scan():
            self._starts.setdefault(written, at)
            path = _alike(written)
            first = self._written.get(path[:-1] if path[-1:] == (0,) else path, self._written.get(path))
            if path and first is not None and self._repeated is None:
                self._repeated = Repeated(path, self._at(first), self._at(at), header)
            self._written.setdefault(path, at)
            for length in range(1, len(path) + 1):
                self._starts.setdefault(path[:length], at)

    def line(self, *place: str | int) -> int:
        """From 1; of two keys that are alike, of the one written so.

        What has none of its own (a key of an inline table) has that of what it is in; 0 for nothing.
        """
        if place in self._starts:
            return self._at(self._starts[place])
        path = _alike(place)
        while path and path not in self._starts:
            path = path[:-1]
        return self._at(self._starts[path]) if path else 0

    def repeated(self) -> Repeated | None:
        """The first that is there twice: in a text that tomllib refuses for that, which may be wrong further down."""
        return self._repeated

    def _at(self, start: int) -> int:
        return self._text.count("\n", 0, start) + 1

    def _scan(self) -> Iterator[tuple[Path, int, bool]]:
        """Each header and key, where it begins, and whether it is a header."""
        text, at, table = self._text, 0, Path()
        while (at := _after_space(text, at)) < len(text):
            start = at
            brackets = 2 if text.startswith("[[", at) else 1 if text[at] == "[" else 0
            key, at = _key(text, at + brackets)
            if brackets:
                table = self._header(_alike(key), brackets == 2)
                yield table, start, True
                at += brackets
            else:
                yield table + key, start, False
                at = _after_value(text, at)

    def _header(self, key: Path, new: bool) -> Path:
        """The table that it begins. Below an array of tables it means the last one of them, unless it adds one."""
        path = Path()
        for index, part in enumerate(key):
            path = (*path, part)
            if new and index == len(key) - 1:
                self._last[path] = self._last.get(path, -1) + 1
            if path in self._last:
                path = (*path, self._last[path])
        return path


def _alike(path: Path) -> Path:
    return tuple(part.replace("-", "_") if isinstance(part, str) else part for part in path)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _key(text: str, at: int) -> tuple[Path, int]:
    """A dotted key, and where it ends."""
    parts: list[str] = []
    while found := _KEY.match(text, at):
        part, at = found[1], found.end()
        parts.append(_plain(part))
        if not text.startswith(".", at):
            break
        at += 1
    return tuple(parts), at


def _plain(part: str) -> str:
    """A key without its quotes."""
    if part[0] not in "\"'":
        return part
    try:
        return str(tomllib.loads(f"key = {part}")["key"])
    except tomllib.TOMLDecodeError:
        return part


def _after_value(text: str, at: int) -> int:
    """The end of a value's last line."""
    depth = 0
    while at < len(text):
        if found := _PART.match(text, at):
            at = found.end()
            continue
        if text[at] == "\n" and not depth:
            break
        depth += (text[at] in "[{") - (text[at] in "]}")
        at += 1
    return at
