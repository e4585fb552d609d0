"""The agent of a group on another machine: started by the command that drivers get, let in by its group's token."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from commands import PATIENCE, Command, Run
from scaler import Client
from scaler.config.models import WorkerManagerOptions
from scaler.managers.launching import Names, launch
from scaler.transport.keys import ANY_ROLE, ClusterKey, find_key

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def address(run: Run, own_host: str) -> str:
    """Of a scheduler that is reached by tcp with keys."""
    scheduler = run("scheduler", "tcp://0.0.0.0:0", "--resync-seconds", "0")
    bound = scheduler.read_until("object storage at").split("listens at ")[1].split(",")[0]
    return bound.replace("0.0.0.0", own_host)


def start(run: Run, home: Path, address: str, group: str, token_of: str) -> Command:
    """Where there is neither a key file nor the scheduler's local socket."""
    key = find_key()
    assert isinstance(key, ClusterKey)
    options = WorkerManagerOptions.model_validate({"scheduler_address": address, "connect_timeout_seconds": 10})
    token = key.token(role=ANY_ROLE, group=token_of)
    launched = launch(options, 1, {}, Names("there", "cloud", group), token)
    folders = {f"SCALER_{name}_DIR": str(home / f"other-{name}") for name in ("CONFIG", "RUNTIME")}
    return run("cluster", *launched.arguments, **launched.environment, **folders)


def double(number: int) -> int:
    return 2 * number


def doubled_within(number: int) -> int:
    with Client() as client:
        return int(client.submit(double, number).result(PATIENCE))


def test_all_that_a_node_needs_is_open_to_its_groups_token(run: Run, home: Path, address: str) -> None:
    start(run, home, address, "cloud-1", "cloud-1").read_until("1 workers of there serve")
    with Client(address, timeout_seconds=PATIENCE) as client:
        assert client.submit(double, 21).result(PATIENCE) == 42
        # By object storage, to and fro.
        large = os.urandom(3 << 20)
        assert client.submit(bytes, large).result(PATIENCE) == large
        assert client.submit(doubled_within, 4).result(PATIENCE) == 8


def test_a_token_of_another_group_is_refused(run: Run, home: Path, address: str) -> None:
    code, output = start(run, home, address, "cloud-2", "cloud-1").finish()
    assert code == 2, output
    assert "the ticket is for another worker group" in output
