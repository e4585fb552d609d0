"""Clusters that a program starts for itself: `SchedulerClusterCombo` and the embedded one of `Client()`."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ends import wait_for_end
from scaler import Client, SchedulerClusterCombo
from scaler import cluster as cluster_module
from scaler.cluster import embedded_address
from scaler.config import retired
from scaler.config.policy import PolicyConfig
from scaler.errors import ClientShutdownException, NotSupportedError, ScalerError
from scaler.process import PartStartError
from scaler.transport.errors import ConfigurationError

PATIENCE = 30

# In this order, as they may all be positional, behind n_workers. What is logged is our own choice.
INHERITED = {
    "address": None,
    "object_storage_address": None,
    "monitor_address": None,
    "per_worker_capabilities": None,
    "worker_io_threads": 1,
    "scheduler_io_threads": 1,
    "max_number_of_tasks_waiting": -1,
    "heartbeat_interval_seconds": 2,
    "client_timeout_seconds": 60,
    "worker_timeout_seconds": 60,
    "object_retention_seconds": 60,
    "task_timeout_seconds": 0,
    "death_timeout_seconds": 300,
    "load_balance_seconds": 1,
    "load_balance_trigger_times": 2,
    "garbage_collect_interval_seconds": 30,
    "trim_memory_threshold_bytes": 1 << 30,
    "per_worker_task_queue_size": 1000,
    "hard_processor_suspend": False,
    "protected": True,
    "scaler_policy": None,
    "event_loop": "builtin",
    "logging_paths": ("/dev/stderr",),
    "logging_level": "WARNING",
    "logging_config_file": None,
    "worker_manager_id": "combo",
    "security_config": None,
}


def square(x: int) -> int:
    return x * x


def pid(_: Any = None) -> int:
    return os.getpid()


class TestCombo:
    def test_runs_tasks_of_a_module_that_only_we_can_import(self, client: Client) -> None:
        assert client.submit(square, 7).result(PATIENCE) == 49
        assert client.map(square, range(1000)).results() == [x * x for x in range(1000)]

    def test_has_as_many_workers_as_asked_for(self, client: Client) -> None:
        assert len(set(client.map(pid, range(10_000)).results())) == 2

    def test_parameters_are_those_that_users_bring_along(self) -> None:
        parameters = list(inspect.signature(SchedulerClusterCombo).parameters.items())
        assert parameters[0][0] == "n_workers"
        inherited = [(name, parameter.default) for name, parameter in parameters[1 : len(INHERITED) + 1]]
        assert inherited == list(INHERITED.items())

    def test_takes_a_tcp_address_with_a_key_made_on_first_use(self) -> None:
        with SchedulerClusterCombo(1, "tcp://127.0.0.1:0") as combo, Client(combo.get_address()) as client:
            assert combo.get_address().startswith("tcp://127.0.0.1:")
            assert client.submit(square, 3).result(PATIENCE) == 9

    def test_takes_a_path(self, folders: Path) -> None:
        address = f"ipc://{folders}/mine.sock"
        with SchedulerClusterCombo(1, address) as combo:
            assert combo.get_address() == address
        assert not (folders / "mine.sock").exists()

    def test_offers_capabilities(self) -> None:
        with (
            SchedulerClusterCombo(1, per_worker_capabilities={"gpu": -1}) as combo,
            Client(combo.get_address()) as client,
        ):
            assert client.submit_verbose(square, (4,), {}, capabilities={"gpu": -1}).result(PATIENCE) == 16

    def test_a_wrong_policy_is_said(self) -> None:
        with pytest.raises(ConfigurationError, match="allocate"):
            SchedulerClusterCombo(1, scaler_policy="allocate=nonsense")

    def test_no_workers_are_refused(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            SchedulerClusterCombo(0)

    def test_parameters_without_a_meaning_are_answered_once(self, caplog: pytest.LogCaptureFixture) -> None:
        given = {
            "monitor_address": "tcp://127.0.0.1:1",
            "worker_io_threads": 2,
            "scheduler_io_threads": 4,
            "max_number_of_tasks_waiting": 5,
            "object_retention_seconds": 6,
            "load_balance_seconds": 7,
            "load_balance_trigger_times": 8,
            "hard_processor_suspend": True,
            "event_loop": "uvloop",
            "security_config": object(),
        }
        retired._told.clear()
        for _ in range(2):
            SchedulerClusterCombo(1, **given).shutdown()
        assert sorted(record.message.split(" ")[0] for record in caplog.records) == sorted(given)

    def test_takes_a_policy_as_users_bring_it_along(self) -> None:
        policy = PolicyConfig(policy_content="allocate=capability; scaling=no")
        with SchedulerClusterCombo(1, scaler_policy=policy) as combo, Client(combo.get_address()) as client:
            assert client.submit(square, 4).result(PATIENCE) == 16
        with pytest.raises(ConfigurationError, match="allocate"):
            SchedulerClusterCombo(1, scaler_policy=PolicyConfig(policy_content="allocate=nonsense"))

    def test_shutdown_may_be_repeated(self) -> None:
        combo = SchedulerClusterCombo(1)
        combo.shutdown()
        combo.shutdown()

    def test_is_protected_unless_told_otherwise(self, client: Client) -> None:
        with pytest.raises(ScalerError, match="protected"):
            client.shutdown()
        assert client.submit(square, 2).result(PATIENCE) == 4

    def test_a_client_may_end_one_that_is_not_protected(self) -> None:
        combo = SchedulerClusterCombo(1, protected=False)
        with Client(combo.get_address()) as client:
            pending = client.submit(signal.pause)
            client.shutdown()
            with pytest.raises(ClientShutdownException):
                pending.result(PATIENCE)
        assert combo._part.wait() == 0
        combo.shutdown()


@pytest.fixture
def no_cluster_left() -> Iterator[None]:
    yield
    cluster_module._embedded.end()


@pytest.mark.usefixtures("no_cluster_left")
class TestEmbedded:
    def test_client_without_an_address_starts_one_for_the_process(self) -> None:
        with Client() as client, Client() as other:
            assert client.submit(square, 7).result(PATIENCE) == 49
            assert client.address == other.address
            assert len(set(client.map(pid, range(10_000)).results())) == len(os.sched_getaffinity(0))

    def test_threads_that_ask_at_once_get_the_same(self) -> None:
        found: list[str] = []
        threads = [threading.Thread(target=lambda: found.append(embedded_address())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1
        assert len(found) == 8

    def test_one_that_died_is_replaced(self) -> None:
        first = embedded_address()
        part = cluster_module._embedded._part
        assert part is not None
        os.kill(part.pid, signal.SIGKILL)
        part.wait()
        assert embedded_address() != first
        for name in ("", ".lock", ".objects", ".objects.lock"):
            os.unlink(first.removeprefix("ipc://") + name)

    def test_a_task_is_told_that_it_cannot_have_one(self) -> None:
        with Client() as client, pytest.raises(NotSupportedError, match="address"):
            client.submit(embedded_address).result(PATIENCE)

    def test_a_forked_child_does_not_keep_it_alive(self) -> None:
        embedded_address()
        part = cluster_module._embedded._part
        assert part is not None
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)  # until the parent is done
            os._exit(0)
        assert part.end() == 0
        os.close(write)
        os.close(read)
        assert os.waitpid(child, 0)[1] == 0


def run_script(text: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


PRINT_PROCESSES = """
    import os, sys, time
    from scaler import Client
    from scaler import cluster

    def pid(x):
        return os.getpid()

    client = Client()
    pids = {cluster._embedded._part.pid, *client.map(pid, range(10000)).results()}
    print(*pids, flush=True)
"""


class TestProgram:
    """Whole programs: without a `__main__` guard, ended in all ways."""

    def test_that_ends_leaves_nothing(self) -> None:
        program = run_script(PRINT_PROCESSES)
        out, err = program.communicate(timeout=60)
        assert (program.returncode, err) == (0, "")
        for each in out.split():
            assert not os.path.exists(f"/proc/{each}")

    def test_that_is_killed_leaves_nothing(self) -> None:
        program = run_script(PRINT_PROCESSES + "    time.sleep(600)")
        assert program.stdout is not None
        pids = program.stdout.readline().split()
        assert len(pids) >= 2
        program.kill()
        program.communicate(timeout=60)
        for each in pids:
            wait_for_end(int(each))

    def test_that_raises_ends_it_too(self) -> None:
        program = run_script(PRINT_PROCESSES + "    raise ValueError('mine')")
        out, err = program.communicate(timeout=60)
        assert program.returncode == 1
        assert err.rstrip().endswith("ValueError: mine")
        for each in out.split():
            assert not os.path.exists(f"/proc/{each}")

    def test_ctrl_c_does_not_end_the_cluster_under_it(self) -> None:
        program = run_script(
            PRINT_PROCESSES
            + """
    try:
        print("sleeping", flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        print(client.submit(pow, 2, 5).result(30), flush=True)
    """
        )
        assert program.stdout is not None
        assert len(program.stdout.readline().split()) >= 2
        assert program.stdout.readline() == "sleeping\n"
        os.killpg(program.pid, signal.SIGINT)
        out, err = program.communicate(timeout=60)
        assert (out, err) == ("32\n", "")

    def test_that_cannot_start_one_is_told_why(self, folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
        with pytest.raises((PartStartError, OSError)):
            SchedulerClusterCombo(1)
