"""Graphs and futures as arguments, through a whole cluster."""

from __future__ import annotations

import concurrent.futures
import gc
import operator
import os
import threading
import time
from graphlib import CycleError
from pathlib import Path

import cloudpickle
import numpy
import pytest
from scaler import Client
from scaler.errors import PackingError, ProcessorDiedError
from working import PATIENCE, works


class CloudSerializer:
    """One of the user's own, which shows in the bytes."""

    @staticmethod
    def serialize(obj: object) -> bytes:
        return b"own" + cloudpickle.dumps(obj)

    @staticmethod
    def deserialize(payload: bytes) -> object:
        assert payload[:3] == b"own"
        return cloudpickle.loads(payload[3:])


def add(*values):
    return sum(values)


def raise_it(error, *_):
    raise error


def noted(path, *values):
    with open(path, "a") as file:
        file.write("x")
    return sum(values)


def wait_for_file(path):
    while not os.path.exists(path):
        time.sleep(0.005)
    return path


def changed(values):
    values.append(len(values))
    return values


def test_a_graph_by_key(client):
    graph = {"a": 1, "b": (add, "a", "a"), "c": (add, "b", 5), "d": (add, "c", (add, "b", (add, "a", 10))), "e": "text"}
    assert client.get(graph, ["d", "b", "e"]) == {"d": 20, "b": 2, "e": "text"}
    assert list(client.get(graph, ["d", "b", "e"])) == ["d", "b", "e"]
    futures = client.get(graph, ["c", "a"], block=False)
    assert {key: future.result(PATIENCE) for key, future in futures.items()} == {"c": 7, "a": 1}
    assert client.get(graph, []) == {}
    assert client.get({"x": (dict,)}, ["x"]) == {"x": {}}


def test_a_tree_of_thousands(client):
    leaves = [("leaf", i) for i in range(4096)]
    graph = {leaf: (operator.neg, i) for i, leaf in enumerate(leaves)} | {leaves[0]: (operator.neg, 7)}
    level, depth = leaves, 0
    while len(level) > 1:
        depth += 1
        above = [("sum", depth, i) for i in range(len(level) // 2)]
        graph |= {key: (operator.add, level[2 * i], level[2 * i + 1]) for i, key in enumerate(above)}
        level = above
    assert client.get(graph, level) == {level[0]: -sum(range(4096)) - 7}


def test_a_chain(client):
    graph = {0.5: 1, "x0": (add, 1)} | {f"x{i}": (add, f"x{i - 1}", 1) for i in range(1, 300)}
    assert client.get(graph, ["x299"]) == {"x299": 300}


def test_large_values_and_arrays_go_from_worker_to_worker(client):
    graph = {
        "a": (numpy.arange, 300_000),
        "b": (operator.mul, "a", 2),
        "c": (numpy.add, "a", "b"),
        "sum": (numpy.sum, "c"),
    }
    result = client.get(graph, ["sum", "c"])
    assert result["sum"] == 3 * sum(range(300_000))
    assert (result["c"] == 3 * numpy.arange(300_000)).all()


def test_large_data_of_several_nodes_is_stored_once(client):
    data = os.urandom(300_000)
    graph = {"data": data} | {i + 0.5: (len, "data") for i in range(20)}
    assert set(client.get(graph, [i + 0.5 for i in range(20)]).values()) == {300_000}


def test_references_in_a_graph_stand_for_their_objects(client):
    reference = client.send_object([1, 2, 3])
    assert client.get({"data": reference, "sum": (sum, "data"), "own": (sum, reference)}, ["sum", "own"]) == {
        "sum": 6,
        "own": 6,
    }


def test_a_value_is_each_takers_own(client):
    graph = {"list": (list, (range, 2)), "one": (changed, "list"), "two": (changed, "list")}
    assert client.get(graph, ["one", "two", "list"]) == {"one": [0, 1, 2], "two": [0, 1, 2], "list": [0, 1]}


def test_what_nobody_asks_for_runs_once_and_only_if_needed(client, tmp_path):
    graph = {
        "path": str(tmp_path / "shared"),
        "shared": (noted, "path", 1),
        "one": (add, "shared"),
        "two": (add, "shared"),
        "other path": str(tmp_path / "idle"),
        "idle": (noted, "other path"),
    }
    assert client.get(graph, ["one", "two"]) == {"one": 1, "two": 1}
    assert (tmp_path / "shared").read_text() == "x"
    assert not (tmp_path / "idle").exists()


def test_a_failure_is_named_on_all_that_wait_for_it_and_on_no_others(client):
    graph = {
        "bad": (raise_it, LookupError("no such thing")),
        "after": (add, "bad", 1),
        "later": (add, "after", "fine"),
        "fine": (add, 2, 3),
    }
    futures = client.get(graph, ["later", "after", "bad", "fine"], block=False)
    assert futures["fine"].result(PATIENCE) == 5
    for key in ("later", "after", "bad"):
        error = futures[key].exception(PATIENCE)
        assert isinstance(error, LookupError)
        assert error.args == ("no such thing",)
    note = "it was raised by node 'bad', whose value is needed here"
    assert note in futures["later"].exception().__notes__
    with pytest.raises(LookupError, match="no such thing"):
        client.get(graph, ["fine", "later"])
    works(client)


def test_a_node_that_kills_its_worker_fails_what_needs_it(client):
    futures = client.get(
        {"deadly": (os._exit, 3), "next": (add, "deadly"), "other": (add, 1)}, ["next", "other"], False
    )
    with pytest.raises(ProcessorDiedError, match="exit code 3"):
        futures["next"].result(PATIENCE)
    assert futures["other"].result(PATIENCE) == 1


@pytest.mark.parametrize(
    ("graph", "keys", "error", "words"),
    [
        ({"a": (add, "b"), "b": (add, "a")}, ["a"], CycleError, "cycle"),
        ({"a": (add, "nope")}, ["a"], KeyError, "nope"),
        ({"a": 1}, ["b"], KeyError, "b"),
        ({"a": 1}, ["a", "a"], KeyError, "a"),
        ({"a": (add, threading.Lock())}, ["a"], PackingError, "node 'a': argument 0"),
        ([1, 2], ["a"], TypeError, "a dict of nodes by key"),
    ],
)
def test_a_graph_that_cannot_be_is_refused_before_anything_is_sent(client, graph, keys, error, words):
    with pytest.raises(error, match=words):
        client.get(graph, keys)
    works(client)


def test_cancelling_one_future_cancels_the_graph(client, tmp_path):
    gate = str(tmp_path / "gate")
    graph = {"gate": gate, "first": (wait_for_file, "gate"), "second": (len, "first"), "third": (len, "first")}
    futures = client.get(graph, ["second", "third"], block=False)
    assert futures["second"].cancel(PATIENCE)
    with pytest.raises(concurrent.futures.CancelledError):
        futures["third"].result(PATIENCE)
    works(client)


def test_futures_as_arguments(client):
    one = client.submit(add, 1)
    assert client.submit(add, one, client.submit(add, one, 1), 10).result(PATIENCE) == 13
    assert client.submit(sum, [one, one, {"deep": one}["deep"]]).result(PATIENCE) == 3
    assert client.submit_verbose(dict, (), {"value": one, "list": [one]}).result(PATIENCE) == {"value": 1, "list": [1]}
    assert one.result(PATIENCE) == 1
    assert client.submit(add, one, 5).result(PATIENCE) == 6
    mapped = client.map(add, range(3))
    assert client.submit(sum, list(mapped)).result(PATIENCE) == 3


def test_a_future_may_be_dropped_at_once(client):
    last = client.submit(add, 0)
    for _ in range(200):
        last = client.submit(add, last, 1)
        gc.collect() if _ % 50 == 0 else None
    assert last.result(PATIENCE) == 200


def test_futures_among_the_elements_of_a_map(client):
    futures = [client.submit(add, i) for i in range(50)]
    assert client.map(add, futures, range(50)).results(PATIENCE) == [2 * i for i in range(50)]
    assert client.starmap(add, [(future, 1) for future in futures]).results(PATIENCE) == [i + 1 for i in range(50)]


def test_futures_with_large_values(client):
    array = client.submit(numpy.arange, 200_000)
    doubled = client.submit(operator.mul, array, 2)
    assert client.submit(numpy.sum, doubled).result(PATIENCE) == sum(range(200_000)) * 2
    assert client.submit(numpy.sum, array).result(PATIENCE) == sum(range(200_000))


def test_what_needs_a_failed_or_cancelled_future_ends_as_it_did(client, tmp_path):
    gate = str(tmp_path / "gate")
    failing = client.submit(raise_it, ValueError("bad"), client.submit(wait_for_file, gate))
    waiting = client.submit(add, failing, 1)
    Path(gate).touch()
    with pytest.raises(ValueError, match="bad") as caught:
        waiting.result(PATIENCE)
    assert any(failing.task_id in note for note in caught.value.__notes__)
    with pytest.raises(ValueError, match="bad"):
        client.submit(add, failing).result(PATIENCE)
    stuck = client.submit(wait_for_file, str(tmp_path / "never"))
    needs = client.submit(len, stuck)
    assert stuck.cancel(PATIENCE)
    with pytest.raises(concurrent.futures.CancelledError):
        needs.result(PATIENCE)
    works(client)


def test_a_future_of_another_client_is_refused_with_the_mend(client):
    with Client(client.address, timeout_seconds=PATIENCE) as other:
        with pytest.raises(PackingError, match=r"pass its result\(\) instead"):
            client.submit(add, other.submit(add, 1))
        works(client)


def test_why_a_task_waits_for_another(client, tmp_path):
    gate = tmp_path / "gate"
    future = client.submit(len, client.submit(wait_for_file, str(gate)))
    assert client.explain(future).startswith("it waits for the result of another task: it is ")
    gate.touch()
    assert future.result(PATIENCE) == len(str(gate))


def test_a_serializer_of_the_users_own(client):
    with Client(client.address, timeout_seconds=PATIENCE, serializer=CloudSerializer) as other:
        one = other.submit(add, 1)
        assert other.submit(add, one, 2).result(PATIENCE) == 3
        assert other.submit(add, one, 4).result(PATIENCE) == 5
        graph = {"a": (add, 1), "b": (add, "a", (add, "a", 2)), "data": 5, "c": (add, "b", "data")}
        assert other.get(graph, ["c", "b"]) == {"c": 9, "b": 4}


def test_retries_capabilities_and_timeout_are_every_nodes(client, tmp_path):
    counted = tmp_path / "count"

    def third_time(path):
        with open(path, "a") as file:
            file.write("x")
        if os.path.getsize(path) < 3:
            raise OSError("not yet")
        return 1

    graph = {"path": str(counted), "a": (third_time, "path"), "b": (add, "a", 1)}
    assert client.get(graph, ["b"], retries=2) == {"b": 2}
    future = client.get({"a": (add, 1), "b": (add, "a")}, ["b"], block=False, capabilities={"nowhere": -1})["b"]
    assert "another task: no node offers nowhere" in client.explain(future)
    assert future.cancel(PATIENCE)


def test_dask_computes_by_it(client):
    dask = pytest.importorskip("dask")
    numbers = [dask.delayed(add)(i, 1) for i in range(20)]
    total = dask.delayed(sum)(numbers)
    assert dask.compute(total, numbers[3], scheduler=client.get) == (210, 4)
    assert total.compute(scheduler=client.get) == 210
    assert (total + 1).compute(scheduler=client.get) == 211
    bag = pytest.importorskip("dask.bag")
    assert bag.from_sequence(range(100), npartitions=7).map(lambda x: x + 1).sum().compute(scheduler=client.get) == 5050
