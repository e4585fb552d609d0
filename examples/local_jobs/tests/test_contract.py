"""The contract suite on local_jobs: what an author of a driver writes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from scaler.managers.api import Owner
from scaler.testing.driver_contract import DriverCase, DriverContract, Seen
from scaler_plugin_local_jobs import driver

MODULE = b"scaler_plugin_local_jobs.job"


def look() -> list[Seen]:
    """The processes of jobs, by their folders' names."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            environment = dict(each.split(b"=", 1) for each in (entry / "environ").read_bytes().split(b"\0") if each)
            if MODULE in command:
                folder = Path(os.fsdecode(command[command.index(MODULE) + 1]))
                cluster, _, manager = environment.get(b"SCALER_LOCAL_JOBS_OWNER", b"").decode().partition("/")
                owner = Owner(cluster, manager) if cluster else None
                name = json.loads((folder / "about").read_text())["id"] if owner else ""
                found.append(Seen(str(folder), name, owner, text=repr(command)))
        except OSError:
            continue  # another user's, or gone meanwhile
    return found


def kill(folder: str) -> None:
    os.kill(int((Path(folder) / "lock").read_text()), signal.SIGKILL)


@contextmanager
def spawning(spawn: Any) -> Iterator[None]:
    """With another `os.posix_spawn`, which is given the real one and its arguments."""
    with pytest.MonkeyPatch.context() as patch:
        real = os.posix_spawn
        patch.setattr(os, "posix_spawn", lambda *arguments, **named: spawn(real, *arguments, **named))
        yield


def refusing(ids: Sequence[str]) -> Any:
    refused = [sha256(each.encode()).hexdigest() for each in ids]

    def spawn(real: Any, program: str, arguments: list[str], *rest: Any, **named: Any) -> int:
        if any(name in " ".join(arguments) for name in refused):
            raise BlockingIOError("Resource temporarily unavailable")
        return int(real(program, arguments, *rest, **named))

    return spawning(spawn)


def losing_answers() -> Any:
    def spawn(real: Any, *arguments: Any, **named: Any) -> int:
        real(*arguments, **named)
        raise RuntimeError("killed at this point")

    return spawning(spawn)


class TestLocalJobs(DriverContract):
    @pytest.fixture
    def driver_case(self, tmp_path: Path) -> Iterator[DriverCase]:
        planted: list[subprocess.Popen[bytes]] = []

        def plant() -> str:
            """A process that looks like a job's."""
            sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
            planted.append(subprocess.Popen([*sleep, MODULE, tmp_path]))
            return str(tmp_path)

        yield DriverCase(
            module=driver,
            look=look,
            options={"nice": 5},
            vanish=kill,
            plant=plant,
            refusing=refusing,
            losing_answers=losing_answers,
            wrong_options={"nice": {"nice": 20}},
        )
        for each in planted:
            each.kill()
            each.wait()
