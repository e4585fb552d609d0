"""An agent in a process of its own, beside a scheduler in another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ends import wait_for_end
from scaler import Client
from scaler.errors import NodeSetupError, ProcessorDiedError, TaskTimeoutError
from scaler.process import Part
from scaler.transport.keys import find_cluster_key

if TYPE_CHECKING:
    from conftest import Starter

PATIENCE = 30


def fifo(folder: Path, name: str) -> str:
    path = str(folder / name)
    os.mkfifo(path)
    return path


def hold(begun: str, gate: str) -> int:
    """A task that says that it runs, and goes on when it may. Returns its process."""
    Path(begun).write_text("")
    Path(gate).read_text()
    return os.getpid()


def pid(_: Any = None) -> int:
    return os.getpid()


def test_tasks_run_in_its_executors(start: Starter) -> None:
    start.scheduler()
    node = start.node(slots=2)
    with Client(start.path()) as client:
        pids = set(client.map(pid, range(100)).results())
    assert node.pid not in pids
    assert os.getpid() not in pids


def test_drain_finishes_what_runs_and_gives_the_rest_back(start: Starter, tmp_path: Path) -> None:
    start.scheduler()
    first = start.node(slots=1, name="first")
    begun, gate = fifo(tmp_path, "begun"), fifo(tmp_path, "gate")
    with Client(start.path()) as client:
        running = client.submit(hold, begun, gate)
        Path(begun).read_text()
        queued = [client.submit(pid) for _ in range(20)]
        os.kill(first.pid, signal.SIGTERM)
        start.node(slots=1, name="second")
        pids = {future.result(PATIENCE) for future in queued}
        Path(gate).write_text("")
        assert running.result(PATIENCE) not in pids, "what ran has ended where it ran, the rest elsewhere"
        assert first.wait() == 0


def hold_once(begun: str, first: str) -> str:
    """For ever where nobody has held before."""
    path = Path(first)
    if path.exists():
        return "elsewhere"
    path.touch()
    Path(begun).write_text("")
    signal.pause()
    return "here"


def test_wound_13_what_a_machine_has_no_time_to_finish_runs_elsewhere_and_that_is_no_attempt(
    start: Starter, tmp_path: Path
) -> None:
    start.scheduler(max_attempts=1)
    first = start.node(slots=1, name="first", drain_limit=0.2)
    begun = fifo(tmp_path, "begun")
    with Client(start.path()) as client:
        running = client.submit(hold_once, begun, str(tmp_path / "first"))
        Path(begun).read_text()
        os.kill(first.pid, signal.SIGTERM)
        assert first.wait() == 0
        start.node(slots=1, name="second")
        assert running.result(PATIENCE) == "elsewhere"


def test_a_second_signal_does_not_wait(start: Starter, tmp_path: Path) -> None:
    start.scheduler()
    node = start.node(slots=1)
    begun = fifo(tmp_path, "begun")
    with Client(start.path()) as client:
        client.submit(hold, begun, begun)
        Path(begun).read_text()
        os.kill(node.pid, signal.SIGTERM)
        os.kill(node.pid, signal.SIGINT)
        assert node.wait() == 0


def leave_children(folder: str) -> tuple[int, int, int]:
    """A child of the executor's group, one in a session of its own, and the executor."""
    ordinary = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    apart = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    return ordinary.pid, apart.pid, os.getpid()


def test_what_tasks_started_ends_with_the_agent(start: Starter, tmp_path: Path) -> None:
    start.scheduler()
    node = start.node(slots=1)
    with Client(start.path()) as client:
        pids = client.submit(leave_children, str(tmp_path)).result(PATIENCE)
    assert node.end() == 0
    for each in pids:
        wait_for_end(each)


def test_what_a_task_started_ends_with_its_executor(start: Starter, tmp_path: Path) -> None:
    start.scheduler()
    start.node(slots=1)
    with Client(start.path()) as client:
        ordinary, _, executor = client.submit(leave_children, str(tmp_path)).result(PATIENCE)
        os.kill(executor, signal.SIGKILL)
        wait_for_end(ordinary)
        assert client.submit(pid).result(PATIENCE) != executor


def test_executors_end_when_the_agent_is_killed(start: Starter) -> None:
    start.scheduler()
    node = start.node(slots=2)
    with Client(start.path()) as client:
        pids = set(client.map(pid, range(1000)).results())
    os.kill(node.pid, signal.SIGKILL)
    for each in pids:
        wait_for_end(each)


def test_a_nodes_task_timeout_ends_a_task(start: Starter) -> None:
    start.scheduler()
    start.node(slots=1, task_timeout=0.5)
    with Client(start.path()) as client:
        with pytest.raises(TaskTimeoutError):
            client.submit(signal.pause).result(PATIENCE)
        assert client.submit(os.getpid).result(PATIENCE)


def test_executors_are_recycled(start: Starter) -> None:
    start.scheduler()
    start.node(slots=1, recycle=5)
    with Client(start.path()) as client:
        pids = [client.submit(pid).result(PATIENCE) for _ in range(20)]
    assert len(set(pids)) >= 3
    assert max(map(pids.count, pids)) <= 5


def no_licence() -> None:
    raise RuntimeError("no licence")


def test_preload_that_fails_fails_the_tasks_with_its_reason(start: Starter) -> None:
    start.scheduler()
    start.node(slots=1, executor={"preload": "test_agent:no_licence"})
    with Client(start.path()) as client, pytest.raises(NodeSetupError, match="no licence"):
        client.submit(pid).result(PATIENCE)


def test_it_ends_when_the_scheduler_does_not_come_back(start: Starter) -> None:
    scheduler = start.scheduler()
    node = start.node(slots=1, death_timeout=0.5)
    start.kill(scheduler)
    assert node.wait(PATIENCE) in (0, 1)


def test_a_scheduler_that_comes_back_finds_it(start: Starter) -> None:
    scheduler = start.scheduler()
    start.node(slots=1)
    start.kill(scheduler)
    start.scheduler()
    with Client(start.path()) as client:
        assert client.submit(pid).result(PATIENCE)


def test_the_pipes_end_ends_it(start: Starter) -> None:
    start.scheduler()
    node = start.node(slots=1)
    node.let_go()
    assert node.wait() == 0


def speak(x: int) -> None:
    print("out", x)
    print("err", x, file=sys.stderr)


def test_output_of_tasks_is_shown_with_their_numbers(start: Starter, capfd: pytest.CaptureFixture[str]) -> None:
    start.scheduler()
    node = start.node(slots=2)
    with Client(start.path()) as client:
        client.map(speak, range(50)).results()
    node.end()
    shown = capfd.readouterr()
    for text, stream in (("out", shown.out), ("err", shown.err)):
        lines = [line.split("] ") for line in stream.splitlines() if line.startswith("[task ")]
        assert sorted(int(label.split(":")[1]) for label, _ in lines) == list(range(50))
        assert all(words == f"{text} {label.split(':')[1]}" for label, words in lines)


def sockets_of(pid: int) -> set[str]:
    """Inodes of the sockets that a process has open."""
    links = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    return {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}


def network_sockets() -> set[str]:
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6")]
    return {line.split()[9] for table in tables if table.exists() for line in table.read_text().splitlines()[1:]}


def test_executors_hold_no_key_and_no_network_socket(
    start: Starter, own_host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of a node that is another machine: it has a join token, and reaches its scheduler by tcp with CURVE."""
    address = start.scheduler(f"tcp://{own_host}:0").told["address"]
    token = find_cluster_key().token()
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("SCALER_KEY", token)
        elsewhere.setenv("SCALER_CONFIG_DIR", str(tmp_path / "config"))
        elsewhere.setenv("SCALER_RUNTIME_DIR", str(tmp_path / "run"))
        node = start.node(address, slots=2)
    with Client(address) as client:
        executors = set(client.map(pid, range(1000)).results(PATIENCE))
        network = network_sockets()
        assert sockets_of(node.pid) & network, "the agent has one"
        for executor in executors:
            assert not sockets_of(executor) & network
            assert token.encode() not in Path(f"/proc/{executor}/environ").read_bytes()
            assert token.encode() not in Path(f"/proc/{executor}/cmdline").read_bytes()


def die() -> None:
    os._exit(3)


def test_an_executor_that_dies_is_replaced(start: Starter) -> None:
    start.scheduler()
    start.node(slots=1)
    with Client(start.path()) as client:
        with pytest.raises(ProcessorDiedError, match="exit code 3"):
            client.submit(die).result(PATIENCE)
        assert client.submit(pid).result(PATIENCE)


def test_ctrl_c_does_not_reach_executors(start: Starter, tmp_path: Path) -> None:
    """The agent leads a session of its own, and so does each executor."""
    start.scheduler()
    node: Part = start.node(slots=1)
    with Client(start.path()) as client:
        executor = client.submit(pid).result(PATIENCE)
        assert len({os.getsid(0), os.getsid(node.pid), os.getsid(executor)}) == 3
