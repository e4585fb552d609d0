"""Functions, arguments, results and tasks that cannot do: a clear error in the right place, and all goes on.

Each test ends with the proof that its client, another client and the cluster still work (the fixture `client`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from scaler import Client, SchedulerClusterCombo
from scaler.errors import (
    DeserializeObjectError,
    PackingError,
    ProcessorDiedError,
    RemoteError,
    RemoteTraceback,
    TaskMemoryError,
)
from working import PATIENCE, proven, works

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def client(cluster: SchedulerClusterCombo) -> Iterator[Client]:
    with proven(cluster.get_address()) as client:
        yield client


class Connection:
    """What users' objects are: something in them holds what belongs to a process."""

    def __init__(self, lock: object) -> None:
        self.settings = {"retries": 3, "guard": lock}


class Job:
    def __init__(self, number: int, lock: object = None) -> None:
        self.number = number
        self.connection = Connection(lock)


def number_of(job: Job) -> int:
    return job.number


def job_with_lock(number: int) -> Job:
    return Job(number, threading.Lock())


def test_function_that_cannot_be_pickled(client: Client) -> None:
    connection = Connection(threading.Lock())

    def work(x: int) -> int:
        return x + len(connection.settings)

    path = r"work → closure variable 'connection'\.settings\['guard'\] cannot be pickled: <unlocked _thread\.lock"
    with pytest.raises(PackingError, match=path) as caught:
        client.submit(work, 1)
    assert caught.value.path == " → closure variable 'connection'.settings['guard']"
    with pytest.raises(PackingError, match=path):
        client.map(work, range(3))


def test_argument_that_cannot_be_pickled(client: Client) -> None:
    job = Job(1, threading.Lock())
    path = r"argument 0\.connection\.settings\['guard'\] cannot be pickled: <unlocked _thread\.lock"
    with pytest.raises(PackingError, match=path) as caught:
        client.submit(number_of, job)
    assert caught.value.path == ".connection.settings['guard']"
    keyword = r"argument 'job'\.connection\.settings\['guard'\] cannot be pickled"
    with pytest.raises(PackingError, match=keyword):
        client.submit(number_of, job=job)


def test_argument_that_cannot_be_pickled_in_a_map(client: Client) -> None:
    jobs = [Job(i, threading.Lock() if i in (0, 40, 99) else None) for i in range(100)]
    futures = client.map(number_of, jobs)
    failed = {i: error for i, future in enumerate(futures) if (error := future.exception(PATIENCE)) is not None}
    assert sorted(failed) == [0, 40, 99]
    assert [future.result() for i, future in enumerate(futures) if i not in failed] == [*range(1, 40), *range(41, 99)]
    error = failed[40]
    assert isinstance(error, PackingError)
    assert "element 40: argument.connection.settings['guard'] cannot be pickled: <unlocked _thread.lock" in str(error)
    assert (error.index, error.path) == (40, ".connection.settings['guard']")


class Unloadable:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise ValueError('no longer valid')",)


def test_argument_that_cannot_be_unpickled(client: Client) -> None:
    text = "arguments cannot be unpickled on the worker: ValueError: no longer valid"
    with pytest.raises(DeserializeObjectError, match=text):
        client.submit(repr, Unloadable()).result(PATIENCE)
    futures = client.map(repr, [1, Unloadable(), [3]])
    assert [type(future.exception(PATIENCE)) for future in futures] == [type(None), DeserializeObjectError, type(None)]


def test_result_that_cannot_be_pickled(client: Client) -> None:
    path = r"result cannot be sent back: value\.connection\.settings\['guard'\] cannot be pickled: <unlocked _thread"
    with pytest.raises(PackingError, match=path):
        client.submit(job_with_lock, 1).result(PATIENCE)


def test_result_that_cannot_be_pickled_in_a_map(client: Client) -> None:
    futures = client.map(lambda i: job_with_lock(i) if i == 5 else i, range(10))
    failed = {i: error for i, future in enumerate(futures) if (error := future.exception(PATIENCE)) is not None}
    assert sorted(failed) == [5]
    assert isinstance(failed[5], PackingError)
    assert "value.connection.settings['guard']" in str(failed[5])
    assert [future.result() for i, future in enumerate(futures) if i != 5] == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def raise_what_only_the_worker_has() -> NoReturn:
    module = types.ModuleType("installed_there_alone")
    exec("class LicenceError(Exception): pass", module.__dict__)
    sys.modules[module.__name__] = module
    raise module.LicenceError("expired", 3)


def test_exception_whose_class_cannot_be_unpickled(client: Client) -> None:
    with pytest.raises(RemoteError, match="expired") as caught:
        client.submit(raise_what_only_the_worker_has).result(PATIENCE)
    error = caught.value
    assert (error.type_name, error.text) == ("installed_there_alone.LicenceError", "('expired', 3)")
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in raise_what_only_the_worker_has" in str(error.__cause__)
    assert "No module named 'installed_there_alone'" in "".join(error.__notes__)


class LateError(Exception):
    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code, self.why = code, why


def raise_late(code: int) -> NoReturn:
    raise LateError(code, "late")


def test_exception_whose_class_needs_two_arguments(client: Client) -> None:
    with pytest.raises(LateError, match="3: late") as caught:
        client.submit(raise_late, 3).result(PATIENCE)
    assert (caught.value.code, caught.value.why) == (3, "late")
    assert "in raise_late" in str(caught.value.__cause__)
    errors = [future.exception(PATIENCE) for future in client.map(raise_late, range(3))]
    assert [error.code for error in errors if isinstance(error, LateError)] == [0, 1, 2]


def raise_with_lock() -> NoReturn:
    error = LateError(4, "later")
    error.why = threading.Lock()  # type: ignore[assignment]
    raise error


def test_exception_that_cannot_be_pickled(client: Client) -> None:
    """What can travel does, and a note names what cannot."""
    with pytest.raises(LateError, match="4: later") as caught:
        client.submit(raise_with_lock).result(PATIENCE)
    assert caught.value.code == 4
    assert not hasattr(caught.value, "why")
    assert "left out: why" in "".join(caught.value.__notes__)


def test_exception_of_main(tmp_path: Path, cluster: SchedulerClusterCombo, client: Client) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from scaler import Client

            class Trouble(Exception):
                def __init__(self, code, why):
                    super().__init__(why)
                    self.code = code

            def work(x):
                if x == 1:
                    raise Trouble(x, "no luck")
                return x

            with Client(sys.argv[1]) as client:
                try:
                    client.submit(work, 1).result(60)
                except Trouble as error:
                    print(type(error) is Trouble, error.code, error, "in work" in str(error.__cause__))
                errors = [future.exception(60) for future in client.map(work, range(3))]
                print([type(error) is Trouble for error in errors], client.submit(work, 2).result(60))
            """
        )
    )
    done = subprocess.run(
        [sys.executable, script, cluster.get_address()], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.stdout, done.stderr) == ("True 1 no luck True\n[False, True, False] 2\n", "")


def test_task_that_calls_sys_exit(client: Client) -> None:
    with pytest.raises(SystemExit, match="enough") as caught:
        client.submit(sys.exit, "enough").result(PATIENCE)
    assert caught.value.code == "enough"
    futures = client.map(lambda i: sys.exit(i) if i == 5 else i, range(10))
    assert [i for i, future in enumerate(futures) if future.exception(PATIENCE) is not None] == [5]
    assert isinstance(futures[5].exception(), SystemExit)


def interrupt() -> NoReturn:
    raise KeyboardInterrupt("by the task")


def test_task_that_raises_keyboard_interrupt(client: Client) -> None:
    with pytest.raises(KeyboardInterrupt, match="by the task"):
        client.submit(interrupt).result(PATIENCE)


def stop(x: int) -> int:
    if x == 5:
        raise StopIteration(x, "no more")
    return x


def test_task_that_raises_stop_iteration(client: Client) -> None:
    """Which means something to whatever runs tasks one after the other."""
    errors = [future.exception(PATIENCE) for future in client.map(stop, range(10))]
    assert [i for i, error in enumerate(errors) if error is not None] == [5]
    for error in (errors[5], client.submit(stop, 5).exception(PATIENCE)):
        assert isinstance(error, StopIteration)
        assert error.args == (5, "no more")


def crash() -> None:
    ctypes.string_at(0)


@pytest.mark.parametrize(
    ("function", "arguments", "told", "status"),
    [(os._exit, (3,), "exit code 3", 3), (crash, (), r"signal 11 \(SIGSEGV\)", -signal.SIGSEGV)],
    ids=["os._exit", "segfault"],
)
def test_task_whose_process_ends(
    function: Any, arguments: tuple[int, ...], told: str, status: int, client: Client
) -> None:
    future = client.submit(function, *arguments)
    beside = client.map(abs, range(-500, 0))
    with pytest.raises(ProcessorDiedError, match=told) as caught:
        future.result(PATIENCE)
    assert "in 3 attempts" in str(caught.value)
    assert "where: node combo (3 times)\n" in str(caught.value)
    assert "to do:" in str(caught.value)
    assert (caught.value.status, caught.value.attempts) == (status, 3)
    assert beside.results(PATIENCE) == list(range(500, 0, -1))


@pytest.mark.parametrize("end", [lambda: os._exit(3), crash], ids=["os._exit", "segfault"])
def test_task_whose_process_ends_in_a_map(end: Any, client: Client) -> None:
    futures = client.map(lambda i: end() if i == 50 else i, range(100))
    failed = [i for i, future in enumerate(futures) if future.exception(PATIENCE) is not None]
    assert failed == [50]
    assert isinstance(futures[50].exception(), ProcessorDiedError)


def take_memory_without_end(most: int) -> NoReturn:
    taken = []
    for _ in range(most >> 20):
        taken.append(b"x" * (1 << 20))
    # Should nobody have noticed, the machine is to survive it.
    while True:
        signal.pause()


def test_task_that_exhausts_memory() -> None:
    limit = 256 << 20
    with (
        SchedulerClusterCombo(1, per_worker_memory_limit_bytes=limit) as cluster,
        Client(cluster.get_address(), timeout_seconds=PATIENCE) as client,
    ):
        with pytest.raises(TaskMemoryError, match="more memory than it may") as caught:
            client.submit(take_memory_without_end, 4 * limit).result(PATIENCE)
        assert isinstance(caught.value, MemoryError)
        assert "--per-worker-memory-limit" in str(caught.value)
        assert "where: node combo\n" in str(caught.value)
        works(client)
