"""What installed drivers say of themselves, remembered from one `--list` or `--help` to the next.

Kept by distribution, version and the time of the installation's RECORD, and good as long as the files that the import
has read are as they were. What is broken is looked at again each time: it may lack something that came meanwhile.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence

from scaler.config.options import Component, Option
from scaler.config.table import BAREMETAL_NATIVE
from scaler.managers.installed import Installed

# Not from `typing`: `--list` and help must be fast.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Raised with the form of what is kept.
_FORM = 1
# What an import of a driver may take.
SECONDS = 30.0


class Described:
    """What a driver is. problem: why it cannot be run, empty if it can; mend: what to do then. note: for its author."""

    __slots__ = ("api_version", "commands", "doc_url", "family", "mend", "note", "options", "problem", "version")

    def __init__(self, told: dict[str, Any]) -> None:
        """TypeError, ValueError: this is not what `examining` says."""
        self.problem = str(told.get("problem", ""))
        self.mend = str(told.get("mend", ""))
        self.version = str(told.get("version", ""))
        self.family = str(told.get("family", ""))
        self.api_version = int(told.get("api_version", 0))
        self.doc_url = str(told.get("doc_url", ""))
        self.note = str(told.get("note", ""))
        self.commands = [str(each) for each in told.get("commands", [])]
        rows = [
            {**row, "choices": tuple(row["choices"]), "older": tuple(row["older"])} for row in told.get("options", [])
        ]
        self.options = Component(BAREMETAL_NATIVE.table, tuple(Option(**row) for row in rows))


def describe_all(found: Sequence[Installed]) -> list[Described]:
    """One each, in the same order. What is not remembered is imported, each in a process of its own."""
    kept = _read()
    told = [remembered(kept, each) for each in found]
    missing = [index for index, each in enumerate(told) if each is None]
    if missing:
        for index, answer in zip(missing, _examine([found[index] for index in missing]), strict=True):
            told[index] = answer
            if "problem" not in answer:
                kept[_name(found[index])] = {**answer, "key": _key(found[index])}
        _write(kept)
    return [Described(each or {}) for each in told]


def describe(found: Installed) -> Described:
    (described,) = describe_all([found])
    return described


def remembered(kept: dict[str, Any], found: Installed) -> dict[str, Any] | None:
    """What it said, where that still holds. kept: of the file, whatever is in there."""
    told = kept.get(_name(found))
    try:
        if told is None or told["key"] != _key(found):
            return None
        if any(os.stat(path).st_mtime_ns != changed for path, changed in told["sources"].items()):
            return None
        Described(told)
    except Exception:  # a file that is gone; or what somebody else wrote
        return None
    return told if isinstance(told, dict) else None


def _name(found: Installed) -> str:
    return f"{found.record or found.module} {found.name}"


def _key(found: Installed) -> list[Any]:
    try:
        changed = os.stat(found.record).st_mtime_ns if found.record else 0
    except OSError:
        changed = 0  # not installed by pip
    return [_FORM, found.distribution, found.version, changed, found.module]


def _examine(found: Sequence[Installed]) -> Iterator[dict[str, Any]]:
    """All at once, each in a process of its own."""
    import contextlib
    import subprocess
    import sys

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    processes = []
    try:
        for each in found:
            given = json.dumps([each.name, each.module, each.distribution, each.version, each.record])
            command = [sys.executable, "-P", "-m", "scaler.managers.examining", given]
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
            processes.append(process)
        for each, process in zip(found, processes, strict=True):
            try:
                text, _ = process.communicate(timeout=SECONDS)
                told = json.loads(text)
            except subprocess.TimeoutExpired:
                told = _problem(each, f"was not imported within {SECONDS:g} s")
            except ValueError:
                status = process.returncode
                how = f"exit code {status}" if status >= 0 else f"signal {-status}"
                told = _problem(each, f"ends the process that imports it, with {how}")
            yield told
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _problem(found: Installed, what: str) -> dict[str, Any]:
    return {"problem": f"The driver {found.name!r} {what}.", "mend": "mend or reinstall the package that has it"}


def cache_file() -> str:
    """In `$SCALER_CACHE_DIR`, else `$XDG_CACHE_HOME/scaler`, else `~/.cache/scaler`."""
    folder = os.environ.get("SCALER_CACHE_DIR")
    if not folder:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        folder = os.path.join(home, "scaler")
    return os.path.join(folder, "drivers.json")


def _read() -> dict[str, Any]:
    try:
        with open(cache_file(), encoding="utf-8") as file:
            kept = json.load(file)
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _write(kept: dict[str, Any]) -> None:
    """Beside and renamed into place. Nothing is lost where it cannot be written but time."""
    path = cache_file()
    draft = f"{path}.{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(draft, "w", encoding="utf-8") as file:
            json.dump(kept, file)
        os.replace(draft, path)
    except (OSError, ValueError):
        try:
            os.unlink(draft)
        except OSError:
            return
