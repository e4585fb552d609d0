"""Clients and references that are used after their end, and a table of all bad input and the tests that give it.

Each test ends with the proof that others still work (the fixture `client`).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest
from rows import Rows, check
from scaler import Client, ObjectReference, SchedulerClusterCombo
from scaler.errors import ClientForkedError, ClientQuitException, MissingObjects
from working import PATIENCE, proven

pytestmark = pytest.mark.timeout(180)

HERE = "tests/system/test_bad_input_clients.py::"
SERIALIZER = "tests/system/test_serializer.py::"
PLAN = "tests/unit/test_stack_plan.py::"

ROWS: Rows = {
    "a graph with a cycle, a missing key, a duplicate key": [
        "tests/system/test_graphs.py::test_a_graph_that_cannot_be_is_refused_before_anything_is_sent"
    ],
    "a typo in a TOML key, a wrong type, an unknown type, a table given twice, a duplicate worker_manager_id": [
        PLAN + "test_what_cannot_be_used_is_three_lines",
        "tests/unit/test_config.py::test_wrong_file_is_said_with_file_line_and_key",
    ],
    "an unreadable file": [
        PLAN + "test_a_file_that_cannot_be_read_is_three_lines",
        PLAN + "test_a_folder_is_no_file",
        "tests/unit/test_config.py::test_file_that_is_no_text_is_said",
    ],
    "a serializer that raises": [
        SERIALIZER + "test_what_it_cannot_serialise_is_said_at_the_call",
        SERIALIZER + "test_element_of_a_map_that_it_cannot_serialise_fails_alone",
        SERIALIZER + "test_result_that_it_cannot_serialise_is_the_futures_error",
        SERIALIZER + "test_what_it_cannot_deserialise_on_the_worker_or_here",
        SERIALIZER + "test_function_that_it_cannot_serialise",
    ],
    "a serializer that returns a wrong type": [
        SERIALIZER + "test_text_instead_of_bytes",
        SERIALIZER + "test_function_that_comes_out_as_something_else",
    ],
    "a serializer that cannot be imported on the node": [SERIALIZER + "test_one_that_the_worker_cannot_import"],
    "a reference used after clear()": [
        HERE + "test_references_after_clear",
        "tests/unit/test_client_objects.py::test_reference_that_was_cleared_is_refused_wherever_it_is_used",
    ],
    "a client used after disconnect()": [HERE + "test_client_after_disconnect"],
    "a client used in a forked child": [
        HERE + "test_client_in_a_forked_child",
        "tests/unit/test_client_submit.py::test_use_after_fork_is_a_clear_error_and_the_parent_goes_on",
    ],
    "an object larger than the quota": [
        "tests/system/test_storage_limits.py::test_an_object_larger_than_the_quota_is_told_to_its_putter_alone",
        "tests/system/test_storage_limits.py::test_arguments_and_results_larger_than_the_quota_fail_their_tasks_alone",
    ],
}


def test_all_bad_input_is_given() -> None:
    check(ROWS)


@pytest.fixture
def client(cluster: SchedulerClusterCombo) -> Iterator[Client]:
    with proven(cluster.get_address()) as client:
        yield client


def uses(client: Client, reference: ObjectReference) -> dict[str, Callable[[], object]]:
    """Whatever asks the cluster for something."""
    return {
        "submit": lambda: client.submit(len, reference).result(PATIENCE),
        "submit_verbose": lambda: client.submit_verbose(len, (reference,), {}).result(PATIENCE),
        "map": lambda: client.map(len, [reference]).results(PATIENCE),
        "starmap": lambda: client.starmap(len, [(reference,)]).results(PATIENCE),
        "lazy map": lambda: list(client.map(len, [reference], buffersize=1)),
        "get": lambda: client.get({"a": reference, "b": (len, "a")}, ["b"]),
        "send_object": lambda: client.send_object(bytes(200_000)),
        "clear": client.clear,
        "shutdown": client.shutdown,
    }


OF_REFERENCES = ["submit", "submit_verbose", "map", "starmap", "lazy map", "get"]


@pytest.mark.parametrize("use", OF_REFERENCES)
def test_references_after_clear(use: str, client: Client) -> None:
    reference = client.send_object(bytes(200_000))
    assert client.submit(len, reference).result(PATIENCE) == 200_000
    client.clear()
    with pytest.raises(MissingObjects):
        uses(client, reference)[use]()


def test_client_after_disconnect(cluster: SchedulerClusterCombo, client: Client) -> None:
    gone = Client(cluster.get_address(), timeout_seconds=PATIENCE)
    reference = gone.send_object(bytes(200_000))
    large = gone.submit(bytes, 1_000_000)
    waiting = gone.submit_verbose(abs, (-1,), {}, {"gpu": -1})
    while not large.done():
        os.sched_yield()
    gone.disconnect()
    for name, use in uses(gone, reference).items():
        with pytest.raises(ClientQuitException, match="was disconnected"):
            pytest.fail(f"{name} gave {use()!r}")
    assert waiting.cancelled()
    assert waiting.cancel()
    assert "is done" in gone.explain(waiting)
    # Its value was in object storage, and went with its client.
    with pytest.raises((ClientQuitException, MissingObjects)):
        large.result(PATIENCE)


def test_client_in_a_forked_child(client: Client) -> None:
    reference = client.send_object(bytes(200_000))
    pending = client.submit_verbose(abs, (-1,), {}, {"gpu": -1})
    large = client.submit(bytes, 1_000_000)
    while not large.done():
        os.sched_yield()
    asked = {
        **uses(client, reference),
        "result": lambda: pending.result(PATIENCE),
        "large result": lambda: large.result(PATIENCE),
    }
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        for name, use in asked.items():
            try:
                said = f"gave {use()!r}"
            except BaseException as error:
                said = type(error).__name__
            os.write(write, f"{name}: {said}\n".encode())
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        said = pipe.read().splitlines()
    os.waitpid(child, 0)
    assert said == [f"{name}: {ClientForkedError.__name__}" for name in asked]
    assert pending.cancel()
    assert large.result(PATIENCE) == bytes(1_000_000)
