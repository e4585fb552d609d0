"""The commands as a user runs them: what they print, how they end, and what they make of wrong input."""

import os
import select
import signal
import socket
import time
from pathlib import Path

import pytest
from commands import PATIENCE, Command, Run
from scaler import Client
from scaler.transport.connect import dial

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def address(run: Run) -> str:
    """Of a running scheduler with a storage of its own."""
    scheduler = run("scheduler", "tcp://127.0.0.1:0", "--resync-seconds", "0")
    return scheduler.read_until("scheduler listens at").split("listens at ")[1].split(",")[0]


def workers(run: Run, address: str, count: int = 2, *arguments: str, **environment: str) -> Command:
    command = run(
        *("worker_manager", "native", address, "--mode", "fixed", "-mtc", str(count), "-his", "0.2"),
        *arguments,
        **environment,
    )
    command.read_until(f"{count} workers serve")
    return command


def double(number: int) -> int:
    return 2 * number


def process_id() -> int:
    return os.getppid()


def tell_and_nap(pipe: str, seconds: float) -> str:
    with open(pipe, "w"):
        time.sleep(seconds)
    return "rested"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_scheduler_ends_cleanly_and_leaves_nothing(number: int, run: Run, home: Path) -> None:
    scheduler = run("scheduler", "tcp://127.0.0.1:0")
    scheduler.read_until("scheduler listens at tcp://127.0.0.1:")
    assert list((home / "run").iterdir())
    code, output = scheduler.end(number)
    assert code == 0, output
    assert "Traceback" not in output
    assert list((home / "run").iterdir()) == []


def test_storage_runs_alone(run: Run) -> None:
    storage = run("object_storage_server", "tcp://127.0.0.1:0")
    told = storage.read_until("object storage listens at tcp://127.0.0.1:").split("listens at ")[1].split()[0]
    connection = dial(told, "objects", timeout=PATIENCE)
    assert connection.is_local
    os.close(connection.fd)
    code, output = storage.end(signal.SIGINT)
    assert (code, "Traceback" in output) == (0, False), output


def test_address_in_use_is_three_lines(run: Run, address: str) -> None:
    code, output = run("scheduler", address).finish()
    assert code == 1
    assert "is in use" in output
    assert "Traceback" not in output
    assert len(output.strip().splitlines()) == 3


def test_wildcard_scheduler_says_how_others_join(run: Run) -> None:
    scheduler = run("scheduler", "tcp://0.0.0.0:0")
    assert "scaler_keys export" in scheduler.read_until("export SCALER_KEY")


def test_insecure_scheduler_warns(run: Run) -> None:
    run("scheduler", "tcp://127.0.0.1:0", "--insecure").read_until("is insecure")


def test_scheduler_that_can_make_no_key_does_not_start(run: Run, home: Path) -> None:
    (home / "config").write_text("in the way")
    code, output = run("scheduler", "tcp://127.0.0.1:0").finish()
    assert code == 2
    assert "No cluster key can be made" in output or "cannot be read" in output
    assert "Traceback" not in output


def test_configuration_file_will_do(run: Run, home: Path) -> None:
    (home / "c.toml").write_text('[scheduler]\nbind_address = "tcp://127.0.0.1:0"\nevent_loop = "uvloop"\n')
    output = run("scheduler", "-c", str(home / "c.toml")).read_until("scheduler listens at")
    assert "event_loop has no effect" in output


def test_what_the_environment_overrides_is_one_line_of_the_log(run: Run, home: Path) -> None:
    file = home / "c.toml"
    file.write_text('[scheduler]\nbind_address = "ipc:///nowhere/s"\n')
    environment = {"SCALER_SCHEDULER_BIND_ADDRESS": "tcp://127.0.0.1:0", "SCALER_NETWORK_BACKEND": "ymq"}
    scheduler = run("scheduler", "--config", str(file), **environment)
    lines = scheduler.read_until("scheduler listens at tcp://127.0.0.1:").splitlines()
    said = f"SCALER_SCHEDULER_BIND_ADDRESS overrides bind_address in {file}, line 2, [scheduler] bind_address"
    assert [line.endswith(said) for line in lines].count(True) == 1
    assert len([line for line in lines if "network_backend has no effect" in line]) == 1


def test_a_manager_is_all_in_a_file(run: Run, home: Path, address: str) -> None:
    """Its driver under a short name."""
    file = home / "c.toml"
    file.write_text(
        f'[worker_manager]\ntype = "native"\nscheduler_address = "{address}"\nmode = "fixed"\nmax_workers = 1\n'
    )
    manager = run("worker_manager", "-c", str(file))
    assert "max_workers is called max_task_concurrency now" in manager.read_until("1 workers serve")
    with Client(address, timeout_seconds=PATIENCE) as client:
        assert client.submit(double, 21).result(timeout=PATIENCE) == 42
    assert manager.end()[0] == 0


def test_no_scheduler_there_is_three_lines(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code, output = run("cluster", f"tcp://127.0.0.1:{port}", "--connect-timeout-seconds", "1").finish()
    assert code == 1
    assert "Nobody answers" in output
    assert "Traceback" not in output


def test_workers_of_a_manager_run_tasks(run: Run, address: str) -> None:
    manager = workers(run, address)
    with Client(address, timeout_seconds=PATIENCE) as client:
        assert client.submit(double, 21).result(timeout=PATIENCE) == 42
    code, output = manager.end()
    assert code == 0, output
    assert "Traceback" not in output


def test_workers_by_hand_run_tasks(run: Run, address: str) -> None:
    cluster = run("cluster", address, "-n", "1")
    cluster.read_until("1 workers of")
    with Client(address, timeout_seconds=PATIENCE) as client:
        assert client.submit(double, 21).result(timeout=PATIENCE) == 42
    code, output = cluster.end()
    assert (code, "Traceback" in output) == (0, False), output


def test_killed_agent_is_replaced_and_tasks_go_on(run: Run, address: str) -> None:
    manager = workers(run, address, 1)
    with Client(address, timeout_seconds=PATIENCE) as client:
        agent = client.submit(process_id).result(timeout=PATIENCE)
        os.kill(agent, signal.SIGKILL)
        again = client.submit(process_id).result(timeout=PATIENCE)
        assert again != agent
    assert "SIGKILL" in manager.end()[1]


def test_terminated_manager_lets_running_tasks_finish(run: Run, address: str, home: Path) -> None:
    manager = workers(run, address, 1)
    os.mkfifo(home / "began")
    with Client(address, timeout_seconds=PATIENCE) as client:
        future = client.submit(tell_and_nap, str(home / "began"), 1.0)
        # Opens when the task does.
        with open(home / "began"):
            pass
        manager.process.terminate()
        assert future.result(timeout=PATIENCE) == "rested"
    assert manager.finish()[0] == 0


def test_interrupted_manager_takes_its_workers_with_it(run: Run, address: str) -> None:
    manager = workers(run, address, 1)
    with Client(address, timeout_seconds=PATIENCE) as client:
        agent = client.submit(process_id).result(timeout=PATIENCE)
        process = os.pidfd_open(agent)
        assert manager.end(signal.SIGINT)[0] == 0
        assert select.select([process], [], [], PATIENCE)[0]
        os.close(process)


def test_scheduler_that_shuts_down_ends_its_manager(run: Run, address: str) -> None:
    manager = workers(run, address, 1)
    Client(address, timeout_seconds=PATIENCE).shutdown()
    code, output = manager.finish()
    assert code == 0, output


def elsewhere(run: Run, home: Path) -> dict[str, str]:
    """The environment of another machine that has the join token: neither key file nor Unix sockets are there."""
    token, _ = run("keys", "export").process.communicate()
    return {
        "SCALER_CONFIG_DIR": str(home / "other-config"),
        "SCALER_RUNTIME_DIR": str(home / "other-run"),
        "SCALER_KEY": token.decode().strip(),
    }


def use_from_elsewhere(run: Run, address: str, there: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers and a client there: small values, and large ones through object storage."""
    workers(run, address, 2, **there)
    for name, value in there.items():
        monkeypatch.setenv(name, value)
    with Client(address, timeout_seconds=PATIENCE) as client:
        assert client.submit(double, 21).result(timeout=PATIENCE) == 42
        assert list(client.map(double, range(1000)).results()) == [2 * number for number in range(1000)]
        big = os.urandom(3 << 20)
        assert client.submit(bytes, big).result(timeout=PATIENCE) == big


def test_remote_workers_and_client_with_a_token(
    run: Run, address: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over tcp with CURVE."""
    use_from_elsewhere(run, address, elsewhere(run, home), monkeypatch)


def test_wildcard_scheduler_and_its_storage_are_reached_by_another_address(
    run: Run, home: Path, own_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = run("scheduler", "tcp://0.0.0.0:0", "--resync-seconds", "0")
    bound = scheduler.read_until("object storage at").split("listens at ")[1].split(",")[0]
    address = bound.replace("0.0.0.0", own_host)
    use_from_elsewhere(run, address, elsewhere(run, home), monkeypatch)


def test_storage_that_runs_alone_serves_whoever_the_scheduler_sends_there(
    run: Run, home: Path, own_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = run("object_storage_server", "tcp://0.0.0.0:0")
    told = storage.read_until("object storage listens at").split("listens at ")[1].split()[0]
    scheduler = run("scheduler", "tcp://0.0.0.0:0", "--resync-seconds", "0", "--object-storage-address", told)
    bound = scheduler.read_until("object storage at " + told).split("listens at ")[1].split(",")[0]
    address = bound.replace("0.0.0.0", own_host)
    use_from_elsewhere(run, address, elsewhere(run, home), monkeypatch)
