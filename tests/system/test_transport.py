"""Local and remote connections between real sockets; a recording stand-in takes the loop's place.

The stand-in echoes what arrives on a connection, as frames behind their lengths.
"""

import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from scaler.transport import keys, libzmq
from scaler.transport.addresses import parse_tcp_address
from scaler.transport.connect import Connection, dial
from scaler.transport.errors import AddressInUseError, ConfigurationError, NobodyThereError, NotAdmittedError
from scaler.transport.listen import Listener
from scaler.transport.sockets import LARGEST_MESSAGE, set_client_keys
from zmq.utils import z85

PATIENCE = 20.0

pytestmark = pytest.mark.timeout(120)


class EchoLoop:
    """Stands in for `scaler._core.Loop`: says what it was given, and sends back what comes."""

    def __init__(self) -> None:
        self.adopted: queue.Queue[tuple[str, str]] = queue.Queue()
        self.closed: queue.Queue[str] = queue.Queue()
        self.ends: list[socket.socket] = []
        self._listening: socket.socket | None = None

    def listen(self, part: str, fd: int) -> None:
        self._listening = socket.socket(fileno=fd)

    def adopt(self, part: str, fd: int, address: str) -> None:
        end = socket.socket(fileno=fd)
        end.setblocking(True)
        self.ends.append(end)
        threading.Thread(target=self._echo, args=(end, address), daemon=True).start()
        self.adopted.put((part, address))

    def _echo(self, end: socket.socket, address: str) -> None:
        try:
            while data := end.recv(1 << 20):
                end.sendall(data)
        except OSError:
            pass
        self.closed.put(address)

    def close(self) -> None:
        for end in self.ends:
            end.close()
        if self._listening is not None:
            self._listening.close()


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SCALER_KEY", "SCALER_KEY_FILE", "SCALER_INSECURE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SCALER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("SCALER_RUNTIME_DIR", str(tmp_path / "run"))


@pytest.fixture
def loop() -> Iterator[EchoLoop]:
    made = EchoLoop()
    yield made
    made.close()


@pytest.fixture
def key() -> keys.ClusterKey:
    return keys.find_cluster_key()


@pytest.fixture
def listener(loop: EchoLoop, key: keys.ClusterKey) -> Iterator[Listener]:
    made = Listener(loop, "scheduler", "tcp://127.0.0.1:0", key)
    yield made
    made.close()


@pytest.fixture
def remote(listener: Listener) -> Listener:
    """The listener as another machine sees it: without its Unix socket."""
    os.unlink(listener.local_path)
    return listener


class Peer:
    """A connection's other end: sends frames and receives them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.socket = socket.socket(fileno=connection.fd)
        self.socket.settimeout(PATIENCE)

    def ask(self, frame: bytes) -> bytes:
        sending = threading.Thread(target=self.socket.sendall, args=(struct.pack("<I", len(frame)) + frame,))
        sending.start()
        answer = self.receive()
        sending.join()
        return answer

    def receive(self) -> bytes:
        (length,) = struct.unpack("<I", self._exactly(4))
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            got = self.socket.recv(min(1 << 20, count - len(data)))
            assert got, "the connection ended"
            data += got
        return bytes(data)

    def ended(self) -> bool:
        return self.socket.recv(1) == b""

    def close(self) -> None:
        self.socket.close()
        self.connection.close()


def frame(body: bytes, header: bytes = b"\x95\x00\x00\x00\x00\x90") -> bytes:
    return struct.pack("<B3xII", 0, len(header), len(body)) + header + body


def test_local_peer_gets_the_unix_socket(listener: Listener, key: keys.ClusterKey) -> None:
    connection = dial(listener.address, "client")
    assert connection.is_local
    assert connection.cluster == key.cluster
    assert connection.ticket == b""
    os.close(connection.fd)


def test_wildcard_and_name_of_this_machine_are_local_too(listener: Listener) -> None:
    port = parse_tcp_address(listener.address).port
    for host in ("0.0.0.0", "localhost", "127.0.0.1"):
        connection = dial(f"tcp://{host}:{port}", "client")
        assert connection.is_local
        os.close(connection.fd)


def test_remote_peer_exchanges_frames_of_all_sizes(remote: Listener, loop: EchoLoop) -> None:
    connection = dial(remote.address, "client", timeout=PATIENCE)
    assert not connection.is_local
    assert connection.ticket[0] == keys.ROLES["client"]
    peer = Peer(connection)
    for size in (0, 1, 100, 65536, 300_000, 4 << 20):
        assert peer.ask(frame(os.urandom(size))) != b""
    body = frame(bytes(range(256)) * 1000)
    assert peer.ask(body) == body
    assert loop.adopted.get(timeout=PATIENCE) == ("scheduler", "127.0.0.1")
    peer.close()
    assert loop.closed.get(timeout=PATIENCE) == "127.0.0.1"


def test_frames_that_were_written_together_arrive_in_order(remote: Listener) -> None:
    peer = Peer(dial(remote.address, "client", timeout=PATIENCE))
    frames = [frame(struct.pack("<I", number) * (number % 50)) for number in range(3000)]
    data = b"".join(struct.pack("<I", len(each)) + each for each in frames)
    sending = threading.Thread(target=peer.socket.sendall, args=(data,))
    sending.start()
    assert [peer.receive() for _ in frames] == frames
    sending.join()
    peer.close()


def test_what_was_written_last_arrives_though_the_peer_leaves_at_once(remote: Listener, loop: EchoLoop) -> None:
    received = threading.Event()
    total = 0

    def count(part: str, fd: int, address: str) -> None:
        def read() -> None:
            nonlocal total
            with socket.socket(fileno=fd) as end:
                end.setblocking(True)
                while data := end.recv(1 << 20):
                    total += len(data)
            received.set()

        threading.Thread(target=read, daemon=True).start()

    loop.adopt = count  # type: ignore[method-assign]
    peer = Peer(dial(remote.address, "client", timeout=PATIENCE))
    sent = struct.pack("<I", 1 << 20) + bytes(1 << 20)
    for _ in range(4):
        peer.socket.sendall(sent)
    peer.close()
    assert received.wait(PATIENCE)
    assert total == 4 * len(sent)


def test_peer_learns_that_the_loop_closed_its_end(remote: Listener, loop: EchoLoop) -> None:
    peer = Peer(dial(remote.address, "client", timeout=PATIENCE))
    peer.ask(frame(b"hello"))
    loop.ends[0].shutdown(socket.SHUT_RDWR)
    assert peer.ended()
    again = Peer(dial(remote.address, "client", timeout=PATIENCE))
    assert again.ask(frame(b"again")) == frame(b"again")
    again.close()


def test_peer_learns_that_the_listener_ended(remote: Listener) -> None:
    peer = Peer(dial(remote.address, "client", timeout=PATIENCE))
    peer.ask(frame(b"hello"))
    remote.close()
    assert peer.ended()
    with pytest.raises(NobodyThereError, match="Nobody answers"):
        dial(remote.address, "client")


def test_nobody_there_is_told_apart_from_a_wrong_key(remote: Listener, key: keys.ClusterKey) -> None:
    port = parse_tcp_address(remote.address).port
    with pytest.raises(NobodyThereError):
        dial(f"tcp://127.0.0.1:{_free_port()}", "client")
    for wrong in (keys.new_key(), keys.ClusterKey(key.server_secret, os.urandom(32), key.ticket_key)):
        with pytest.raises(NotAdmittedError) as caught:
            dial(f"tcp://127.0.0.1:{port}", "client", key=wrong, timeout=PATIENCE)
        assert "SCALER_KEY" in str(caught.value)
        assert "scaler_keys export" in str(caught.value)


def test_peer_without_a_key_is_told_what_to_set(remote: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotAdmittedError, match="SCALER_KEY"):
        dial(remote.address, "client", insecure=True, timeout=PATIENCE)
    monkeypatch.setenv("SCALER_INSECURE", "1")
    with pytest.raises(NotAdmittedError, match="unset SCALER_INSECURE"):
        dial(remote.address, "client", timeout=PATIENCE)


def test_no_key_for_another_machine_is_said_before_anything_is_sent() -> None:
    # TEST-NET-3: another machine's, whatever this one is called.
    with pytest.raises(NotAdmittedError, match="This machine has no key"):
        dial("tcp://203.0.113.7:8516", "client")


def test_token_admits(remote: Listener, key: keys.ClusterKey, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SCALER_CONFIG_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("SCALER_KEY", key.token())
    connection = dial(remote.address, "node", timeout=PATIENCE)
    assert connection.ticket[0] == keys.ANY_ROLE
    assert connection.cluster == key.cluster
    peer = Peer(connection)
    assert peer.ask(frame(b"x")) == frame(b"x")
    peer.close()


def test_insecure_listener_admits_who_asks_for_it(loop: EchoLoop) -> None:
    listener = Listener(loop, "scheduler", "tcp://127.0.0.1:0", None)
    local = dial(listener.address, "client", insecure=True)
    assert local.is_local
    os.close(local.fd)
    os.unlink(listener.local_path)
    peer = Peer(dial(listener.address, "client", insecure=True, timeout=PATIENCE))
    assert peer.ask(frame(b"x")) == frame(b"x")
    peer.close()
    with pytest.raises(NotAdmittedError, match="SCALER_INSECURE=1"):
        dial(listener.address, "client", key=keys.new_key(), timeout=PATIENCE)
    listener.close()


def test_something_else_at_the_port_is_said(key: keys.ClusterKey) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(NotAdmittedError, match="does not speak as scaler does"),
    ):
        dial(f"tcp://127.0.0.1:{other.getsockname()[1]}", "client", timeout=0.5)


def test_scheduler_that_comes_later_is_found(loop: EchoLoop, key: keys.ClusterKey) -> None:
    port = _free_port()
    found: queue.Queue[bool] = queue.Queue()

    def wait() -> None:
        connection = dial(f"tcp://127.0.0.1:{port}", "client", timeout=PATIENCE)
        found.put(connection.is_local)
        os.close(connection.fd)

    waiting = threading.Thread(target=wait)
    waiting.start()
    listener = Listener(loop, "scheduler", f"tcp://127.0.0.1:{port}", key)
    assert found.get(timeout=PATIENCE)
    waiting.join()
    listener.close()


def test_port_in_use_is_said_with_the_mend(key: keys.ClusterKey, loop: EchoLoop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressInUseError, match=f"Port {port} is in use"):
            Listener(loop, "scheduler", f"tcp://127.0.0.1:{port}", key)


def test_listener_at_a_listeners_address_is_refused(listener: Listener, key: keys.ClusterKey, loop: EchoLoop) -> None:
    with pytest.raises(AddressInUseError):
        Listener(loop, "scheduler", listener.address, key)
    os.close(dial(listener.address, "client").fd)


def test_ipc_path_in_use_is_said(loop: EchoLoop, tmp_path: Path) -> None:
    first = Listener(loop, "scheduler", f"ipc://{tmp_path}/s", None)
    with pytest.raises(AddressInUseError):
        Listener(EchoLoop(), "scheduler", f"ipc://{tmp_path}/s", None)
    os.close(dial(f"ipc://{tmp_path}/s", "client").fd)
    first.close()
    with pytest.raises(NobodyThereError):
        dial(f"ipc://{tmp_path}/s", "client")


@pytest.mark.parametrize("address", ["tcp://203.0.113.7:8516", "tcp://no-such-host.invalid:8516"])
def test_address_of_another_machine_cannot_be_bound(address: str, key: keys.ClusterKey, loop: EchoLoop) -> None:
    with pytest.raises(ConfigurationError, match=r"tcp://0\.0\.0\.0:<port>"):
        Listener(loop, "scheduler", address, key)


def test_wildcard_bind_is_reached_from_another_address_of_the_machine(loop: EchoLoop, key: keys.ClusterKey) -> None:
    listener = Listener(loop, "scheduler", "tcp://0.0.0.0:0", key)
    port = parse_tcp_address(listener.address).port
    os.unlink(listener.local_path)
    peer = Peer(dial(f"tcp://127.0.0.2:{port}", "client", timeout=PATIENCE))
    assert peer.ask(frame(b"x")) == frame(b"x")
    peer.close()
    listener.close()


@pytest.mark.skipif(not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists(), reason="no IPv6 here")
def test_ipv6_is_bound_and_reached(loop: EchoLoop, key: keys.ClusterKey) -> None:
    listener = Listener(loop, "scheduler", "tcp://[::1]:0", key)
    os.unlink(listener.local_path)
    peer = Peer(dial(listener.address, "client", timeout=PATIENCE))
    assert peer.ask(frame(b"x")) == frame(b"x")
    peer.close()
    listener.close()


@pytest.mark.parametrize(
    "message",
    [
        [b"short"],
        [b"a" * 20, b"second part"],
        [b"a" * 20, b"second part", b"third"],
        [b"\x02" + os.urandom(40)],
        [b""],
        [bytes((8 << 20) + 1)],
        [bytes(LARGEST_MESSAGE + 1)],
    ],
)
def test_member_that_sends_no_frame_is_cut_off_and_others_go_on(
    message: list[bytes], remote: Listener, key: keys.ClusterKey
) -> None:
    honest = Peer(dial(remote.address, "client", timeout=PATIENCE))
    assert honest.ask(frame(b"before")) == frame(b"before")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    bad = context.socket(zmq.DEALER)
    bad.setsockopt(zmq.LINGER, 0)
    bad.setsockopt(zmq.RECONNECT_IVL, -1)
    set_client_keys(bad, key)
    monitor = bad.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    bad.connect(remote.address)
    bad.send_multipart(message)
    assert monitor.poll(int(PATIENCE * 1000)), "it is still connected"
    assert honest.ask(frame(b"after")) == frame(b"after")
    honest.close()
    context.destroy(linger=0)


def test_honest_traffic_goes_on_beside_strangers_of_all_kinds(remote: Listener) -> None:
    host, port = "127.0.0.1", parse_tcp_address(remote.address).port
    honest = Peer(dial(remote.address, "client", timeout=PATIENCE))
    half_a_handshake = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE" + bytes(15) + b"\x00" * 32
    strangers = []
    for number in range(600):
        stranger = socket.create_connection((host, port))
        strangers.append(stranger)
        if number % 3 == 0:
            stranger.sendall(os.urandom(200))
        elif number % 3 == 1:
            stranger.sendall(half_a_handshake)
        if number % 50 == 0:
            assert honest.ask(frame(str(number).encode())) == frame(str(number).encode())
    late = Peer(dial(remote.address, "client", timeout=PATIENCE))
    assert late.ask(frame(b"late")) == frame(b"late")
    assert honest.ask(frame(b"still")) == frame(b"still")
    for stranger in strangers:
        stranger.close()
    late.close()
    honest.close()


def test_silent_connections_are_bounded(loop: EchoLoop, key: keys.ClusterKey, monkeypatch: pytest.MonkeyPatch) -> None:
    from scaler.transport import router

    monkeypatch.setattr(router, "_MOST_SILENT", 8)
    listener = Listener(loop, "scheduler", "tcp://127.0.0.1:0", key)
    port = parse_tcp_address(listener.address).port
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for each in silent[:8]:
        each.settimeout(PATIENCE)
        try:
            while each.recv(1000):
                pass
        except ConnectionResetError:
            pass
    for each in silent:
        each.close()
    listener.close()


def test_peers_are_bounded_and_who_leaves_makes_room(
    loop: EchoLoop, key: keys.ClusterKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scaler.transport import descriptors

    monkeypatch.setattr(descriptors, "MOST_PEERS", 16)
    listener = Listener(loop, "scheduler", "tcp://127.0.0.1:0", key)
    os.unlink(listener.local_path)
    peers = [Peer(dial(listener.address, "client", timeout=PATIENCE)) for _ in range(16)]
    for peer in peers:
        assert peer.ask(frame(b"in")) == frame(b"in")
    with pytest.raises(NotAdmittedError):
        dial(listener.address, "client", timeout=PATIENCE)
    assert peers[0].ask(frame(b"still")) == frame(b"still")
    peers.pop().close()
    loop.closed.get(timeout=PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            late = Peer(dial(listener.address, "client", timeout=PATIENCE))
            break
        except NotAdmittedError:
            # The loop hears of the end a moment before there is room.
            assert time.monotonic() < deadline
    assert late.ask(frame(b"late")) == frame(b"late")
    for peer in [*peers, late]:
        peer.close()
    listener.close()


def test_stranger_is_logged_with_its_address_once(
    remote: Listener, key: keys.ClusterKey, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = keys.ClusterKey(key.server_secret, os.urandom(32), key.ticket_key)
    for _ in range(3):
        with pytest.raises(NotAdmittedError):
            dial(remote.address, "client", key=stranger, timeout=PATIENCE)
    told = [each.getMessage() for each in caplog.records if "key of another cluster" in each.getMessage()]
    assert len(told) == 1
    assert "from 127.0.0.1" in told[0]
    assert remote.address in told[0]


def test_server_without_its_handler_lets_nobody_in(key: keys.ClusterKey) -> None:
    """What the order of `RouterBridge` stands on: a handler that does not answer admits nobody."""
    from scaler.transport.admission import DOMAIN, Admission
    from scaler.transport.sockets import set_link_options, set_server_keys

    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    admission = Admission(context, key.client_secret)
    server = context.socket(zmq.ROUTER)
    set_link_options(server, ipv6=False)
    set_server_keys(server, key, DOMAIN)
    port = server.bind_to_random_port("tcp://127.0.0.1")
    client = context.socket(zmq.DEALER)
    set_link_options(client, ipv6=False)
    set_client_keys(client, key)
    client.connect(f"tcp://127.0.0.1:{port}")
    client.send(b"hello")
    assert admission.socket.poll(int(PATIENCE * 1000))
    assert not server.poll(0)
    admission.answer()
    assert server.poll(int(PATIENCE * 1000))
    client.close(0)
    server.close(0)
    admission.close()
    context.term()


def test_peer_that_goes_amid_its_messages_and_ours_harms_nobody(remote: Listener, key: keys.ClusterKey) -> None:
    honest = Peer(dial(remote.address, "client", timeout=PATIENCE))
    for number in range(20):
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        hasty = context.socket(zmq.DEALER)
        hasty.setsockopt(zmq.LINGER, 0)
        set_client_keys(hasty, key)
        hasty.connect(remote.address)
        for _ in range(200):
            hasty.send(frame(bytes(20_000)))
        # The first echo is here: so the bridge is amid the rest, in both directions.
        assert hasty.poll(int(PATIENCE * 1000))
        context.destroy(linger=0)
        assert honest.ask(frame(str(number).encode())) == frame(str(number).encode())
    honest.close()


def test_peer_that_reads_late_gets_all_that_waited(remote: Listener) -> None:
    """More than the socketpairs on both sides hold."""
    peer = Peer(dial(remote.address, "client", timeout=PATIENCE))
    frames = [frame(bytes([number]) * 400_000) for number in range(60)]
    peer.socket.settimeout(None)
    for each in frames:
        peer.socket.sendall(struct.pack("<I", len(each)) + each)
    peer.socket.settimeout(PATIENCE)
    for each in frames:
        assert peer.receive() == each
    peer.close()


def test_pyzmq_whose_libzmq_cannot_be_used_is_said_with_the_mend(
    loop: EchoLoop, remote: Listener, key: keys.ClusterKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libzmq, "module", lambda: "libc.so.6")
    for attempt in (
        lambda: Listener(loop, "scheduler", "tcp://127.0.0.1:0", key),
        lambda: dial(remote.address, "client", timeout=PATIENCE),
    ):
        with pytest.raises(ConfigurationError, match="no function zmq_msg_init") as caught:
            attempt()
        assert "pip install --force-reinstall" in str(caught.value)


def test_bridges_end_with_their_connections(remote: Listener) -> None:
    peer = Peer(dial(remote.address, "client", timeout=PATIENCE))
    peer.ask(frame(b"x"))
    bridges = [each for each in threading.enumerate() if each.name == "scaler-bridge"]
    assert len(bridges) == 1
    peer.socket.close()
    bridges[0].join(PATIENCE)
    assert not bridges[0].is_alive()


def test_z85_of_a_key_is_what_zmq_takes(key: keys.ClusterKey) -> None:
    assert zmq.curve_public(z85.encode(key.server_secret)) == z85.encode(key.server_public)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
