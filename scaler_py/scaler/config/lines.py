"""On which lines of a TOML file its tables and keys are: `tomllib` gives values alone."""

import re
import tomllib
from collections.abc import Iterator

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


class Lines:
    """Of a text that tomllib takes: of others it may say anything. Dashes and underscores are alike in all names."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts: dict[Path, int] = {}
        # Index of the last table of each array of tables so far.
        self._last: dict[Path, int] = {}
        for path, at in self._scan():
            for length in range(1, len(path) + 1):
                self._starts.setdefault(path[:length], at)

    def line(self, *place: str | int) -> int:
        """From 1. What has none of its own (a key of an inline table) has that of what it is in; 0 for nothing."""
        path = tuple(part.replace("-", "_") if isinstance(part, str) else part for part in place)
        while path and path not in self._starts:
            path = path[:-1]
        return self._text.count("\n", 0, self._starts[path]) + 1 if path else 0

    def _scan(self) -> Iterator[tuple[Path, int]]:
        """Each header and key, and where it begins."""
        text, at, table = self._text, 0, Path()
        while (at := _after_space(text, at)) < len(text):
            start = at
            brackets = 2 if text.startswith("[[", at) else 1 if text[at] == "[" else 0
            key, at = _key(text, at + brackets)
            if brackets:
                table = self._header(key, brackets == 2)
                yield table, start
                at += brackets
            else:
                yield table + key, start
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


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _key(text: str, at: int) -> tuple[Path, int]:
    """A dotted key, and where it ends."""
    parts: list[str] = []
    while found := _KEY.match(text, at):
        part, at = found[1], found.end()
        plain = tomllib.loads(f"key = {part}")["key"] if part[0] in "\"'" else part
        parts.append(plain.replace("-", "_"))
        if not text.startswith(".", at):
            break
        at += 1
    return tuple(parts), at


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
