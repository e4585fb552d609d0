"""The agent of a group on another machine: started by the command that drivers get, let in by its group's token."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from commands import PATIENCE, Command, Run
from dynamic import kill
from scaler import Client
from scaler.config.models import WorkerManagerOptions
from scaler.managers.launching import Names, launch
from scaler.transport.keys import ANY_ROLE, ClusterKey, find_key

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def scheduler(run: Run) -> Command:
    """That is reached by tcp with keys."""
    return run("scheduler", "tcp://0.0.0.0:0", "--resync-seconds", "0")


@pytest.fixture
def address(scheduler: Command, own_host: str) -> str:
    bound = scheduler.read_until("object storage at").split("listens at ")[1].split(",")[0]
    return bound.replace("0.0.0.0", own_host)


def start(run: Run, home: Path, address: str, group: str, token_of: str, expiry: int = 0) -> Command:
    """Where there is neither a key file nor the scheduler's local socket. expiry: of the token."""
    key = find_key()
    assert isinstance(key, ClusterKey)
    options = WorkerManagerOptions.model_validate({"scheduler_address": address, "connect_timeout_seconds": 10})
    token = key.token(role=ANY_ROLE, group=token_of, expiry=expiry)
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


def test_a_token_is_for_the_first_time_alone_and_who_came_in_time_comes_back(
    run: Run, home: Path, scheduler: Command, address: str
) -> None:
    """Also to a scheduler that was started anew, and so do the clients in its tasks."""
    expiry = int(time.time()) + 12
    agent = start(run, home, address, "cloud-1", "cloud-1", expiry)
    agent.read_until("1 workers of there serve")
    with Client(address, timeout_seconds=2 * PATIENCE) as client:
        assert client.submit(double, 21).result(PATIENCE) == 42
        time.sleep(max(0.0, expiry + 1 - time.time()))
        code, output = start(run, home, address, "cloud-1", "cloud-1", expiry).finish()
        assert code == 2, output
        assert "the ticket has expired" in output
        # By object storage, whose link is only made now, and as a client of its own.
        large = os.urandom(3 << 20)
        assert client.submit(bytes, large).result(PATIENCE) == large
        assert client.submit(doubled_within, 4).result(PATIENCE) == 8
        kill(scheduler)
        run("scheduler", f"tcp://0.0.0.0:{address.rpartition(':')[2]}").read_until("object storage at")
        assert client.submit(double, 4).result(2 * PATIENCE) == 8
        assert client.submit(doubled_within, 4).result(PATIENCE) == 8
