"""`Loop(manager=…)`: its requests and answers, without a scheduler."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from scaler import _core

ENTRY = ("m-0-1", 2, [("gpu", 1)], "started", "pid 7")


@contextmanager
def running(**settings: Any) -> Iterator[_core.Loop]:
    loop = _core.Loop(manager={"id": "m", "driver": "d", "heartbeat": 0.01, **settings})
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield loop
    finally:
        loop.stop()
        thread.join()


def request(loop: _core.Loop, kind: str, units: list[tuple[str, str, str, str]] | None = None) -> tuple[Any, ...]:
    """The next of that kind. units: what heartbeats that come before it are told."""
    while True:
        found = loop.next_request(30)
        assert found is not None, f"no request {kind!r} in time"
        if found[0] == kind:
            return found
        if found[0] == "heartbeat" and units is not None:
            loop.manager_units(found[1], units)


def test_a_manager_asks_for_a_connection_and_looks_at_the_infrastructure() -> None:
    with running() as loop:
        assert request(loop, "connect") == ("connect", "scheduler", 0)
        assert request(loop, "heartbeat") == ("heartbeat", 1)


def test_a_unit_that_is_found_is_recorded_and_ended_when_the_manager_leaves() -> None:
    with running(slots=3) as loop:
        there = [("stranger", "pid 9", "running", "")]
        _, number, entries = request(loop, "record", there)
        assert entries == [("stranger", 3, [], "started", "pid 9")]
        loop.manager_recorded(number)
        loop.manager_leave()
        _, call, groups = request(loop, "shutdown", there)
        assert groups == ["stranger"]
        loop.manager_done(call)
        _, call = request(loop, "cleanup", [])
        loop.manager_failed(call, "permanent", "busy")
        exit_request = request(loop, "exit")
        assert exit_request[1] is True
        assert "cleaning up failed: busy" in exit_request[2]


def test_entries_of_the_ledger_are_taken_up() -> None:
    with running(entries=[ENTRY]) as loop:
        _, _, entries = request(loop, "record", [("m-0-1", "pid 8", "running", "")])
        assert entries == [("m-0-1", 2, [("gpu", 1)], "started", "pid 8")]


def test_a_hook_that_hangs_asks_for_a_new_start() -> None:
    with running(deadline=0.01) as loop:
        request(loop, "heartbeat")
        assert "heartbeat" in request(loop, "restart")[1]


def test_a_heartbeat_that_failed_is_made_again() -> None:
    with running() as loop:
        _, call = request(loop, "heartbeat")
        loop.manager_failed(call, "throttled", "slow down", retry_after=0.001)
        assert request(loop, "heartbeat")[1] > call


def test_states_and_kinds_that_are_none_are_refused() -> None:
    loop = _core.Loop(manager={})
    with pytest.raises(ValueError, match='one of pending, running, succeeded, failed, gone, not "up"'):
        loop.manager_units(1, [("a", "", "up", "")])
    with pytest.raises(ValueError, match="one of throttled"):
        loop.manager_failed(1, "odd", "")
    with pytest.raises(ValueError, match="one of intended"):
        _core.Loop(manager={"entries": [("a", 1, [], "odd", "")]})


def test_a_manager_has_a_loop_of_its_own() -> None:
    with pytest.raises(ValueError, match="of its own"):
        _core.Loop(manager={}, store={})
    with pytest.raises(ValueError, match="no worker manager"):
        _core.Loop(store={}).manager_leave()
    with pytest.raises(ValueError, match='no setting "most_group"; the nearest is "most_groups"'):
        _core.Loop(manager={"most_group": 1})


def test_jobs_want_a_manager_and_a_node_that_offloads() -> None:
    jobs, node = {"run": 1}, {"name": "jobs", "offload": True}
    for parts in ({"manager": jobs}, {"node": node}, {"manager": jobs, "node": {}}, {"manager": {}, "node": node}):
        with pytest.raises(ValueError, match="a node that offloads"):
            _core.Loop(**parts)
    loop = _core.Loop(manager=jobs, node=node)
    loop.jobs_collected(1, [("a", "value", b""), ("b", "exception", b""), ("c", "lost", b"why")])
    loop.jobs_not_collected(1, "slow down", 0.5)
    with pytest.raises(ValueError, match='an exception or lost, not "odd"'):
        loop.jobs_collected(1, [("a", "odd", b"")])
