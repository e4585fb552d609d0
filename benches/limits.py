"""What the machine can do at best, in the units of the task path.

    python benches/limits.py

Prints one line a limit. `profile_path.py` shows them beside the hops.
"""

import contextlib
import multiprocessing
import os
import pickle
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import zmq
from scaler import _core
from scaler.client.connection import Endpoint
from scaler.client.object_link import ObjectLink, Owner
from scaler.process import start_part
from scaler.transport import keys

ROUNDS = 7
FORK = multiprocessing.get_context("fork")


def each_us(run: Callable[[int], Any], count: int) -> float:
    """Microseconds of CPU of one of `count`, the median of some rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        run(count)
        times.append((time.process_time() - start) * 1e6 / count)
    return statistics.median(times)


def futures(count: int) -> None:
    for x in range(count):
        future: Future[int] = Future()
        future.set_result(x)


def calls(count: int) -> None:
    dumps, loads = pickle.dumps, pickle.loads
    for x in range(count):
        loads(dumps((x,), 5))


def calls_in_lists(count: int) -> None:
    for first in range(0, count, 1024):
        pickle.loads(pickle.dumps(list(range(first, first + 1024)), 5))


def copy_64_mib() -> float:
    source, target = bytearray(os.urandom(64 << 20)), bytearray(64 << 20)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        target[:] = source
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def socketpair_us() -> float:
    """A round trip of 64 bytes to another process."""
    ours, theirs = socket.socketpair()

    def echo() -> None:
        ours.close()
        while data := theirs.recv(64):
            theirs.send(data)

    process = FORK.Process(target=echo)
    process.start()
    theirs.close()
    times = []
    for _ in range(5_000):
        start = time.perf_counter()
        ours.send(b"x" * 64)
        ours.recv(64)
        times.append((time.perf_counter() - start) * 1e6)
    ours.close()
    process.join()
    return statistics.median(times)


def _drain(endpoint: str, count: int) -> None:
    pull = zmq.Context().socket(zmq.PULL)
    pull.set_hwm(0)
    pull.connect(endpoint)
    for _ in range(count):
        pull.recv()


def zmq_frames(count: int) -> float:
    """Frames of 64 bytes a second from one process to another, batched by libzmq as it likes."""
    with tempfile.TemporaryDirectory() as folder:
        endpoint = f"ipc://{Path(folder) / 'frames'}"
        process = FORK.Process(target=partial(_drain, endpoint, count + 1))
        process.start()
        with zmq.Context() as context, context.socket(zmq.PUSH) as push:
            push.set_hwm(0)
            push.bind(endpoint)
            push.send(b"the first waits for its peer")
            start = time.perf_counter()
            for _ in range(count):
                push.send(b"x" * 64)
            process.join()
            return count / (time.perf_counter() - start)


def _echo(secret: bytes, public: bytes, port: Any) -> None:
    dealer = zmq.Context().socket(zmq.DEALER)
    dealer.curve_server, dealer.curve_secretkey, dealer.curve_publickey = True, secret, public
    port.send(dealer.bind_to_random_port("tcp://127.0.0.1"))
    while message := dealer.recv():
        dealer.send(message)


def curve_us() -> float:
    """A round trip of 64 bytes over loopback tcp with CURVE, which both ends wait for in libzmq itself."""
    public, secret = zmq.curve_keypair()
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=_echo, args=(secret, public, theirs))
    process.start()
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.curve_publickey, dealer.curve_secretkey = zmq.curve_keypair()
        dealer.curve_serverkey = public
        dealer.connect(f"tcp://127.0.0.1:{ours.recv()}")
        times = []
        for _ in range(3_000):
            start = time.perf_counter()
            dealer.send(b"x" * 64)
            dealer.recv()
            times.append((time.perf_counter() - start) * 1e6)
        dealer.send(b"")
        process.join()
    return statistics.median(times)


def _there_and_back(address: str, key: keys.Key) -> float:
    """64 MiB to object storage and back, in ms."""
    data = os.urandom(64 << 20)

    def channel(ticket: bytes) -> _core.ObjectChannel:
        return _core.ObjectChannel(1, 1, ticket, {}, 5.0)

    link = ObjectLink(Endpoint(address, "objects", key), channel, 10.0, 5.0, Owner())
    times = []
    for number in range(ROUNDS):
        name = number.to_bytes(16, "little")
        start = time.perf_counter()
        link.wait(link.start_put(name, data, None))
        link.wait(link.start_get(1, name, len(data)))
        times.append((time.perf_counter() - start) * 1e3)
    link.close()
    link.join()
    return statistics.median(times)


def storage_ms(tls_port: str) -> float:
    """The same from another host, as far as loopback is one. tls_port: "off" for CURVE."""
    with tempfile.TemporaryDirectory() as folder, environment(SCALER_CONFIG_DIR=folder):
        key = keys.find_cluster_key()
        part = start_part("scaler.storage", {"address": "tcp://127.0.0.1:0", "tls_port": tls_port})
        try:
            # Who does not find the Unix socket is a remote one.
            with environment(SCALER_RUNTIME_DIR=folder):
                return _there_and_back(part.told["address"], key)
        finally:
            part.let_go()
            part.end()


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def measure() -> dict[str, str]:
    return {
        "pyzmq, ipc, frames of 64 bytes": f"{zmq_frames(200_000):,.0f}/s",
        "pickle of one call, there and back": f"{each_us(calls, 100_000):.2f} µs",
        "the same in lists of 1,024, an element": f"{each_us(calls_in_lists, 1_024_000):.3f} µs",
        "one concurrent.futures.Future, made and resolved": f"{each_us(futures, 50_000):.2f} µs",
        "a socketpair's round trip between two processes": f"{socketpair_us():.1f} µs",
        "the same over loopback tcp with CURVE, pyzmq": f"{curve_us():.1f} µs",
        "a copy of 64 MiB": f"{copy_64_mib():.1f} ms",
        "64 MiB to object storage and back by TLS": f"{storage_ms('auto'):.0f} ms",
        "the same by CURVE": f"{storage_ms('off'):.0f} ms",
    }


def main() -> None:
    for what, value in measure().items():
        print(f"{what}: {value}")


if __name__ == "__main__":
    main()
