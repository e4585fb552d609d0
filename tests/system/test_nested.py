"""Tasks that submit tasks and wait for them: real processes, with one slot wherever that can hold somebody up."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import signal
import time
from collections.abc import Iterator

import pytest
from gates import Gate
from scaler import Client, SchedulerClusterCombo
from scaler.errors import NotSupportedError, ProcessorDiedError
from serializers import MsgpackSerializer

PATIENCE = 100


@pytest.fixture
def one_slot() -> Iterator[Client]:
    with SchedulerClusterCombo(n_workers=1) as cluster, Client(cluster.get_address()) as client:
        yield client


def plain_fib(n):
    return n if n < 2 else plain_fib(n - 1) + plain_fib(n - 2)


def fib(n):
    if n < 2:
        return n
    client = Client()
    one, two = client.submit(fib, n - 1), client.submit(fib, n - 2)
    return one.result() + two.result()


def fib_by_wait(n):
    if n < 2:
        return n
    client = Client()
    futures = [client.submit(fib_by_wait, n - 1), client.submit(fib_by_wait, n - 2)]
    done, left = concurrent.futures.wait(futures)
    assert not left
    return sum(future.result() for future in done)


def fib_as_completed(n):
    if n < 2:
        return n
    client = Client()
    futures = [client.submit(fib_as_completed, n - 1), client.submit(fib_as_completed, n - 2)]
    return sum(future.result() for future in concurrent.futures.as_completed(futures))


def fib_by_asyncio(n):
    async def children():
        client = Client()
        one, two = client.submit(fib_by_asyncio, n - 1), client.submit(fib_by_asyncio, n - 2)
        return sum(await asyncio.gather(one, two))

    return n if n < 2 else asyncio.run(children())


def fib_by_map(n):
    return n if n < 2 else sum(Client().map(fib_by_map, [n - 1, n - 2]).results())


@pytest.mark.parametrize("function", [fib, fib_by_wait, fib_as_completed, fib_by_asyncio, fib_by_map])
def test_fib_of_12_ends_with_one_slot(one_slot, function):
    assert one_slot.submit(function, 12).result(PATIENCE) == plain_fib(12)


def descend(levels):
    return 0 if levels == 0 else 1 + Client().submit(descend, levels - 1).result()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("levels", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_a_chain_of_waits_ends_with_the_right_result(one_slot, levels):
    assert one_slot.submit(descend, levels).result(350) == levels


def with_a_child(number):
    here, child = os.getpid(), Client().submit(os.getpid).result()
    return number, here, child


@pytest.mark.timeout(400)
def test_a_thousand_roots_have_no_more_executors_than_slots_and_waiting_ones():
    with SchedulerClusterCombo(n_workers=2) as cluster, Client(cluster.get_address()) as client:
        found = client.map(with_a_child, range(1000)).results(350)
        assert [number for number, _, _ in found] == list(range(1000))
        # A slot that was given back is for children alone: at any time two roots at most, and a child of each.
        assert len({process for _, *both in found for process in both}) <= 4


def child_that_holds(started, release):
    return Gate.hold(started, release)


def parent_that_waits(names, told):
    client = Client()
    with open(told, "w") as file:
        file.write(str(os.getpid()))
    return client.submit(child_that_holds, *names).result()


def wait_for_child(gate: Gate, told: str, killed: set[str]) -> str:
    """Until a child runs, whose parent waits then; the parent's process."""
    while True:
        gate.wait()  # the child of one that was killed may pass here on its way out
        with open(told) as file:
            process = file.read()
        if process and process not in killed:
            return process


def busy(client: Client) -> int:
    import json

    status = json.loads(client._conversation.questions.ask(2, 0))
    return int(status["assigned"]) + int(status["queued"])


@pytest.mark.parametrize("end", ["kill", "cancel"])
def test_a_parent_that_ends_while_it_waits_leaves_no_child_behind(tmp_path, end):
    gate, told = Gate(tmp_path), str(tmp_path / "parent")
    with SchedulerClusterCombo(n_workers=1) as cluster, Client(cluster.get_address()) as client:
        parent = client.submit_verbose(parent_that_waits, (gate.names, told), {}, retries=0)
        killed: set[str] = set()
        for _ in range(3 if end == "kill" else 1):
            process = wait_for_child(gate, told, killed)
            if end == "cancel":
                assert parent.cancel(PATIENCE)
            else:
                os.kill(int(process), signal.SIGKILL)
                killed.add(process)
        if end == "kill":
            with pytest.raises(ProcessorDiedError):
                parent.result(PATIENCE)
        while busy(client):
            time.sleep(0.02)
        assert client.submit(pow, 2, 3).result(PATIENCE) == 8


def through(client, number):
    return client.submit(divmod, number, 4).result(), type(client).__name__, os.environ.get("SCALER_KEY")


def test_a_client_given_as_an_argument_reconnects_with_its_serializer():
    with SchedulerClusterCombo(n_workers=1) as cluster:
        with Client(cluster.get_address()) as client:
            assert client.submit(through, client, 9).result(PATIENCE)[0] == (2, 1)
            assert [value for value, *_ in client.map(through, [client] * 5, range(5)).results(PATIENCE)] == [
                divmod(number, 4) for number in range(5)
            ]
        with Client(cluster.get_address(), serializer=MsgpackSerializer) as client:
            outer = Client(cluster.get_address())
            # msgpack makes lists of tuples: it was there.
            assert outer.submit(through, client, 9).result(PATIENCE)[0] == [2, 1]
            outer.disconnect()


def test_a_captured_client_serves_one_task_after_the_other(one_slot):
    client = one_slot

    def square(number):
        return client.submit(pow, number, 2).result()

    assert client.map(square, range(20)).results(PATIENCE) == [number**2 for number in range(20)]


def large(size):
    client = Client()
    reference = client.send_object(b"x" * size)
    return len(client.submit(bytes.upper, reference).result()), len(client.submit(bytes, size).result())


def test_large_values_and_objects_travel_from_within_tasks(one_slot):
    assert one_slot.submit(large, 3_000_000).result(PATIENCE) == (3_000_000, 3_000_000)


def leave_children(number):
    client = Client()
    client.submit(time.sleep, 1000)
    client.map(time.sleep, [1000] * 10)
    return number


def test_children_that_nobody_waits_for_end_with_their_parent(one_slot):
    assert one_slot.map(leave_children, range(3)).results(PATIENCE) == [0, 1, 2]
    while busy(one_slot):
        time.sleep(0.02)
    assert one_slot.submit(abs, -1).result(PATIENCE) == 1


def raise_in_child():
    try:
        Client().submit(divmod, 1, 0).result()
    except ZeroDivisionError as error:
        return f"{error}"


def test_a_childs_exception_reaches_its_parent(one_slot):
    assert "zero" in one_slot.submit(raise_in_child).result(PATIENCE)


def make_a_client_in_a_fork():
    read, write = os.pipe()
    if (process := os.fork()) == 0:
        try:
            Client()
        except NotSupportedError as error:
            os.write(write, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.waitpid(process, 0)
    return os.read(read, 100).decode()


def test_what_a_task_forks_has_no_client(one_slot):
    assert one_slot.submit(make_a_client_in_a_fork).result(PATIENCE) == "NotSupportedError"


def after_a_nested_task():
    Client().submit(abs, -1).result()
    return True


def test_a_tasks_client_leaves_no_descriptor_behind(one_slot):
    assert one_slot.submit(after_a_nested_task).result(PATIENCE)
    before = one_slot.submit(lambda: len(os.listdir("/proc/self/fd"))).result(PATIENCE)
    for _ in range(20):
        assert one_slot.submit(after_a_nested_task).result(PATIENCE)
    after = one_slot.submit(lambda: len(os.listdir("/proc/self/fd"))).result(PATIENCE)
    assert after <= before + 2
