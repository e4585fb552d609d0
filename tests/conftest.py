"""Fixtures for all tests: a cluster a module, and the check that a test leaves nothing behind."""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from commands import PATIENCE, Command, Run
from scaler.process import Part, path_for_parts, start_part
from scaler.transport.runtime import runtime_folder

if TYPE_CHECKING:
    from scaler import Client, SchedulerClusterCombo

# What parts, executors and threads may take to be gone after a test.
GONE_SECONDS = 10.0


def pytest_configure() -> None:
    """A shell ignores Ctrl-C for what it starts in the background, and so would every program that a test starts."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def folders() -> Iterator[Path]:
    """Runtime folder and keys of the tests' own. Short: a socket's path has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="scaler-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCALER_RUNTIME_DIR", str(folder / "run"))
        patch.setenv("SCALER_CONFIG_DIR", str(folder / "config"))
        patch.setenv("SCALER_STATE_DIR", str(folder / "state"))
        patch.setenv("SCALER_CACHE_DIR", str(folder / "cache"))
        for name in ("SCALER_KEY", "SCALER_KEY_FILE", "SCALER_INSECURE"):
            patch.delenv(name, raising=False)
        yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def nothing_left_behind(folders: Path, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that leaves processes, descriptors or sockets behind."""
    before = {name: look(folders) for name, look in _LOOKS.items()}
    yield
    request.node.funcargs.clear()  # they would keep the test's client alive
    _end_embedded_cluster()
    deadline = time.monotonic() + GONE_SECONDS
    while left := _left(folders, before):
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {'; '.join(left)}")
        gc.collect()
        time.sleep(0.01)


def _left(folder: Path, before: dict[str, set[str]]) -> list[str]:
    now = {name: look(folder) - before[name] for name, look in _LOOKS.items()}
    return [f"{name} {', '.join(sorted(found))}" for name, found in now.items() if found]


def _children(_: Path) -> set[str]:
    found: set[str] = set()
    for thread in Path("/proc/self/task").iterdir():
        try:
            pids = (thread / "children").read_text().split()
        except FileNotFoundError:
            continue  # a thread that has ended meanwhile
        found.update(f"{pid} ({_command(pid)})" for pid in pids)
    return found


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "gone"


def _descriptors(_: Path) -> set[str]:
    found = set()
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except FileNotFoundError:
            continue  # the one of this very listing
        # Files of large objects are kept a while for the next ones; tests/faults/test_shared_files.py counts them.
        if not target.startswith(("/proc/", "/memfd:scaler-object")):
            found.add(f"{entry} → {target}")
    return found


def _sockets(folder: Path) -> set[str]:
    run = folder / "run"
    return {entry.name for entry in run.iterdir()} if run.exists() else set()


_LOOKS: dict[str, Callable[[Path], set[str]]] = {
    "processes": _children,
    "descriptors": _descriptors,
    "sockets": _sockets,
}


def _end_embedded_cluster() -> None:
    cluster = sys.modules.get("scaler.cluster")
    if cluster is not None:
        cluster._embedded.end()


_numbers = itertools.count()


class Starter:
    """Starts parts of a cluster, as `scaler.process` does, and ends them with the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"test{next(_numbers)}"
        self._parts: list[Part] = []
        self._killed = False

    def path(self, name: str = "scheduler") -> str:
        """An ipc address of this test's own."""
        return f"ipc://{self._folder}/run/{self._name}-{name}.sock"

    def scheduler(self, address: str = "", **settings: Any) -> Part:
        return self.part("scaler.scheduler", {"address": address or self.path(), "resync": 0.0, **settings})

    def node(self, scheduler: str = "", *, executor: dict[str, Any] | None = None, **node: Any) -> Part:
        executor = {"path": path_for_parts(), **(executor or {})}
        settings = {"scheduler": scheduler or self.path(), "node": {"executor": executor, **node}}
        return self.part("scaler.node", settings)

    def part(self, module: str, settings: dict[str, Any]) -> Part:
        part = start_part(module, settings)
        self._parts.append(part)
        return part

    def kill(self, part: Part) -> None:
        """Kill -9. Its socket files stay, as they do; whoever listens there next takes them over."""
        os.kill(part.pid, signal.SIGKILL)
        part.wait()
        self._killed = True

    def end(self) -> None:
        for part in reversed(self._parts):
            part.let_go()
        for part in self._parts:
            part.end()
        if self._killed:
            for left in (self._folder / "run").glob(f"{self._name}*"):
                left.unlink()


@pytest.fixture
def start(folders: Path) -> Iterator[Starter]:
    runtime_folder()
    starter = Starter(folders)
    yield starter
    starter.end()


@pytest.fixture(scope="session")
def own_host() -> str:
    """An address of this machine that is not loopback: what is said to it is not local to the transport."""
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family == socket.AF_INET and not each.address.startswith("127."):
                return each.address
    pytest.skip("this machine has no address but loopback")


@pytest.fixture(scope="module")
def cluster() -> Iterator[SchedulerClusterCombo]:
    """A cluster of two workers for a module's tests, on a local socket."""
    from scaler import SchedulerClusterCombo

    with SchedulerClusterCombo(n_workers=2) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: SchedulerClusterCombo) -> Iterator[Client]:
    """A client of the module's cluster."""
    from scaler import Client

    with Client(cluster.get_address()) as client:
        yield client


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For commands: a folder that is all they know of."""
    for name in [name for name in os.environ if name.startswith("SCALER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SCALER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("SCALER_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("SCALER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SCALER_CACHE_DIR", str(tmp_path / "cache"))
    # A stack keeps its objects there.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    return tmp_path


@pytest.fixture
def run(home: Path) -> Iterator[Run]:
    """Runs commands, and ends them with the test."""
    commands: list[Command] = []

    def start(module: str, *arguments: str, **environment: str) -> Command:
        commands.append(Command(module, *arguments, **environment))
        return commands[-1]

    yield start
    for command in reversed(commands):
        if command.process.poll() is None:
            command.process.terminate()
            try:
                command.process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                command.process.kill()
                command.process.communicate()
        assert command.process.stdout is not None
        command.process.stdout.close()
