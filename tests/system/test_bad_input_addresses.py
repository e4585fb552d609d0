"""Addresses of the wrong form, ports and paths in use, and nobody there: a clear error, and all goes on."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scaler import Client, SchedulerClusterCombo
from scaler.errors import AddressError, KeyRefusedError, SchedulerUnreachableError
from scaler.transport.errors import AddressInUseError
from scaler.transport.runtime import runtime_folder
from working import PATIENCE, proven, works

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def cluster() -> Iterator[SchedulerClusterCombo]:
    """Of two workers, at a tcp port; object storage is at the next one, and each has a Unix socket besides."""
    with SchedulerClusterCombo(2, "tcp://127.0.0.1:0") as cluster:
        yield cluster


@pytest.fixture
def client(cluster: SchedulerClusterCombo) -> Iterator[Client]:
    with proven(cluster.get_address()) as client:
        yield client


@pytest.fixture
def free_port() -> int:
    """Nobody is there, nor at the next one."""
    for _ in range(100):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
                return port
    raise AssertionError("no two neighbouring ports are free")


WRONG_ADDRESSES = [
    ("127.0.0.1:8516", "write it as tcp://127.0.0.1:8516"),
    ("tcp://127.0.0.1", "write tcp://127.0.0.1:8516"),
    ("tcp://127.0.0.1:99999", "no number from 0 to 65535"),
    ("http://127.0.0.1:8516", "use tcp:// or ipc://"),
    ("inproc://name", "use ipc://<path> on one machine, or tcp://<host>:<port>"),
    ("ipc://", "write ipc:///tmp/scheduler.sock"),
    ("", "write it as tcp://127.0.0.1:8516"),
    (8516, "write it as text, like tcp://127.0.0.1:8516"),
]


@pytest.mark.parametrize(("address", "mend"), WRONG_ADDRESSES)
@pytest.mark.parametrize("role", ["client", "cluster"])
def test_address_of_the_wrong_form(role: str, address: Any, mend: str, client: Client) -> None:
    with pytest.raises(AddressError) as caught:
        Client(address) if role == "client" else SchedulerClusterCombo(1, address)
    assert repr(address) in str(caught.value)
    assert mend in str(caught.value)


def test_port_that_is_free_to_choose_is_no_scheduler(client: Client) -> None:
    with pytest.raises(AddressError, match="Nobody is at port 0"):
        Client("tcp://127.0.0.1:0")


@pytest.mark.parametrize("role", ["client", "cluster"])
def test_object_storage_address_of_the_wrong_form(role: str, client: Client) -> None:
    make = (
        functools.partial(Client, client.address) if role == "client" else functools.partial(SchedulerClusterCombo, 1)
    )
    with pytest.raises(AddressError, match=r"write it as tcp://127\.0\.0\.1:8517"):
        make(object_storage_address="127.0.0.1:8517")


def test_port_in_use_by_a_scheduler(client: Client) -> None:
    with pytest.raises(AddressInUseError, match="is in use by another part of this cluster") as caught:
        SchedulerClusterCombo(1, client.address)
    assert client.address in str(caught.value)
    assert "choose another port" in str(caught.value)


@pytest.mark.parametrize("neighbour", [0, 1], ids=["scheduler", "object storage"])
def test_port_in_use_by_another_program(neighbour: int, free_port: int, client: Client) -> None:
    with socket.create_server(("127.0.0.1", free_port + neighbour)) as other:
        with pytest.raises(AddressInUseError, match=f"Port {free_port + neighbour} is in use") as caught:
            SchedulerClusterCombo(1, f"tcp://127.0.0.1:{free_port}")
        assert "choose another port" in str(caught.value)
        assert f"tcp://127.0.0.1:{free_port}" in str(caught.value)
        with socket.create_connection(other.getsockname()):
            other.accept()[0].close()
    with SchedulerClusterCombo(1, f"tcp://127.0.0.1:{free_port}") as now, Client(now.get_address()) as second:
        works(second)


def test_ipc_path_in_use_by_a_scheduler(folders: Path) -> None:
    address = f"ipc://{runtime_folder()}/taken.sock"
    with SchedulerClusterCombo(1, address), Client(address, timeout_seconds=PATIENCE) as client:
        with pytest.raises(AddressInUseError, match="Another process listens at this address") as caught:
            SchedulerClusterCombo(1, address)
        assert "taken.sock" in str(caught.value)
        assert "choose another address" in str(caught.value)
        works(client)


def test_ipc_path_in_use_by_another_program(client: Client) -> None:
    path = f"{runtime_folder()}/other.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        with pytest.raises(AddressInUseError, match="Another program listens at this address"):
            SchedulerClusterCombo(1, f"ipc://{path}")
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
    os.unlink(path)


def test_ipc_path_in_use_by_a_file(tmp_path: Path, client: Client) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(AddressInUseError, match="There is a file in the place of the socket"):
        SchedulerClusterCombo(1, f"ipc://{path}")
    assert path.read_text() == "mine"


def test_no_scheduler_there(free_port: int, client: Client) -> None:
    for address in (f"tcp://127.0.0.1:{free_port}", f"ipc://{runtime_folder()}/nobody.sock"):
        with pytest.raises(SchedulerUnreachableError, match="Nobody answers at this address") as caught:
            Client(address, timeout_seconds=0.3)
        assert f"where: {address}" in str(caught.value)
        assert "tried for 0.3 s" in str(caught.value)
        assert isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value, ConnectionError)


def test_no_such_host(client: Client) -> None:
    with pytest.raises(SchedulerUnreachableError, match=r"'no-such-host\.invalid' has no address"):
        Client("tcp://no-such-host.invalid:8516", timeout_seconds=0.3)


def test_somebody_there_who_does_not_answer(client: Client) -> None:
    path = f"{runtime_folder()}/silent.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen()
        with pytest.raises(SchedulerUnreachableError, match=r"did not answer for 0\.3 s") as caught:
            Client(f"ipc://{path}", timeout_seconds=0.3)
        assert f"where: ipc://{path}" in str(caught.value)
    os.unlink(path)


def test_something_else_at_the_port(client: Client) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(KeyRefusedError, match="does not speak as scaler does"),
    ):
        Client(f"tcp://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.3)
