"""Clients of another protocol and strangers of all kinds, at every port, beside honest traffic."""

from __future__ import annotations

import os
import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scaler import Client, SchedulerClusterCombo, _core
from scaler.errors import RefusedError
from scaler.transport import keys, tls
from scaler.transport.runtime import runtime_folder
from strangers import (
    HALVES_BY_PATH,
    HALVES_BY_TCP,
    Strangers,
    connect_to_path,
    frame,
    hello,
    path_of,
    port_of,
    random_number,
    receive,
)
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


def translate(listening: socket.socket, path: str, protocol: int) -> None:
    """Between a client and the scheduler at `path`: makes the client's hello one of another protocol."""
    client, _ = listening.accept()
    with client, connect_to_path(path) as scheduler:
        client.settimeout(PATIENCE)
        link, epoch, sequence, acknowledged, ((kind, _, *fields),) = receive(client)
        assert (epoch, sequence, acknowledged) == (0, 0, 0)
        scheduler.sendall(frame(link, 0, 0, [[kind, protocol, *fields]]))
        while data := scheduler.recv(1 << 16):
            client.sendall(data)


def test_client_of_another_major_protocol(cluster: SchedulerClusterCombo, client: Client) -> None:
    other = _core.PROTOCOL + 1
    path = f"{runtime_folder()}/translator.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        translator = threading.Thread(target=translate, args=(listening, path_of(cluster, 0), other))
        translator.start()
        told = f"you speak protocol {other}.*, this side protocol {_core.PROTOCOL}.*: install the same version"
        with pytest.raises(RefusedError, match=told) as caught:
            Client(f"ipc://{path}", timeout_seconds=PATIENCE)
        translator.join(PATIENCE)
        assert not translator.is_alive()
    os.unlink(path)
    assert f"where: ipc://{path}" in str(caught.value)


PLACES: dict[str, Callable[[SchedulerClusterCombo], int | str]] = {
    "scheduler's tcp port": lambda cluster: port_of(cluster, 0),
    "object storage's tcp port": lambda cluster: port_of(cluster, 1),
    "scheduler's Unix socket": lambda cluster: path_of(cluster, 0),
    "object storage's Unix socket": lambda cluster: path_of(cluster, 1),
}
# Over what either side takes of silent connections.
FLOOD = 1200


@pytest.fixture
def descriptors() -> Iterator[int]:
    """Lets this process have as many as it may; how many strangers that is enough for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(FLOOD, hard // 2 - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def remote(cluster: SchedulerClusterCombo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Client]:
    """Makes a client as on another machine: it knows the token, and finds no Unix socket."""
    token = keys.find_cluster_key().token()
    away = tmp_path / "away"
    away.mkdir(mode=0o700)

    def make() -> Client:
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("SCALER_RUNTIME_DIR", str(away))
            client = Client(cluster.get_address(), timeout_seconds=PATIENCE, key=token)
            works(client)
        bridges = [thread for thread in threading.enumerate() if thread.name == "scaler-bridge"]
        assert len(bridges) >= 1, "to the scheduler"
        assert not all(bridge.is_over for bridge in tls._bridges), "to object storage"
        return client

    return make


def random_bytes(strangers: Strangers, count: int) -> Iterator[None]:
    for number in range(count // 4):
        strangers.come(os.urandom(1 + number * 7 % 5000))
        yield


def half_a_handshake(strangers: Strangers, count: int) -> Iterator[None]:
    halves = HALVES_BY_PATH if isinstance(strangers.place, str) else HALVES_BY_TCP
    for number in range(count // 4):
        strangers.come(halves[number % len(halves)])
        yield


def flood(strangers: Strangers, count: int) -> Iterator[None]:
    for _ in range(count):
        strangers.come()
        yield


@pytest.mark.parametrize("attack", [random_bytes, half_a_handshake, flood])
@pytest.mark.parametrize("place", PLACES)
def test_strangers(
    place: str,
    attack: Callable[[Strangers, int], Iterator[None]],
    descriptors: int,
    cluster: SchedulerClusterCombo,
    client: Client,
    remote: Callable[[], Client],
) -> None:
    strangers = Strangers(PLACES[place](cluster))
    with remote() as away:
        for number, _ in enumerate(attack(strangers, descriptors)):
            if number % 100 == 50:
                works(client)
                works(away)
        remote().disconnect()
        works(away)
    strangers.leave()


@pytest.mark.slow  # some thousand descriptors in the tests' own process
def test_flood_of_more_than_the_usual_number_of_descriptors(descriptors: int) -> None:
    """A shell lets a program have 1024 unless the program asks for more."""
    path = f"{runtime_folder()}/flooded.sock"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    try:
        cluster = SchedulerClusterCombo(2, f"ipc://{path}")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with cluster, Client(f"ipc://{path}", timeout_seconds=PATIENCE) as client:
        strangers = [Strangers(path), Strangers(f"{path}.objects")]
        try:
            for each in strangers:
                for _ in flood(each, descriptors):
                    pass
            works(client)
            with Client(f"ipc://{path}", timeout_seconds=PATIENCE) as late:
                works(late)
        finally:
            for each in strangers:
                each.leave()


SUBMIT_WITHOUT_OPTIONS = [12, b"f" * 16, 0, "options", [], [], [], None]
# What a member says after its welcome, by link and epoch; and what it hears of it.
NONSENSE: dict[str, tuple[Callable[[int, int], bytes], str]] = {
    "unknown message": (lambda link, epoch: frame(link, epoch, 1, [[200, "what"]]), "200 is no kind of message"),
    "wrong type": (lambda link, epoch: frame(link, epoch, 1, [SUBMIT_WITHOUT_OPTIONS]), "options"),
    "results": (lambda link, epoch: frame(link, epoch, 1, [[20, []]]), "not"),
    "no messages": (lambda link, epoch: frame(link, epoch, 1, None), "expected an array"),
    "payload that is not there": (lambda link, epoch: frame(link, epoch, 1, [[10, b"f" * 16, 1000]]), "1000 bytes"),
    "random frame": (lambda link, epoch: struct.pack("<I", 40) + b"\x01" + os.urandom(39), "malformed"),
    "endless frame": (lambda link, epoch: struct.pack("<I", 0xFFFFFFFF), "the limit is"),
    "another hello": (lambda link, epoch: hello(random_number()), "another link"),
}
REFUSED, MALFORMED = 2, 2


@pytest.mark.parametrize("nonsense", NONSENSE)
@pytest.mark.parametrize(
    ("neighbour", "role"),
    [(0, 0), (0, 1), (0, 2), (1, 4), (1, 1), (1, 3)],
    ids=["client", "node", "manager", "client of storage", "node of storage", "scheduler of storage"],
)
def test_member_that_talks_nonsense(
    neighbour: int, role: int, nonsense: str, cluster: SchedulerClusterCombo, client: Client
) -> None:
    say, told = NONSENSE[nonsense]
    link = random_number()
    with connect_to_path(path_of(cluster, neighbour)) as member:
        member.sendall(hello(link, role))
        _, epoch, _, _, ((kind, *_),) = receive(member)
        assert kind == 1, "it is welcome"
        works(client)
        member.sendall(say(link, epoch))
        heard = []
        while header := receive(member):
            heard += header[4]
        (kind, code, text) = heard[-1]
        assert (kind, code) == (REFUSED, MALFORMED)
        assert told in text
