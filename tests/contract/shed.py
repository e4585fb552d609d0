"""A toy infrastructure with a command line: `shed.py FOLDER start UNIT SLOTS CAPABILITIES COMMAND…`, `list`, `stop`.

A unit is a process, which it finds again by a file of the unit's name. As a module: the same from outside, and trouble.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

TROUBLES = {"throttling": 69, "expiring": 77}


def main(folder: Path, verb: str, *rest: str) -> int:
    for trouble, code in TROUBLES.items():
        if (folder / f"={trouble}").exists():
            print(trouble, file=sys.stderr)
            return code
    if (folder / "=hanging").exists():
        time.sleep(600)
    if verb == "start":
        return start(folder, *rest)
    if verb == "stop":
        return stop(folder, *rest)
    for name, about in units(folder).items():
        print(name, about["process"], "running" if is_alive(about["process"]) else "exited (killed)")
    return 0


def units(folder: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for path in folder.glob("[!=]*"):
        with suppress(FileNotFoundError):  # stopped meanwhile
            found[path.name] = json.loads(path.read_text())
    return found


def start(folder: Path, unit: str, slots: str, capabilities: str, *command: str) -> int:
    if (folder / f"=refused-{unit.split('.')[-1]}").exists():
        print("no room for it", file=sys.stderr)
        return 1
    if (folder / unit).exists():
        print("the name is in use", file=sys.stderr)
        return 1
    with Path(os.devnull).open("r+b") as null:
        process = subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)
    about = {"process": process.pid, "slots": int(slots), "capabilities": capabilities, "command": command}
    (folder / f"={unit}").write_text(json.dumps(about))
    (folder / f"={unit}").rename(folder / unit)
    if (folder / "=losing").exists():
        time.sleep(600)
    return 0


def stop(folder: Path, unit: str) -> int:
    about = units(folder).get(unit)
    if about is None:
        print("there is no such unit", file=sys.stderr)
        return 1
    end(about["process"], signal.SIGTERM)
    (folder / unit).unlink(missing_ok=True)
    return 0


def is_alive(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def end(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)
    while is_alive(process):
        time.sleep(0.005)


class Shed:
    """One of its own in a folder. program: what units run, whatever their command is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "shed"
        self.folder.mkdir()
        this = f"{sys.executable} -S -E {__file__} {self.folder}"
        self.options = {
            "start_command": f"{this} start {{unit}} {{slots}} {{capabilities}} {{command}}",
            "status_command": f"{this} list",
            "stop_command": f"{this} stop {{unit}}",
            "program": "sleep 600",
            "command_timeout_seconds": 3,
        }

    def look(self) -> Iterator[object]:
        from scaler.managers.api import Owner
        from scaler.testing.driver_contract import Seen

        for name, about in units(self.folder).items():
            if is_alive(about["process"]):
                pairs = (each.rpartition("=") for each in about["capabilities"].split(",") if each)
                capabilities = {key: int(amount) for key, _, amount in pairs}
                owner, unit = None, ""
                if name.count(".") == 3:
                    cluster, manager, unit = map(unquote, name.split(".")[1:])
                    owner = Owner(cluster, manager)
                text = f"{name} {about['command']}"
                yield Seen(str(about["process"]), unit, owner, about["slots"], capabilities, text)

    def kill(self, process: str) -> None:
        end(int(process), signal.SIGKILL)

    def plant(self) -> str:
        name = "scaler-somebody-elses"
        command = ["start", name, "1", "", "sleep", "600"]
        subprocess.run([sys.executable, __file__, self.folder, *command], check=True)
        return str(units(self.folder)[name]["process"])

    def end(self) -> None:
        for about in units(self.folder).values():
            end(about["process"], signal.SIGKILL)

    @contextmanager
    def _marked(self, *names: str) -> Iterator[None]:
        for name in names:
            (self.folder / f"={name}").touch()
        yield
        for name in names:
            (self.folder / f"={name}").unlink()

    def refusing(self, ids: Sequence[str]) -> object:
        return self._marked(*(f"refused-{quote(each, safe='').replace('.', '%2E')}" for each in ids))

    def losing_answers(self) -> object:
        return self._marked("losing")

    def throttling(self) -> object:
        return self._marked("throttling")

    def expiring(self) -> object:
        return self._marked("expiring")

    def hanging(self) -> object:
        return self._marked("hanging")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
