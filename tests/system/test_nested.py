"""Tasks that submit tasks and wait for them: real processes, with one slot wherever that can hold somebody up."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from gates import Gate
from scaler import Client, ScalerExecutor, SchedulerClusterCombo, nested
from scaler.errors import (
    ClientQuitException,
    NestingLimitError,
    NotSupportedError,
    ProcessorDiedError,
    TaskTimeoutError,
)
from scaler.transport.keys import find_cluster_key
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


@pytest.mark.parametrize(
    "function",
    [
        fib,
        fib_by_wait,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (fib_as_completed, fib_by_asyncio)),
        fib_by_map,
    ],
)
def test_fib_of_12_ends_with_one_slot(one_slot, function):
    assert one_slot.submit(function, 12).result(PATIENCE) == plain_fib(12)


def by_callback():
    future, done = Client().submit(pow, 2, 5), threading.Event()
    future.add_done_callback(lambda _: done.set())
    done.wait()
    return future.result()


def by_looking():
    future = Client().submit(pow, 2, 5)
    while not future.done():
        time.sleep(0.05)
    return future.result()


def by_another_thread():
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(Client().submit(pow, 2, 5).result).result()


def by_executor():
    with ScalerExecutor() as executor:
        return sum(executor.map(pow, [2, 1], [5, 1])) - 1


@pytest.mark.parametrize("function", [by_callback, by_looking, by_another_thread, by_executor])
def test_a_task_that_does_nothing_while_its_tasks_are_unfinished_waits(one_slot, function):
    assert one_slot.submit(function).result(PATIENCE) == 32


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


def priority():
    return nested.nest().place[1]


def priorities(levels):
    """Of this task, of what it submits in all ways, and of what these submit."""
    if levels == 0:
        return priority()
    client = Client()
    below = levels - 1
    return [
        priority(),
        client.submit(priorities, below).result(),
        client.submit_verbose(priorities, (), {"levels": below}).result(),
        *client.map(priorities, [below]).results(),
        *client.starmap(priorities, [(below,)]).results(),
        client.get({"node": (priorities, below)}, ["node"])["node"],
    ]


def given_priorities():
    client = Client()
    return [
        client.submit_verbose(priority, (), {}, priority=0).result(),
        client.submit_verbose(priorities, (1,), {}, priority=-2).result(),
        client.get({"node": (priority,)}, ["node"], priority=9)["node"],
    ]


def test_what_a_task_submits_has_its_priority_unless_it_is_given_one(one_slot):
    assert one_slot.submit(priorities, 1).result(PATIENCE) == [0] * 6
    assert one_slot.submit_verbose(priorities, (2,), {}, priority=7).result(PATIENCE) == [7, *[[7] * 6] * 5]
    assert one_slot.submit_verbose(given_priorities, (), {}, priority=7).result(PATIENCE) == [0, [-2] * 6, 9]


def descend_to_the_limit(levels):
    """How many levels there are below this one."""
    try:
        return 0 if levels == 0 else 1 + Client().submit(descend_to_the_limit, levels - 1).result()
    except NestingLimitError:
        return 0


def test_past_the_limit_what_is_waited_for_fails_and_everything_else_goes_on(start):
    start.scheduler()
    start.node(slots=1, most_waiting=3)
    with Client(start.path(), timeout_seconds=PATIENCE) as client:
        for _ in range(2):
            assert client.submit(descend_to_the_limit, 10).result(PATIENCE) == 3
        assert client.submit(descend_to_the_limit, 3).result(PATIENCE) == 3
        with pytest.raises(NestingLimitError, match="4 tasks wait"):
            client.submit(descend, 10).result(PATIENCE)
        assert client.submit(abs, -1).result(PATIENCE) == 1


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_limit_is_256_that_wait(one_slot):
    assert one_slot.submit(descend_to_the_limit, 300).result(350) == 256


def way_of_tasks_clients():
    """Whether it is local, and the keys that are here."""
    connection = nested.nest().dial("client", "")
    os.close(connection.fd)
    return connection.is_local, [name for name in os.environ if name.startswith("SCALER_KEY")]


@pytest.mark.timeout(180)
def test_a_node_that_is_connected_over_the_network_has_nested_tasks(start, own_host, monkeypatch, tmp_path):
    """With CURVE, to scheduler and storage, which its executors have no key of."""
    address = start.scheduler(f"tcp://{own_host}:0").told["address"]
    monkeypatch.setenv("SCALER_KEY", find_cluster_key().token())
    # As another machine has it: no key file, and no path to the scheduler's local sockets.
    monkeypatch.setenv("SCALER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("SCALER_RUNTIME_DIR", str(tmp_path / "run"))
    start.node(address, slots=1)
    with Client(address, timeout_seconds=PATIENCE) as client:
        assert client.submit(way_of_tasks_clients).result(PATIENCE) == (False, [])
        for function in (fib, fib_by_map):
            assert client.submit(function, 7).result(PATIENCE) == plain_fib(7)
        assert client.submit(large, 3_000_000).result(PATIENCE) == (3_000_000, 3_000_000)
        assert client.map(leave_children, range(3)).results(PATIENCE) == [0, 1, 2]
        gate, told = Gate(tmp_path), str(tmp_path / "parent")
        parent = client.submit(parent_that_waits, gate.names, told)
        wait_for_child(gate, told, set())
        assert parent.cancel(PATIENCE)
        assert client.submit(abs, -1).result(PATIENCE) == 1
        wait_until_idle(client)


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


def wait_until_idle(client: Client) -> None:
    while busy(client):
        pass  # each question waits for its answer


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
        wait_until_idle(client)
        assert client.submit(pow, 2, 3).result(PATIENCE) == 8


def test_the_time_limit_of_a_task_that_waits_goes_on(one_slot, tmp_path):
    gate, told = Gate(tmp_path), str(tmp_path / "parent")
    parent = one_slot.submit_verbose(parent_that_waits, (gate.names, told), {}, timeout=1)
    with pytest.raises(TaskTimeoutError):
        parent.result(PATIENCE)
    wait_until_idle(one_slot)
    assert one_slot.submit(pow, 2, 3).result(PATIENCE) == 8


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


def place_of_tasks():
    """Depth and priority of what this task would submit."""
    return nested.nest().place


def at_another_cluster(address):
    with Client(address) as client:
        return type(client), client.submit(place_of_tasks).result()


def test_the_client_of_another_cluster_is_nothing_special(one_slot):
    with SchedulerClusterCombo(n_workers=1) as other:
        future = one_slot.submit_verbose(at_another_cluster, (other.get_address(),), {}, priority=7)
        assert future.result(PATIENCE) == (Client, (1, 0))


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
    wait_until_idle(one_slot)
    assert one_slot.submit(abs, -1).result(PATIENCE) == 1


def raise_in_child():
    try:
        Client().submit(divmod, 1, 0).result()
    except ZeroDivisionError as error:
        return f"{error}"


def test_a_childs_exception_reaches_its_parent(one_slot):
    assert "zero" in one_slot.submit(raise_in_child).result(PATIENCE)


def raise_below(levels):
    return 1 // levels if levels == 0 else Client().submit(raise_below, levels - 1).result()


def test_an_exception_passes_through_many_tasks_with_a_line_of_each(one_slot):
    with pytest.raises(ZeroDivisionError) as caught:
        one_slot.submit(raise_below, 16).result(PATIENCE)
    assert str(caught.value.__cause__).count("in raise_below") == 17


def use_after_disconnect():
    with Client() as client:
        assert client.submit(abs, -1).result() == 1
    with pytest.raises(ClientQuitException, match="disconnected"):
        client.submit(abs, -1)
    return Client().submit(abs, -2).result()


def test_a_tasks_client_after_disconnect_is_no_good_and_another_one_is(one_slot):
    assert one_slot.submit(use_after_disconnect).result(PATIENCE) == 2


kept = []


def keep():
    client = Client()
    kept.extend([client, client.submit(time.sleep, 1000)])


def use_what_was_kept():
    client, future = kept
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    return client.submit(abs, -3).result()


def test_what_a_task_keeps_of_its_client_ends_with_it(one_slot):
    """But for the client itself, which is the next task's."""
    assert one_slot.submit(keep).result(PATIENCE) is None
    assert one_slot.submit(use_what_was_kept).result(PATIENCE) == 3


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
