"""Reading a graph: which calls, in which order, with which arguments."""

from __future__ import annotations

import operator
import pickle
from graphlib import CycleError
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scaler import inputs
from scaler.client.graph import SEGMENT, Plan, read
from scaler.expressions import evaluate
from scaler.inputs import Input


def run(plan: Plan, key: Any) -> Any:
    """What workers do, here."""
    values = dict(plan.data)
    for call in plan.calls:
        blob = pickle.dumps(call.args)
        inputs.current = [values[need] for need in call.needs]
        values[call.key] = call.function(*pickle.loads(blob))
    return values[plan.resolved(key)]


def computed(graph: dict[Any, Any], key: Any) -> Any:
    return run(read(graph, [key]), key)


def test_an_argument_that_is_a_key_stands_for_its_value() -> None:
    graph = {"a": 1, "b": (operator.add, "a", 10), ("c", 0): (operator.mul, "b", "b"), 7: (operator.neg, ("c", 0))}
    assert computed(graph, ("c", 0)) == 121
    assert computed(graph, 7) == -121


def test_calls_and_lists_within_a_node_are_one_task() -> None:
    graph = {"a": 1, "b": (sum, ["a", 2, (operator.neg, (operator.add, "a", 1))])}
    plan = read(graph, ["b"])
    assert [call.key for call in plan.calls] == ["b"]
    assert plan.calls[0].function is evaluate
    assert run(plan, "b") == 1


@pytest.mark.parametrize("data", [3, None, "text", (1, 2), [1], {"x": "a"}, len, ("text", len), ()])
def test_what_does_not_begin_with_a_callable_is_data(data: Any) -> None:
    plan = read({"a": data}, ["a"])
    assert plan.data == {"a": data}
    assert plan.calls == []


def test_only_what_the_keys_need_is_read() -> None:
    plan = read({"a": 1, "b": (abs, "a"), "other": (abs, "missing")}, ["b"])
    assert [call.key for call in plan.calls] == ["b"]


def test_a_callable_alone_is_called_without_arguments() -> None:
    assert computed({"a": (dict,)}, "a") == {}


def test_a_missing_key_is_named_with_who_needs_it() -> None:
    with pytest.raises(KeyError) as caught:
        read({"a": (abs, "nope")}, ["a"])
    assert caught.value.args == ("nope",)
    assert "node 'a' needs it" in caught.value.__notes__[0]
    with pytest.raises(KeyError, match="nobody"):
        read({"a": 1}, ["nobody"])


def test_a_text_in_a_list_is_data_unless_it_is_a_key() -> None:
    assert computed({"a": "x", "b": ("-".join, ["a", "plain"])}, "b") == "x-plain"


def test_a_cycle_is_named() -> None:
    graph = {"a": (abs, "b"), "b": (abs, "c"), "c": (abs, "b")}
    with pytest.raises(CycleError) as caught:
        read(graph, ["a"])
    assert caught.value.args == ("nodes are in a cycle", ["b", "c", "b"])
    with pytest.raises(CycleError):
        read({"a": (abs, "a")}, ["a"])


def test_a_chain_may_be_as_long_as_memory_allows() -> None:
    graph: dict[Any, Any] = {("x", 0): 0}
    graph |= {("x", i): (operator.add, ("x", i - 1), (operator.mul, 1, 1)) for i in range(1, 30_000)}
    assert computed(graph, ("x", 29_999)) == 29_999


def test_neighbours_of_one_function_stand_together() -> None:
    leaves = {f"leaf {i}": (abs, -i) for i in range(100)}
    sums = {f"sum {i}": (operator.add, f"leaf {2 * i}", f"leaf {2 * i + 1}") for i in range(50)}
    plan = read({**leaves, **sums}, list(sums))
    assert [call.function for call in plan.calls] == [abs] * 100 + [operator.add] * 50
    assert all(call.pure for call in plan.calls[100:])
    assert not any(call.pure for call in plan.calls[:100])


def test_in_a_large_graph_the_first_results_do_not_wait_for_all_leaves() -> None:
    pairs = {("sum", i): (operator.add, ("leaf", 2 * i), ("leaf", 2 * i + 1)) for i in range(SEGMENT)}
    leaves = {("leaf", i): (abs, -i) for i in range(2 * SEGMENT)}
    places = {call.key: place for place, call in enumerate(read({**leaves, **pairs}, list(pairs)).calls)}
    assert min(places["sum", i] for i in range(SEGMENT)) < SEGMENT


@st.composite
def graphs(draw: st.DrawFn) -> dict[int, Any]:
    graph: dict[int, Any] = {}
    for key in range(draw(st.integers(1, 12))):
        before = st.integers(0, key - 1).map(Input) if key else st.nothing()
        argument = st.recursive(
            before | st.floats(0, 1), lambda inner: st.lists(inner, max_size=3) | st.tuples(st.just(_gather), inner)
        )
        graph[key] = (_gather, *_keys(draw(st.lists(argument, max_size=3)))) if draw(st.booleans()) else 0.5 + key
    return graph


def _gather(*values: Any) -> list[Any]:
    return [*values, len(values)]


def _keys(value: Any) -> Any:
    """Inputs stand for keys here: numbers would be taken for them."""
    if isinstance(value, Input):
        return value.position
    return type(value)(map(_keys, value)) if isinstance(value, list | tuple) else value


def _plainly(graph: dict[int, Any], value: Any) -> Any:
    if type(value) is int and value in graph:
        return _plainly(graph, graph[value])
    if type(value) is tuple and value and callable(value[0]):
        return value[0](*[_plainly(graph, entry) for entry in value[1:]])
    return [_plainly(graph, entry) for entry in value] if type(value) is list else value


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_any_graph_gives_what_its_text_says(graph: dict[int, Any]) -> None:
    key = len(graph) - 1
    assert computed(graph, key) == _plainly(graph, key)


class TestDask:
    def test_nodes_of_its_own_kinds(self) -> None:
        spec = pytest.importorskip("dask._task_spec")
        graph = {
            "x": spec.DataNode("x", 3),
            "y": spec.Task("y", operator.add, spec.TaskRef("x"), spec.TaskRef("z")),
            "z": spec.Alias("z", "w"),
            "w": spec.Task("w", operator.neg, 1),
        }
        assert computed(graph, "y") == 2
        assert computed(graph, "z") == -1
