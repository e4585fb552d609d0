"""Submitting: arguments, options, credit, errors."""

from __future__ import annotations

import functools
import os
import pickle
import queue
import signal
import threading
import time

import pytest
from scaler import Client
from scaler.client import conversation
from scaler.errors import (
    ClientForkedError,
    ClientQuitException,
    ClientShutdownException,
    MissingObjects,
    NodeSetupError,
    PackingError,
    ProcessorDiedError,
    RefusedError,
    SchedulerProtectedError,
    SchedulerUnreachableError,
    TaskMemoryError,
    TaskTimeoutError,
    WorkerDiedError,
)
from scripted_scheduler import CLEAR, FAILURE, FORGET_FUNCTION, GOODBYE, HEARTBEAT, SUBMIT, ScriptedScheduler


def keywords(a, b=2, *, c=0, **more):
    return a, b, c, more


def test_all_kinds_of_arguments_arrive(client):
    assert client.submit(keywords, 1, c=5, d=6).result(20) == (1, 2, 5, {"d": 6})
    assert client.submit_verbose(keywords, (1, 3), {"self": 4}).result(20) == (1, 3, 0, {"self": 4})


def test_callables_without_a_signature_are_fine(client):
    assert client.submit(max, 3, 4).result(20) == 4
    assert client.submit(int, "7").result(20) == 7
    assert client.submit(functools.partial(pow, 2), 3).result(20) == 8
    assert client.submit("a-b".split, "-").result(20) == ["a", "b"]


def test_what_cannot_be_called_is_refused(client):
    with pytest.raises(TypeError, match="cannot be called"):
        client.submit(3)


class Conn:
    def __init__(self):
        self.conn = {"x": threading.Lock()}


def test_argument_that_cannot_be_pickled_is_named_with_its_path(client):
    with pytest.raises(PackingError, match=r"argument 1\.conn\['x'\] cannot be pickled: <unlocked _thread.lock"):
        client.submit(pow, 1, Conn())
    with pytest.raises(PackingError, match=r"argument 'c'\.conn\['x'\]"):
        client.submit(keywords, 1, c=Conn())
    assert client.submit(pow, 2, 2).result(20) == 4


def test_function_that_cannot_be_pickled_is_named_with_its_path(client):
    lock = threading.Lock()
    with pytest.raises(PackingError, match=r"function .*<lambda> → closure variable 'lock' cannot be pickled"):
        client.submit(lambda: lock)
    assert client.submit(pow, 2, 2).result(20) == 4


def test_options_travel_with_the_task(scheduler, client):
    future = client.submit_verbose(
        pow, (2, 3), {}, {"gpu": -1, "cpu": 2}, priority=-3, timeout=1.5, retries=4, name="mine"
    )
    assert future.result(20) == 8
    assert scheduler.wait_for(SUBMIT)[3] == [2, [["cpu", 2], ["gpu", -1]], -3, 0, 1_500_000, 4, 0, "mine"]
    client.submit(pow, 2, 3).result(20)
    assert scheduler.wait_for(SUBMIT)[3][-1] == "pow"
    with pytest.raises(ValueError, match="timeout"):
        client.submit_verbose(pow, (), {}, timeout=0)


def test_neighbours_without_credit_travel_together(scheduler, client):
    scheduler.acknowledge = False
    scheduler.hold = True
    futures = [client.submit(pow, i, 2) for i in range(503)]
    for _ in range(3):
        assert len(scheduler.wait_for(SUBMIT)[4]) == 1
    scheduler.acknowledge = True
    scheduler.say(conversation.EVENT_ANSWER + 20, 999, True, "")  # any message brings the acknowledgement
    submit = scheduler.wait_for(SUBMIT)
    assert sum(block[0] for block in submit[4]) == 500
    scheduler.run()
    assert [future.result(20) for future in futures] == [i * i for i in range(503)]


def test_tasks_leave_though_nobody_waits(scheduler, client):
    scheduler.acknowledge = False
    scheduler.hold = True
    [client.submit(abs, i) for i in range(10)]
    for _ in range(3):
        scheduler.wait_for(SUBMIT)
    scheduler.acknowledge = True
    scheduler.say(21, 999, True, "")
    scheduler.wait_for(SUBMIT)  # the receive thread saw to it


def test_caller_waits_while_much_is_queued(scheduler, client, monkeypatch):
    monkeypatch.setattr(conversation, "BACKLOG_LIMIT", 1 << 20)
    scheduler.acknowledge = False
    scheduler.hold = True
    argument = bytes(20_000)
    submitted = []

    def flood() -> None:
        for _ in range(200):
            submitted.append(client.submit(len, argument))

    thread = threading.Thread(target=flood)
    thread.start()
    thread.join(1.0)
    assert thread.is_alive()
    assert len(submitted) < 150
    scheduler.acknowledge = True
    scheduler.say(21, 999, True, "")
    thread.join(20)
    assert not thread.is_alive()
    scheduler.wait_for_tasks(200)
    scheduler.run()
    assert {future.result(20) for future in submitted} == {20_000}


@pytest.mark.parametrize(
    ("code", "status", "error", "words"),
    [
        (0, -9, ProcessorDiedError, "signal 9 (SIGKILL)"),
        (0, 3, ProcessorDiedError, "exit code 3"),
        (1, 0, WorkerDiedError, "where: nodes n1, n2"),
        (2, 0, TaskTimeoutError, "time-out"),
        (3, 0, TaskMemoryError, "memory"),
        (4, 0, MissingObjects, "object"),
        (5, 0, NodeSetupError, "preload"),
    ],
)
def test_verdicts_become_exceptions_that_say_what_where_and_what_to_do(scheduler, client, code, status, error, words):
    scheduler.hold = True
    future = client.submit(abs, 1)
    scheduler.wait_for(SUBMIT)
    scheduler.answer(0, 1, FAILURE, failure=[code, 3, status, ["n1", "n2"], "so it was"])
    caught = future.exception(20)
    assert type(caught) is error
    assert words in str(caught)
    assert "so it was" in str(caught)
    assert str(caught).count("\n") == 2
    assert (caught.attempts, caught.status, caught.nodes) == (3, status, ("n1", "n2"))
    assert issubclass(ProcessorDiedError, WorkerDiedError)
    assert issubclass(TaskTimeoutError, TimeoutError)


def test_verdict_names_each_node_once_with_how_often(scheduler, client):
    scheduler.hold = True
    future = client.submit(abs, 1)
    scheduler.wait_for(SUBMIT)
    scheduler.answer(0, 1, FAILURE, failure=[0, 4, 3, ["n2", "n1", "n2", "n2"], ""])
    caught = future.exception(20)
    assert "exit code 3, in 4 attempts.\n  where: nodes n2 (3 times), n1\n" in str(caught)
    assert caught.nodes == ("n2", "n1", "n2", "n2")


def test_verdict_on_many_gives_each_an_exception_of_its_own(scheduler, client):
    scheduler.hold = True
    futures = [client.submit(abs, i) for i in range(3)]
    for _ in futures:
        scheduler.wait_for(SUBMIT)
    scheduler.answer(0, 3, FAILURE, failure=[1, 1, 0, [], ""], excepted=[])
    errors = [future.exception(20) for future in futures]
    assert len({id(error) for error in errors}) == 3
    assert futures[0].exception() is errors[0]


def test_exceptions_that_would_end_a_worker_are_results(client):
    with pytest.raises(SystemExit) as caught:
        client.submit(os.sys.exit, 4).result(20)
    assert caught.value.code == 4


def test_explain_asks_the_scheduler(scheduler, client):
    scheduler.hold = True
    scheduler.explain = lambda kind, sequence: f"waits for a node ({kind}, {sequence})"
    future = client.submit(abs, 1)
    assert client.explain(future) == "waits for a node (0, 0)"
    scheduler.run()
    future.result(20)
    assert "is done" in client.explain(future)


def test_clear_cancels_everything_and_the_client_goes_on(scheduler, client):
    scheduler.hold = True
    futures = [client.submit(abs, i) for i in range(5)]
    mapped = client.map(abs, range(100))
    client.clear()
    scheduler.wait_for(CLEAR)
    assert all(future.cancelled() for future in futures)
    assert mapped.cancel() == 100
    scheduler.hold = False
    assert client.submit(abs, -1).result(20) == 1


def test_cancel_takes_futures_maps_and_lists_of_them(scheduler, client):
    scheduler.hold = True
    futures = [client.submit(abs, i) for i in range(5)]
    mapped = client.map(abs, range(10))
    client.cancel(futures[0])
    client.cancel(futures[1:])
    client.cancel(mapped)
    assert all(future.cancelled() for future in [*futures, *mapped])


def test_disconnect_cancels_says_goodbye_and_can_be_repeated(scheduler):
    scheduler.hold = True
    client = Client(scheduler.address)
    future = client.submit(abs, 1)
    client.disconnect()
    client.disconnect()
    scheduler.wait_for(GOODBYE)
    assert future.cancelled()
    for use in (lambda: client.submit(abs, 1), lambda: client.map(abs, [1]), client.clear, client.shutdown):
        with pytest.raises(ClientQuitException):
            use()
    with pytest.raises(ClientQuitException):
        client.send_object(1)


def test_dropped_client_leaves_when_its_tasks_are_done(scheduler):
    future = Client(scheduler.address, heartbeat_interval_seconds=0.1).submit(abs, -5)
    assert future.result(20) == 5
    scheduler.wait_for(GOODBYE)


def test_cluster_that_ends_fails_what_is_pending(scheduler, client):
    scheduler.hold = True
    future = client.submit(abs, 1)
    scheduler.wait_for(SUBMIT)
    scheduler.say(22, "told to")
    with pytest.raises(ClientShutdownException, match="told to"):
        future.result(20)
    with pytest.raises(ClientShutdownException):
        client.submit(abs, 1)


def test_shutdown_that_is_refused_changes_nothing(scheduler):
    client = Client(scheduler.address)
    scheduler.protected = True
    with pytest.raises(SchedulerProtectedError, match="protected"):
        client.shutdown()
    assert client.submit(abs, -1).result(20) == 1
    scheduler.protected = False
    client.shutdown()
    with pytest.raises(ClientQuitException):
        client.submit(abs, 1)


def test_callback_that_exits_does_not_end_the_client(client):
    called: queue.SimpleQueue[int] = queue.SimpleQueue()
    client.submit(abs, -1).add_done_callback(lambda done: os.sys.exit(1))
    future = client.submit(abs, -2)
    future.add_done_callback(lambda done: called.put(done.result()))
    assert called.get(timeout=20) == 2


def test_nobody_there_is_said_in_time(tmp_path):
    with pytest.raises(SchedulerUnreachableError, match=r"nobody\.sock") as caught:
        Client(f"ipc://{tmp_path}/nobody.sock", timeout_seconds=0.2)
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, ConnectionError)


def test_scheduler_that_does_not_answer_is_said_in_time(scheduler):
    scheduler.silent = True
    with pytest.raises(SchedulerUnreachableError, match="did not answer"):
        Client(scheduler.address, timeout_seconds=0.3)


def test_refusal_is_told_with_the_schedulers_words(scheduler):
    scheduler.refuse = "speaks protocol 2: pip install -U scaler-py"
    with pytest.raises(RefusedError, match="pip install -U"):
        Client(scheduler.address, timeout_seconds=20)


def test_address_of_the_wrong_form_is_refused():
    with pytest.raises(ValueError, match="tcp://"):
        Client("localhost:8516", timeout_seconds=1)


def test_lost_scheduler_is_found_again_and_nothing_is_lost(scheduler, client):
    scheduler.hold = True
    futures = [client.submit(pow, i, 2) for i in range(20)]
    mapped = client.map(abs, range(-50, 0))
    scheduler.wait_for_tasks(70)
    scheduler.run(0, 1)
    assert futures[1].result(20) == 1
    scheduler.stop()
    scheduler.forget()
    later = client.submit(pow, 9, 2)
    scheduler.listen()
    scheduler.wait_for_tasks(69)
    assert all(task.sequence > 1 for task in scheduler.tasks)
    scheduler.run()
    assert [future.result(20) for future in futures] == [i * i for i in range(20)]
    assert mapped.results(20) == list(range(50, 0, -1))
    assert later.result(20) == 81


def test_connection_that_breaks_is_resumed(scheduler, client):
    for round in range(5):
        futures = [client.submit(pow, i, 2) for i in range(50)]
        scheduler.drop_connections()
        assert [future.result(20) for future in futures] == [i * i for i in range(50)], round


def test_scheduler_that_stays_away_fails_everything_in_time(scheduler):
    client = Client(scheduler.address, timeout_seconds=0.5)
    scheduler.hold = True
    future = client.submit(abs, 1)
    mapped = client.map(abs, range(10))
    scheduler.wait_for_tasks(11)
    scheduler.stop()
    with pytest.raises(SchedulerUnreachableError, match="did not come back"):
        future.result(20)
    with pytest.raises(SchedulerUnreachableError):
        mapped.results(20)
    with pytest.raises(SchedulerUnreachableError):
        client.submit(abs, 1)
    client.disconnect()


def test_pickled_client_is_a_client_of_the_same_cluster(client):
    with pickle.loads(pickle.dumps(client)) as again:
        assert again.address == client.address
        assert again.identity != client.identity
        assert again.submit(abs, -2).result(20) == 2


def test_use_after_fork_is_a_clear_error_and_the_parent_goes_on(scheduler, client):
    assert client.submit(len, bytes(100_000)).result(20) == 100_000  # there is a link to storage
    scheduler.hold = True
    pending = client.submit(abs, -3)
    scheduler.wait_for_tasks(1)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        said = []
        uses = (
            lambda: client.submit(abs, 1),
            lambda: client.submit(len, bytes(100_000)),
            pending.result,
            client.disconnect,
            lambda: client.map(abs, [1]),
        )
        for use in uses:
            try:
                use()
                said.append("fine")
            except BaseException as error:
                said.append(type(error).__name__)
        os.write(write, repr(said).encode())
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    expected = ClientForkedError.__name__
    assert said == repr([expected, expected, expected, "fine", expected])
    scheduler.run()
    assert pending.result(20) == 3


def test_fork_takes_the_serializer_and_the_options_along_and_outlives_the_client(scheduler):
    with Client(scheduler.address, serializer=Reverse, inline_limit_bytes=10) as client:
        forked = client.fork()
    with forked:
        assert (forked.address, forked.identity != client.identity) == (client.address, True)
        assert forked.submit(keywords, 1, c=[2]).result(20) == (1, 2, [2], {})
        assert (forked._seal.serializer, forked._inline_limit) == (Reverse, 10)


class Reverse:
    @staticmethod
    def serialize(obj):
        return pickle.dumps(obj)[::-1]

    @staticmethod
    def deserialize(payload):
        return pickle.loads(payload[::-1])


def test_own_serializer_is_used_for_function_arguments_and_result(scheduler):
    with Client(scheduler.address, serializer=Reverse) as client:
        assert client.submit(keywords, 1, c=[2]).result(20) == (1, 2, [2], {})
        assert client.map(abs, [-1, -2]).results(20) == [1, 2]
        assert client.starmap(pow, [(2, 3)]).results(20) == [8]
        reference = client.send_object([1, 2, 3])
        assert client.submit(len, reference).result(20) == 3


def test_functions_that_fall_out_of_use_are_forgotten(scheduler, client, monkeypatch):
    from scaler.client import functions

    monkeypatch.setattr(functions, "MOST_FUNCTIONS", 4)
    for i in range(8):
        assert client.submit(eval(f"lambda x: x + {i}"), 1).result(20) == 1 + i
    scheduler.wait_for(FORGET_FUNCTION)
    assert client.submit(abs, -1).result(20) == 1


def test_idle_client_keeps_quiet(client):
    before = time.process_time()
    assert client.submit(abs, -1).result(20) == 1
    client._conversation.receiver.call()
    assert not client._conversation.receiver._has_work()
    assert time.process_time() - before < 5


def test_heartbeats_come_at_the_interval_that_was_asked_for(scheduler, tmp_path):
    """Ten of one client before one of another; by their default they would come side by side."""
    other = ScriptedScheduler(str(tmp_path / "other"))
    often = Client(scheduler.address, heartbeat_interval_seconds=0.02)
    seldom = Client(other.address, heartbeat_interval_seconds=100)
    with often, seldom:
        for _ in range(10):
            scheduler.wait_for(HEARTBEAT)
        with pytest.raises(queue.Empty):
            other.wait_for(HEARTBEAT, timeout=0)
    other.stop()


def test_scripted_scheduler_is_gone_after_stop(tmp_path):
    scheduler = ScriptedScheduler(str(tmp_path / "x"))
    scheduler.stop()
    assert not os.path.exists(scheduler.path)
