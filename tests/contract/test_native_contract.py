"""The contract suite on baremetal_native, with a stand-in for the agent's program: there is no scheduler here."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from scaler.drivers import baremetal_native as driver
from scaler.drivers.baremetal_native import agents
from scaler.managers.api import Launch, Owner
from scaler.testing.driver_contract import DriverCase, DriverContract, Seen

# Leaves what it was given where the test reads it: nobody else can.
AGENT = """
import json, os, signal, sys
given, saying = int(sys.argv[2]), int(sys.argv[4])
settings = json.loads(os.read(given, 1 << 20).splitlines()[0])
with open(f"{settings['told']}/{os.getpid()}.draft", "w") as file:
    json.dump(settings["node"], file)
os.rename(file.name, file.name.removesuffix(".draft"))
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
try:
    os.write(saying, b'{"name": "x"}\\n')
except OSError:
    pass
os.close(saying)
while True:
    signal.pause()
"""


def environment_of(process: Path) -> dict[str, str]:
    pairs = (each.partition(b"=") for each in (process / "environ").read_bytes().split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def look(told: Path) -> Iterator[Seen]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            unit = environment_of(process).get("SCALER_UNIT", "")
            command = (process / "cmdline").read_text()
            if not unit:
                continue
            cluster, manager, group = unit.split("/")
            owner = Owner(cluster, manager) if manager else None
            about = told / process.name
            node = json.loads(about.read_text()) if about.exists() else {"slots": None, "capabilities": None}
            yield Seen(process.name, group, owner, node["slots"], node["capabilities"], f"{unit} {command}")
        except OSError:
            continue


class TestNative(DriverContract):
    @pytest.fixture
    def driver_case(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DriverCase]:
        (tmp_path / "stand_in_agent.py").write_text(AGENT)
        paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
        monkeypatch.setattr(agents, "_MODULE", "stand_in_agent")
        planted: list[subprocess.Popen[bytes]] = []

        def plant() -> str:
            """An agent of nobody's."""
            command = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
            planted.append(subprocess.Popen(command, env={**os.environ, "SCALER_UNIT": "//scaler"}))
            return str(planted[-1].pid)

        def launch(group: str, slots: int, capabilities: Mapping[str, int]) -> Launch:
            node = {"slots": slots, "capabilities": dict(capabilities)}
            return Launch({"node": node, "told": str(tmp_path)})

        yield DriverCase(
            module=driver,
            look=lambda: list(look(tmp_path)),
            launch=launch,
            vanish=lambda process: os.kill(int(process), signal.SIGKILL),
            plant=plant,
            refusing=refusing,
            losing_answers=losing_answers,
            wrong_options={"mode": {"mode": "static"}},
            shows_size=True,
            many=20,
        )
        for each in planted:
            each.kill()
            each.wait()


def beginning(begin: Any) -> AbstractContextManager[None]:
    """With another way to begin an agent, which is given the real one."""

    @contextmanager
    def patched() -> Iterator[None]:
        real = agents.Agents._begin
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(agents.Agents, "_begin", lambda self, group, *rest: begin(real, self, group, *rest))
            yield

    return patched()


def refusing(ids: Sequence[str]) -> AbstractContextManager[None]:
    def begin(real: Any, self: Any, group: str, *rest: Any) -> Any:
        if group in ids:
            raise BlockingIOError("no more processes")
        return real(self, group, *rest)

    return beginning(begin)


def losing_answers() -> AbstractContextManager[None]:
    def begin(real: Any, self: Any, group: str, *rest: Any) -> Any:
        started = real(self, group, *rest)
        started.let_go()
        lost.append(started.process)
        raise RuntimeError("killed at this point")

    lost: list[subprocess.Popen[bytes]] = []
    return beginning(begin)
