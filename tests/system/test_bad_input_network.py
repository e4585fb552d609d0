"""Wrong addresses, ports in use, nobody there, and peers that do not speak as scaler does: beside honest traffic."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from scaler import Client, SchedulerClusterCombo, _core
from scaler.errors import AddressError, KeyRefusedError, RefusedError, SchedulerUnreachableError
from scaler.transport import keys
from scaler.transport.addresses import parse_tcp_address
from scaler.transport.errors import AddressInUseError
from scaler.transport.runtime import runtime_folder, socket_path

PATIENCE = 60

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def cluster() -> Iterator[SchedulerClusterCombo]:
    """Of two workers, at a tcp port; object storage is at the next one, and each has a Unix socket besides."""
    with SchedulerClusterCombo(2, "tcp://127.0.0.1:0") as cluster:
        yield cluster


@pytest.fixture
def client(cluster: SchedulerClusterCombo) -> Iterator[Client]:
    """Works before the test and after it, and so does another."""
    with Client(cluster.get_address(), timeout_seconds=PATIENCE) as client:
        works(client)
        yield client
        works(client)
        with Client(cluster.get_address(), timeout_seconds=PATIENCE) as another:
            works(another)


def works(client: Client) -> None:
    """Small tasks, and large values by way of object storage."""
    assert client.map(abs, range(-1000, 0)).results(PATIENCE) == list(range(1000, 0, -1))
    large = os.urandom(400_000)
    assert client.submit(bytes, large).result(PATIENCE) == large


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


def stream(*messages: Any) -> bytes:
    """A frame of a handshake, as it travels on a stream."""
    header = msgpack.packb([1, 0, 0, 0, list(messages)])
    frame = struct.pack("<B3xII", 0, len(header), 0) + header
    return struct.pack("<I", len(frame)) + frame


def hello(protocol: int = _core.PROTOCOL, role: int = 0) -> bytes:
    session = int.from_bytes(os.urandom(7), "little")
    return stream([0, protocol, role, 0, 0, 0, b"", session, None, []])


def receive(peer: socket.socket) -> list[Any]:
    """The header of the next frame."""
    with peer.makefile("rb", buffering=0) as file:
        (length,) = struct.unpack("<I", file.read(4))
        frame = file.read(length)
    header: list[Any] = msgpack.unpackb(frame[12 : 12 + struct.unpack_from("<I", frame, 4)[0]])
    return header


def connect_locally(path: str) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(PATIENCE)
    peer.connect(path)
    return peer


def translate(listening: socket.socket, path: str, protocol: int) -> None:
    """Between a client and the scheduler at `path`: makes the client's hello one of another protocol."""
    client, _ = listening.accept()
    with client, connect_locally(path) as scheduler:
        client.settimeout(PATIENCE)
        link, epoch, sequence, acknowledged, ((kind, _, *fields),) = receive(client)
        assert (epoch, sequence, acknowledged) == (0, 0, 0)
        header = msgpack.packb([link, 0, 0, 0, [[kind, protocol, *fields]]])
        frame = struct.pack("<B3xII", 0, len(header), 0) + header
        scheduler.sendall(struct.pack("<I", len(frame)) + frame)
        while data := scheduler.recv(1 << 16):
            client.sendall(data)


def test_client_of_another_major_protocol(cluster: SchedulerClusterCombo, client: Client) -> None:
    other = _core.PROTOCOL + 1
    path = f"{runtime_folder()}/translator.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        translator = threading.Thread(target=translate, args=(listening, local_path(cluster, 0), other))
        translator.start()
        with pytest.raises(RefusedError, match="protocol") as caught:
            Client(f"ipc://{path}", timeout_seconds=PATIENCE)
        translator.join(PATIENCE)
        assert not translator.is_alive()
    os.unlink(path)
    assert str(other) in str(caught.value)
    assert str(_core.PROTOCOL) in str(caught.value)


# -- Strangers


def local_path(cluster: SchedulerClusterCombo, neighbour: int) -> str:
    """The Unix socket of the scheduler, or (1) of its object storage."""
    port = parse_tcp_address(cluster.get_address()).port + neighbour
    return socket_path(keys.find_cluster_key().cluster, port)


PLACES: dict[str, Callable[[SchedulerClusterCombo], int | str]] = {
    "scheduler's tcp port": lambda cluster: parse_tcp_address(cluster.get_address()).port,
    "object storage's tcp port": lambda cluster: parse_tcp_address(cluster.get_address()).port + 1,
    "scheduler's Unix socket": lambda cluster: local_path(cluster, 0),
    "object storage's Unix socket": lambda cluster: local_path(cluster, 1),
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
        assert len(bridges) >= 2, "to the scheduler and to object storage"
        return client

    return make


class Strangers:
    """Connections to one place, a tcp port or a path, that stay open until the end."""

    def __init__(self, place: int | str) -> None:
        self.place = place
        self._sockets: list[socket.socket] = []

    def come(self, *says: bytes) -> None:
        if isinstance(self.place, str):
            stranger = connect_locally(self.place)
        else:
            stranger = socket.create_connection(("127.0.0.1", self.place), PATIENCE)
        self._sockets.append(stranger)
        with contextlib.suppress(ConnectionError):  # the other side may have heard enough
            for data in says:
                stranger.sendall(data)

    def leave(self) -> None:
        for stranger in self._sockets:
            stranger.close()


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE" + bytes(15) + b"\0" + bytes(31)
HALVES_TCP = [GREETING[:1], GREETING[:10], GREETING[:40], GREETING, GREETING + b"\x04\xc8\x05HELLO\x01\0"]
HALVES_LOCAL = [hello()[:2], hello()[:4], hello()[:20], hello()[:-1], struct.pack("<I", 8 << 20)]


def random_bytes(strangers: Strangers, count: int) -> Iterator[None]:
    for number in range(count // 4):
        strangers.come(os.urandom(1 + number * 7 % 5000))
        yield


def half_a_handshake(strangers: Strangers, count: int) -> Iterator[None]:
    halves = HALVES_LOCAL if isinstance(strangers.place, str) else HALVES_TCP
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
        for each in strangers:
            for _ in flood(each, descriptors):
                pass
        works(client)
        with Client(f"ipc://{path}", timeout_seconds=PATIENCE) as late:
            works(late)
        for each in strangers:
            each.leave()


NONSENSE = [
    stream(),
    stream([200, "what"]),
    stream([12, b"f" * 16, 0, "options", [], [], []]),
    stream([20, []]),
    stream(None),
    struct.pack("<I", 40) + b"\x01" + os.urandom(39),
    struct.pack("<I", 0xFFFFFFFF),
    hello(),
]


@pytest.mark.parametrize("role", [0, 1, 2, 3, 4, 200])
@pytest.mark.parametrize("neighbour", [0, 1], ids=["scheduler", "object storage"])
def test_nonsense_after_an_honest_hello(
    neighbour: int, role: int, cluster: SchedulerClusterCombo, client: Client
) -> None:
    strangers = Strangers(local_path(cluster, neighbour))
    for nonsense in NONSENSE:
        strangers.come(hello(role=role), nonsense)
    works(client)
    strangers.leave()
