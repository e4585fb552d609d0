"""`scaler_worker_manager new-driver NAME DIR`: a package that is a driver, works, and whose tests pass."""

import re
from collections.abc import Iterator, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from scaler._core import VERSION
from scaler.managers.api import API_VERSION, ConfigurationError
from scaler.managers.names import KNOWN, SHORT

HELP = """\
usage: scaler_worker_manager new-driver NAME DIR

Writes the package of a new driver NAME into the folder DIR, which must be new or empty: pyproject.toml with the entry
point, src/scaler_plugin_NAME/ with a driver that runs workers as processes of this machine, tests/ with the contract
suite, README.md. Its tests pass; docs/write-a-driver.md says how to go on.

example: scaler_worker_manager new-driver hetzner scaler-plugin-hetzner
"""

_SUFFIX = ".template"


def run(arguments: Sequence[str]) -> int:
    """Exit code. ConfigurationError: the name will not do, or there is something in the folder."""
    if len(arguments) != 2 or arguments[0].startswith("-"):
        what = "new-driver takes a name and a folder."
        raise ConfigurationError(what, " ".join(arguments), "scaler_worker_manager new-driver NAME DIR")
    name, folder = arguments[0], Path(arguments[1])
    _check_name(name)
    write(name, folder)
    print(f"{folder} has the driver {name}. Next, in it: pip install --editable '.[test]' && pytest")
    return 0


def _check_name(name: str) -> None:
    where = f"new-driver {name}"
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        mend = "lower-case letters and digits, words joined by _; it begins with a letter"
        near = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_0123456789")
        raise ConfigurationError(f"{name!r} is no name for a driver.", where, mend + (f": {near}" if near else ""))
    if name in KNOWN or name in SHORT:
        raise ConfigurationError(f"There is a driver {name!r}.", where, "choose another name")


def write(name: str, folder: Path) -> None:
    """The whole package. ConfigurationError: there is something, or the folder cannot be written."""
    where = f"new-driver {name} {folder}"
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigurationError(f"{folder} is there, and not empty.", where, "name a new folder")
        words = _words(name)
        for path, text in _templates(resources.files("scaler.testing") / "skeleton", Path()):
            for word, value in words.items():
                text = text.replace(f"@{word}@", value)
            target = folder / _place(path, words["MODULE"])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror}.", where, "name another") from None


def _words(name: str) -> dict[str, str]:
    return {
        "NAME": name,
        "DISTRIBUTION": f"scaler-plugin-{name.replace('_', '-')}",
        "MODULE": f"scaler_plugin_{name}",
        "VARIABLE": f"SCALER_PLUGIN_{name.upper()}",
        "VERSION": VERSION,
        "API_VERSION": str(API_VERSION),
    }


def _place(path: Path, module: str) -> Path:
    """src/x.py.template → src/<module>/x.py"""
    name = path.name.removesuffix(_SUFFIX)
    return path.parent / module / name if path.parts[0] == "src" else path.parent / name


def _templates(folder: Traversable, place: Path) -> Iterator[tuple[Path, str]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        if entry.is_dir():
            yield from _templates(entry, place / entry.name)
        elif entry.name.endswith(_SUFFIX):
            yield place / entry.name, entry.read_text(encoding="utf-8")
