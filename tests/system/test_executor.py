"""ScalerExecutor: what CPython's own tests do not ask."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from gates import Gate
from scaler import Client, ScalerExecutor
from scaler.errors import ClientQuitException, PackingError

PATIENCE = 60


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


@pytest.fixture
def executor(client: Client) -> Iterator[ScalerExecutor]:
    """Of one task at a time."""
    with ScalerExecutor(client, max_workers=1) as executor:
        yield executor


def hold_and_touch(gate, name):
    Gate.hold(*gate)
    Path(name).touch()


def test_made_from_a_client_an_address_or_nothing(cluster, client):
    for made in (ScalerExecutor(client), ScalerExecutor(cluster.get_address()), ScalerExecutor()):
        with made as executor:
            assert executor.submit(pow, 2, 8).result(PATIENCE) == 256
    assert client.submit(pow, 2, 8).result(PATIENCE) == 256  # it outlives the executor


@pytest.mark.parametrize("max_workers", [None, 1])
def test_cancel_leaves_alone_what_runs(client, gate, max_workers):
    with ScalerExecutor(client, max_workers) as executor:
        future = executor.submit(gate.hold, *gate.names)
        gate.wait()
        assert not future.cancel()
        assert future.running()
        gate.release()
        assert future.result(PATIENCE) == "held"
        assert not future.cancel()


def test_cancel_of_what_waits_here(executor, gate):
    held, waiting, last = (executor.submit(gate.hold, *gate.names), executor.submit(abs), executor.submit(abs, -1))
    gate.wait()
    assert not waiting.running()
    assert waiting.cancel()
    assert waiting.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result()
    gate.release()
    assert (held.result(PATIENCE), last.result(PATIENCE)) == ("held", 1)


def test_client_tells_of_what_waits_here_and_cancels_it(client, executor, gate):
    held, waiting = executor.submit(gate.hold, *gate.names), executor.submit(abs, -1)
    gate.wait()
    assert "waits in its executor" in client.explain(waiting)
    client.cancel([held, waiting])
    assert held.cancelled()
    assert waiting.cancelled()


def test_cancel_of_what_waits_at_the_scheduler(start):
    start.scheduler()
    with ScalerExecutor(start.path()) as executor:  # without a worker
        futures = [executor.submit(abs, -1) for _ in range(3)]
        assert not futures[0].running()
        assert futures[0].cancel()
        executor.shutdown(cancel_futures=True)
        assert all(future.cancelled() for future in futures)


def test_cancel_of_what_waits_in_a_workers_queue(start, gate, tmp_path):
    start.scheduler()
    start.node(slots=1)
    ran = tmp_path / "ran"
    with ScalerExecutor(start.path()) as executor:
        held = executor.submit(gate.hold, *gate.names)
        gate.wait()
        futures = [executor.submit(ran.touch) for _ in range(50)]
        assert not held.cancel(PATIENCE)
        assert all(future.cancel(PATIENCE) for future in futures[10:])
        executor.shutdown(wait=False, cancel_futures=True)
        assert all(future.cancelled() for future in futures)
        gate.release()
        assert held.result(PATIENCE) == "held"
    assert not ran.exists()


def write_one(descriptor_path):
    descriptor = os.open(descriptor_path, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b"x")
    os.close(descriptor)


def test_what_is_cancelled_has_not_run_and_what_is_not_has(cluster, tmp_path):
    """However close the cancellation comes to the start."""
    written = tmp_path / "written"
    written.touch()
    with ScalerExecutor(cluster.get_address()) as executor:
        futures = []
        for _ in range(200):
            futures += [executor.submit(write_one, str(written)) for _ in range(10)]
            executor._cancel([*futures[-7:-4], futures[-1]], PATIENCE)
        cancelled = [future.cancelled() for future in futures]
        others = [future for future in futures if not future.cancelled()]
        assert all(future.result(PATIENCE) is None for future in others)
    assert [future.cancelled() for future in futures] == cancelled
    assert written.stat().st_size == len(others)


def test_cancel_without_a_scheduler_does_not_wait_for_one(start, gate):
    scheduler = start.scheduler()
    with Client(start.path()) as client:
        executor = ScalerExecutor(client)
        future = executor.submit(abs, -1)
        start.kill(scheduler)
        assert not future.cancel()
        executor.shutdown(wait=False)


def test_cancelled_future_is_told_to_those_who_wait(executor, gate):
    executor.submit(gate.hold, *gate.names)
    waiting = executor.submit(abs, -1)
    called = threading.Event()
    waiting.add_done_callback(lambda _: called.set())
    gate.wait()
    waiting.cancel()
    assert called.wait(PATIENCE)
    assert concurrent.futures.wait([waiting], PATIENCE).done == {waiting}
    gate.release()


@pytest.mark.parametrize("max_workers", [None, 1])
def test_shutdown_that_does_not_wait_lets_tasks_end(cluster, gate, max_workers):
    executor = ScalerExecutor(cluster.get_address(), max_workers)
    futures = [executor.submit(gate.hold, *gate.names, 1), executor.submit(abs, -2)]
    executor.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(abs, -1)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.map(abs, [-1])
    del executor
    gate.wait()
    gate.release()
    assert [future.result(PATIENCE) for future in futures] == [1, 2]


def test_shutdown_cancels_what_has_not_started(executor, gate):
    futures = [executor.submit(gate.hold, *gate.names), *(executor.submit(abs, -1) for _ in range(1000))]
    gate.wait()
    executor.shutdown(wait=False, cancel_futures=True)
    gate.release()
    executor.shutdown()
    assert [future.cancelled() for future in futures] == [False] + [True] * 1000


@pytest.mark.parametrize("max_workers", [None, 1])
def test_what_cannot_be_pickled_fails_alone(client, max_workers):
    lock = threading.Lock()
    with ScalerExecutor(client, max_workers) as executor:
        futures = [executor.submit(id, lock) for _ in range(2000)]
        last = executor.submit(abs, -1)
    assert all(isinstance(future.exception(), PackingError) for future in futures)
    assert last.result() == 1


def test_large_arguments(executor):
    large = bytes(1_000_000)
    assert list(executor.map(len, [large, large[1:]])) == [1_000_000, 999_999]


def test_disconnected_client_ends_all_futures(cluster, gate):
    client = Client(cluster.get_address())
    executor = ScalerExecutor(client, max_workers=1)
    held, waiting = executor.submit(gate.hold, *gate.names), executor.submit(abs, -1)
    gate.wait()
    client.disconnect()
    with pytest.raises(concurrent.futures.CancelledError):
        held.result(PATIENCE)
    assert isinstance(waiting.exception(PATIENCE), ClientQuitException)
    with pytest.raises(ClientQuitException):
        executor.submit(abs, -1)
    executor.shutdown()


@pytest.mark.parametrize("timeout", [0, None])
def test_map_that_fails_or_is_closed_cancels_the_rest(executor, gate, tmp_path, timeout):
    names = [str(tmp_path / f"file{number}") for number in range(3)]
    values = executor.map(hold_and_touch, [gate.names] * 3, names, timeout=timeout)
    gate.wait()
    if timeout is None:
        gate.release()
        assert next(values) is None
        gate.wait()
        values.close()
    else:
        with pytest.raises(TimeoutError):
            next(values)
    gate.release()
    executor.shutdown()
    assert [Path(name).exists() for name in names] == [True, timeout is None, False]


def test_map_reads_no_further_than_its_buffer(executor):
    numbers = itertools.count()
    values = executor.map(abs, numbers, buffersize=3)
    assert next(numbers) == 3
    assert next(values) == 0
    assert next(numbers) == 5
    values.close()
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="buffersize"):
            executor.map(abs, [], buffersize=wrong)
    with pytest.raises(TypeError, match="buffersize"):
        executor.map(abs, [], buffersize=1.5)
    assert list(executor.map(abs, [], buffersize=1)) == []
    assert list(executor.map(pow, range(5), range(5), buffersize=100)) == [i**i for i in range(5)]


def test_what_was_accepted_is_done_before_the_interpreter_ends(tmp_path):
    script = textwrap.dedent(
        """
        import atexit
        import pathlib
        import sys


        def submit_last():
            try:
                executor.submit(abs, -1)
            except RuntimeError as error:
                print(error)


        atexit.register(submit_last)
        from scaler import ScalerExecutor

        executor = ScalerExecutor(max_workers=1)
        for name in sys.argv[1:]:
            executor.submit(pathlib.Path.touch, pathlib.Path(name))
        """
    )
    names = [str(tmp_path / f"file{number}") for number in range(20)]
    done = subprocess.run(
        [sys.executable, "-c", script, *names], capture_output=True, text=True, timeout=100, check=True
    )
    assert done.stderr == ""
    assert done.stdout == "cannot schedule new futures after interpreter shutdown\n"
    assert all(Path(name).exists() for name in names)
