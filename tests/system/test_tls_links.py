"""Links to object storage by tcp: over TLS where that can be reached, over CURVE where it cannot, and never lost."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from scaler import Client, _core
from scaler.client.connection import Endpoint
from scaler.client.object_link import ObjectLink, Owner
from scaler.storage.host import Storage
from scaler.storage.settings import StorageSettings
from scaler.transport import connect, keys, tls
from scaler.transport.addresses import parse_tcp_address
from scaler.transport.connect import dial
from scaler.transport.errors import AddressInUseError
from working import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Starter

MIB = 1 << 20
# Of several parts, and of an odd end.
LARGE = os.urandom(9 * MIB + 12_345)

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "_known", {})
    monkeypatch.setattr(tls, "_blocked", {})


@pytest.fixture
def key() -> keys.ClusterKey:
    return keys.find_cluster_key()


@contextlib.contextmanager
def running(key: keys.ClusterKey | None, **settings: Any) -> Iterator[Storage]:
    """A storage as another machine sees it: without its Unix socket."""
    storage = Storage(StorageSettings("tcp://127.0.0.1:0", **settings), key, lambda: None)
    os.unlink(storage.local_path)
    try:
        yield storage
    finally:
        storage.close()


@pytest.fixture
def storage(key: keys.ClusterKey) -> Iterator[Storage]:
    with running(key) as storage:
        yield storage


def make_channel(ticket: bytes) -> _core.ObjectChannel:
    return _core.ObjectChannel(7, int.from_bytes(os.urandom(7), "little"), ticket, {}, 5.0)


@contextlib.contextmanager
def linked(address: str, key: keys.ClusterKey | None) -> Iterator[ObjectLink]:
    endpoint = Endpoint(address, "objects", key, insecure=key is None)
    link = ObjectLink(endpoint, make_channel, PATIENCE, 5.0, Owner())
    try:
        yield link
    finally:
        link.close()
        link.join()


def there_and_back(link: ObjectLink, data: bytes = LARGE) -> None:
    name = os.urandom(16)
    assert link.wait(link.start_put(name, data, None)) is True
    assert memoryview(link.wait(link.start_get(7, name, len(data)))) == data


def tls_port(storage: Storage) -> int:
    port = storage._listener._tls
    assert port is not None
    return port.port


def connections_to(port: int, process: int = 0) -> int:
    """Established ones of a process, this one for 0."""
    connections = psutil.Process(process or os.getpid()).net_connections("tcp")
    return sum(bool(each.raddr) and each.raddr.port == port and each.status == "ESTABLISHED" for each in connections)


class Cutting:
    """Between a client and a TLS port: hands on so many bytes of the client's, then cuts; the next connections stay."""

    def __init__(self, port: int, after: int) -> None:
        self._port = port
        self._left = after
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.accepted = 0
        self.cut = threading.Event()
        self._start(self._accept)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _start(self, what: Any, *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=what, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                self.accepted += 1
                far = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [near, far]
                self._start(self._copy, near, far, True)
                self._start(self._copy, far, near, False)

    def _copy(self, source: socket.socket, drain: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(64 << 10):
                if counted and not self.cut.is_set():
                    self._left -= len(data)
                    if self._left <= 0:
                        self.cut.set()
                        source.shutdown(socket.SHUT_RDWR)
                        break
                drain.sendall(data)
        with contextlib.suppress(OSError):
            drain.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._sockets):
            each.close()


def introduced_at(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer tells this port in the place of its own."""
    ask = tls.ask

    def other(*arguments: Any) -> tls.Introduction | None:
        told = ask(*arguments)
        return told and told._replace(port=port)

    monkeypatch.setattr(tls, "ask", other)


def test_objects_by_tcp_go_over_tls_unasked(storage: Storage, key: keys.ClusterKey) -> None:
    with linked(storage.address, key) as link:
        assert not link.is_local
        there_and_back(link)
        assert connections_to(tls_port(storage)) == 1
        assert connections_to(parse_tcp_address(storage.address).port) == 0
        # They are files in memory here, as between processes of one host.
        name = os.urandom(16)
        link.wait(link.start_put(name, LARGE, None))
        assert isinstance(link.wait(link.start_get(7, name, len(LARGE))), _core.SharedBytes)


@pytest.fixture
def elsewhere(key: keys.ClusterKey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As another machine has it: a token, and no path to the local sockets of parts that were started before."""
    monkeypatch.setenv("SCALER_KEY", key.token())
    monkeypatch.setenv("SCALER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("SCALER_RUNTIME_DIR", str(tmp_path / "run"))


def test_clients_workers_and_tasks_that_are_clients_go_over_tls(
    start: Starter, own_host: str, request: pytest.FixtureRequest
) -> None:
    address = start.scheduler(f"tcp://{own_host}:0").told["address"]
    request.getfixturevalue("elsewhere")
    node = start.node(address, slots=1)
    with Client(address, timeout_seconds=PATIENCE) as client:
        assert client.submit(turned_round, LARGE).result(PATIENCE) == LARGE[::-1]
        assert client.submit(within, LARGE).result(PATIENCE) == len(LARGE)
        (told,) = tls._known.values()
        assert connections_to(told.port) == 1
        # Of the agent, and of the task that was a client unless that is gone already.
        assert connections_to(told.port, node.pid) >= 1


def turned_round(data: bytes) -> bytes:
    return data[::-1]


def within(data: bytes) -> int:
    with Client() as client:
        return len(client.submit(turned_round, data).result(PATIENCE))


def test_a_join_token_is_enough(storage: Storage, key: keys.ClusterKey) -> None:
    with linked(storage.address, keys.parse_key(key.token(), "here")) as link:  # type: ignore[arg-type]
        there_and_back(link)
        assert connections_to(tls_port(storage)) == 1


def test_what_is_known_is_used_and_what_is_wrong_of_it_is_asked_anew(
    storage: Storage, key: keys.ClusterKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    ask = tls.ask

    def counted(*arguments: Any) -> tls.Introduction | None:
        asked.append(arguments)
        return ask(*arguments)

    monkeypatch.setattr(tls, "ask", counted)
    for _ in range(3):
        with linked(storage.address, key) as link:
            there_and_back(link, b"small")
    assert len(asked) == 1
    (peer,) = tls._known
    for wrong in (tls._known[peer]._replace(pin=os.urandom(32)), tls._known[peer]._replace(port=1)):
        tls._known[peer] = wrong
        with linked(storage.address, key) as link:
            there_and_back(link, b"small")
        assert tls._known[peer].port == tls_port(storage)
    assert len(asked) == 3


def test_a_peer_with_another_key_than_was_told_gets_nothing_and_curve_goes_on(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, key: keys.ClusterKey
) -> None:
    other_key = keys.ClusterKey(os.urandom(32), key.client_secret, key.ticket_key)
    with running(other_key) as other:
        introduced_at(tls_port(other), monkeypatch)
        with caplog.at_level(logging.INFO), linked(storage.address, key) as link:
            there_and_back(link)
            assert connections_to(tls_port(other)) == 0
            assert connections_to(parse_tcp_address(storage.address).port) == 1
    assert caplog.text.count("it has another key") == 1


def test_where_the_tls_port_is_blocked_curve_goes_on_and_it_is_left_alone(
    storage: Storage, key: keys.ClusterKey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Full: what a firewall does that drops.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        introduced_at(full.getsockname()[1], monkeypatch)
        with caplog.at_level(logging.INFO):
            for _ in range(3):
                with linked(storage.address, key) as link:
                    there_and_back(link)
                    assert connections_to(parse_tcp_address(storage.address).port) == 1
    assert caplog.text.count("over CURVE, which is slower") == 1


def test_a_storage_with_tls_off_says_so_and_curve_goes_on(key: keys.ClusterKey) -> None:
    with running(key, tls_port="off") as storage, linked(storage.address, key) as link:
        there_and_back(link)
        assert tls_port(storage) == 0
        assert connections_to(parse_tcp_address(storage.address).port) == 1


def test_a_storage_that_knows_no_such_question_is_asked_once(
    storage: Storage, key: keys.ClusterKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(storage._listener, "_tls", None)
        for _ in range(2):
            with linked(storage.address, key) as link:
                there_and_back(link)


def test_without_keys_there_is_no_tls() -> None:
    with running(None) as storage, linked(storage.address, None) as link:
        there_and_back(link)
        assert storage._listener._tls is None
        assert not tls._known


def test_a_fixed_port_is_that_port_and_one_in_use_is_said(key: keys.ClusterKey) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(AddressInUseError, match=f"Port {port}, for TLS, is in use"),
            running(key, tls_port=str(port)),
        ):
            pass
    with running(key, tls_port=str(port)) as storage:
        assert tls_port(storage) == port


def test_strangers_at_the_tls_port_get_nothing_and_are_counted(
    storage: Storage, key: keys.ClusterKey, caplog: pytest.LogCaptureFixture
) -> None:
    address = ("127.0.0.1", tls_port(storage))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with caplog.at_level(logging.WARNING), contextlib.ExitStack() as silent:
        for _ in range(20):
            silent.enter_context(socket.create_connection(address))
        with socket.create_connection(address) as noisy, contextlib.suppress(OSError):
            noisy.sendall(os.urandom(MIB))
        with socket.create_connection(address) as plain, pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(plain).recv(1)
        with linked(storage.address, key) as link:
            there_and_back(link)
            until_logged(caplog, "TLS port", "unknown peers")


def until_logged(caplog: pytest.LogCaptureFixture, *words: str) -> None:
    for _ in range(int(PATIENCE * 100)):
        if any(all(word in record.getMessage() for word in words) for record in caplog.records):
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"nothing of {words} in {caplog.text}")


@pytest.mark.parametrize("after", [3 * MIB, 100_000, 6 * MIB + 777])
def test_a_connection_that_is_cut_in_the_middle_of_a_part_loses_nothing(
    after: int, storage: Storage, key: keys.ClusterKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    cutting = Cutting(tls_port(storage), after)
    introduced_at(cutting.port, monkeypatch)
    try:
        with linked(storage.address, key) as link:
            there_and_back(link)
            there_and_back(link)
        assert cutting.cut.is_set()
        assert cutting.accepted == 2
    finally:
        cutting.close()


def test_a_storage_that_was_started_anew_is_found_at_its_new_tls_port(
    start: Starter, own_host: str, monkeypatch: pytest.MonkeyPatch, key: keys.ClusterKey
) -> None:
    monkeypatch.setattr(connect, "_try_path", lambda path: None)
    first = start.part("scaler.storage", {"address": f"tcp://{own_host}:0"})
    with linked(first.told["address"], key) as link:
        there_and_back(link)
        # It is compressed on its way, as this is no loopback.
        there_and_back(link, bytes(len(LARGE)))
        (before,) = tls._known.values()
        start.kill(first)
        start.part("scaler.storage", {"address": first.told["address"]})
        there_and_back(link)
        (after,) = tls._known.values()
        assert before.pin == after.pin
        assert connections_to(after.port) == 1


def test_a_child_process_has_connections_of_its_own(storage: Storage, key: keys.ClusterKey) -> None:
    with linked(storage.address, key) as link:
        there_and_back(link)
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                signal.alarm(60)
                with linked(storage.address, key) as own:
                    there_and_back(own)
                status = 0
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        there_and_back(link)


def test_a_forked_child_keeps_no_connection_of_its_parent_open(storage: Storage, key: keys.ClusterKey) -> None:
    with linked(storage.address, key) as link:
        there_and_back(link)
    connection = dial(storage.address, "objects", key=key, timeout=PATIENCE)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    try:
        os.close(connection.fd)
        connection.close()
        port = tls_port(storage)
        for _ in range(int(PATIENCE * 100)):
            if connections_to(port) == 0:
                break
            threading.Event().wait(0.01)
        assert connections_to(port) == 0
    finally:
        os.close(write)
        os.waitpid(child, 0)


def test_connections_leave_no_descriptors(storage: Storage, key: keys.ClusterKey) -> None:
    def once() -> None:
        connection = dial(storage.address, "objects", key=key, timeout=PATIENCE)
        os.close(connection.fd)
        connection.close()

    once()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        once()
    for _ in range(int(PATIENCE * 100)):
        if len(os.listdir("/proc/self/fd")) <= before:
            break
        threading.Event().wait(0.01)
    assert len(os.listdir("/proc/self/fd")) <= before
