"""`scaler ping`: round trips through real clusters, hop by hop, and what it says where there are none."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from commands import PATIENCE, Command, Run
from gates import Gate
from scaler import Client
from scaler.transport.keys import new_key

pytestmark = pytest.mark.timeout(180)

HOPS = ("client_scheduler", "scheduler_worker", "worker")


@pytest.fixture(params=["tcp", "ipc"])
def address(request: pytest.FixtureRequest, run: Run, home: Path) -> str:
    """Of a running scheduler."""
    (home / "run").mkdir(mode=0o700)
    return listening(run, "tcp://127.0.0.1:0" if request.param == "tcp" else f"ipc://{home}/run/s")


@pytest.fixture
def tcp(run: Run) -> str:
    return listening(run, "tcp://127.0.0.1:0")


def listening(run: Run, address: str, *options: str) -> str:
    scheduler = run("scheduler", address, "--resync-seconds", "0", *options)
    return scheduler.read_until("scheduler listens at").split("listens at ")[1].split(",")[0].split()[0]


def work(run: Run, address: str, count: int = 2) -> None:
    run("cluster", address, "-n", str(count)).read_until(f"{count} workers of")


def ping(run: Run, *arguments: str, **environment: str) -> Command:
    return run("stack", "ping", *arguments, **environment)


def elsewhere(home: Path) -> dict[str, str]:
    """As on another machine: it has the key, and does not find the local socket."""
    return {"SCALER_RUNTIME_DIR": str(home / "elsewhere")}


def measured(command: Command) -> dict[str, Any]:
    """What it says meanwhile is before its line of JSON."""
    code, output = command.finish()
    assert code == 0, output
    return dict(json.loads(output.splitlines()[-1]))


def check(told: dict[str, Any], size: int, count: int) -> None:
    assert (told["size"], told["count"], told["done"], told["why_not"]) == (size, count, count, "")
    microseconds = told["microseconds"]
    for name in ("whole", *HOPS):
        found = microseconds[name]
        assert 0 <= found["min"] <= found["median"] <= found["p99"] <= found["max"], name
    for name in HOPS[:2]:
        assert microseconds[name]["min"] > 0
    # Of each round trip the call is a part.
    for figure in ("min", "median", "p99", "max"):
        assert microseconds["whole"][figure] > microseconds["worker"][figure]
    left = microseconds["whole"]["median"] - sum(microseconds[name]["median"] for name in HOPS)
    assert microseconds["rest"]["median"] == pytest.approx(left)
    assert "process" in told["worker"]


def test_each_hop_is_measured(run: Run, address: str) -> None:
    work(run, address)
    check(measured(ping(run, address, "--count", "200", "--json")), 0, 200)


def test_large_values_go_by_object_storage_there_and_back(run: Run, address: str) -> None:
    work(run, address)
    check(measured(ping(run, address, "-n", "5", "--size", "1MiB", "--json")), 1 << 20, 5)


def test_over_tcp_with_keys(run: Run, home: Path, tcp: str) -> None:
    work(run, tcp)
    for size in (0, 10, 1 << 20):
        command = ping(run, tcp, "-n", "5", "--size", str(size), "--json", **elsewhere(home))
        check(measured(command), size, 5)


def test_people_get_a_table(run: Run, tcp: str) -> None:
    work(run, tcp)
    code, output = ping(run, tcp, "--count", "20").finish()
    assert code == 0, output
    assert f"20 round trips by {tcp}, 0 bytes there and 0 bytes back" in output
    rows = [line for line in output.splitlines() if line[44:].replace(",", "").split()[-4:] and line[44:45] == " "]
    numbers = {line[:44].strip(): len(line[44:].split()) for line in rows}
    assert numbers == {
        "µs": 4,
        "submit to result": 4,
        "client to scheduler and back, empty": 4,
        "scheduler to worker and back, empty": 4,
        "in the worker: argument, call, value": 4,
        "left: agent to executor, engines, bytes": 1,
    }


def test_without_a_worker_it_says_what_to_start_and_measures_what_is_there(run: Run, tcp: str) -> None:
    code, output = ping(run, tcp, "--timeout", "300").finish()
    assert code == 1
    mend = f"start one with `scaler_worker_manager baremetal_native {tcp} --mode fixed`"
    assert f"no answer yet: no worker is connected: {mend}" in output
    assert "0 of 1000 round trips" in output
    assert "client to scheduler and back" in output
    assert "submit to result" not in output


def test_a_worker_that_starts_is_waited_for(run: Run) -> None:
    address = listening(run, "tcp://127.0.0.1:0", "--policy-content", "allocate=even_load; scaling=vanilla")
    run("worker_manager", "native", address, "-mtc", "1", "-his", "0.1").read_until("up to 1 workers serve")
    check(measured(ping(run, address, "-n", "5", "--json")), 0, 5)


def test_busy_workers_are_waited_for_and_ctrl_c_prints_what_there_is(run: Run, tcp: str, tmp_path: Path) -> None:
    work(run, tcp, 1)
    gate = Gate(tmp_path)
    with Client(tcp, timeout_seconds=PATIENCE) as client:
        held = client.submit(Gate.hold, *gate.names)
        gate.wait()
        ended, waited = ping(run, tcp, "-n", "5", "--json"), ping(run, tcp, "-n", "5", "--json")
        for each in (ended, waited):
            each.read_until("no answer yet: it is")
        code, output = ended.end(signal.SIGINT)
        told = json.loads(output.splitlines()[-1])
        assert (code, told["done"], set(told["microseconds"])) == (130, 0, {"client_scheduler", "rest"})
        assert "Traceback" not in output
        gate.release()
        assert held.result(PATIENCE) == "held"
        check(measured(waited), 0, 5)


def test_nobody_there(run: Run, home: Path) -> None:
    address = f"ipc://{home}/nobody"
    code, output = ping(run, address, "--timeout", "0.2").finish()
    assert code == 1
    assert output.startswith("error: Nobody answers")
    assert f"where: {address}" in output
    assert "Traceback" not in output


def test_another_clusters_key(run: Run, home: Path, tcp: str) -> None:
    environment = elsewhere(home) | {"SCALER_KEY": new_key().token()}
    code, output = ping(run, tcp, "--timeout", "5", **environment).finish()
    assert code == 1
    assert output.startswith("error: The peer at this address has another key than ours")
    assert len(output.splitlines()) == 3


def test_a_key_file_is_used(run: Run, home: Path, tcp: str) -> None:
    work(run, tcp)
    (home / "token").write_text((home / "config/cluster.key").read_text())
    (home / "token").chmod(0o600)
    environment = elsewhere(home) | {"SCALER_CONFIG_DIR": str(home / "none")}
    command = ping(run, tcp, "-n", "1", "--json", "--key-file", str(home / "token"), **environment)
    check(measured(command), 0, 1)


def test_values_of_its_options_may_be_in_a_file(run: Run, home: Path, tcp: str) -> None:
    work(run, tcp)
    (home / "c.toml").write_text(f'[ping]\nscheduler_address = "{tcp}"\ncount = 3\nsize = "1KiB"\n')
    check(measured(ping(run, "--json", "-c", str(home / "c.toml"))), 1024, 3)
