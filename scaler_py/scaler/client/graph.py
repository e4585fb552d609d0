"""A graph as its user writes it, read into calls in an order in which each comes after what it needs.

A node `(callable, argument, …)` is a call; anything else is data. An argument that is a key of the graph stands for
that node's value, also within lists and nested calls. Nodes of dask's own kinds are understood too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError
from typing import Any

from scaler.expressions import Expression, contains_call, evaluate, run_dask_task
from scaler.inputs import Input

# Nodes that are near each other in depth-first order are sorted by level and function, so that what is alike travels
# together; so many of them at a time, so that not all leaves come before the first sum.
SEGMENT = 8192

Key = Hashable
# Types of an argument that may be a key.
_KEY_TYPES = (str, tuple, int, bytes)


@dataclass(slots=True)
class Call:
    """args: with an `Input` for the value of each entry of `needs`, in order. pure: nothing but these."""

    key: Key
    function: Callable[..., Any]
    args: tuple[Any, ...]
    needs: list[Key]
    pure: bool
    level: int = 0


@dataclass(slots=True)
class Plan:
    """What `keys` need: calls in order, and data. names: the key of each wanted one that stands for another."""

    calls: list[Call] = field(default_factory=list)
    data: dict[Key, Any] = field(default_factory=dict)
    names: dict[Key, Key] = field(default_factory=dict)

    def resolved(self, key: Key) -> Key:
        return self.names.get(key, key)


def read(graph: Mapping[Key, Any], keys: Iterable[Key]) -> Plan:
    """KeyError for a key that is not there, CycleError for nodes that need each other."""
    reader = _Reader(graph)
    for key in keys:
        reader.visit(key)
    plan = reader.plan
    calls = plan.calls
    for start in range(0, len(calls), SEGMENT):
        calls[start : start + SEGMENT] = sorted(
            calls[start : start + SEGMENT], key=lambda call: (call.level, id(call.function))
        )
    return plan


class _Reader:
    def __init__(self, graph: Mapping[Key, Any]) -> None:
        self.plan = Plan()
        self._graph = graph
        self._dask = sys.modules.get("dask._task_spec")
        self._levels: dict[Key, int] = {}
        self._open: dict[Key, None] = {}

    def visit(self, wanted: Key) -> None:
        """Reads a node and all that it needs, depth first."""
        if wanted not in self._graph:
            raise KeyError(wanted)
        # What is open, each with the needs that are still to be read.
        stack: list[tuple[Key, Call | None, list[Key]]] = []
        self._enter(wanted, stack)
        while stack:
            key, call, todo = stack[-1]
            if todo:
                self._enter(todo.pop(), stack)
                continue
            stack.pop()
            del self._open[key]
            if call is None:
                continue  # data, or another name
            levels = self._levels
            call.needs = [self.plan.resolved(need) for need in call.needs]
            call.level = levels[key] = 1 + max((levels.get(need, 0) for need in call.needs), default=0)
            self.plan.calls.append(call)

    def _enter(self, key: Key, stack: list[tuple[Key, Call | None, list[Key]]]) -> None:
        if key in self._levels or key in self.plan.data or key in self.plan.names:
            return
        if key in self._open:
            cycle = [*list(self._open)[list(self._open).index(key) :], key]
            raise CycleError("nodes are in a cycle", cycle)
        self._open[key] = None
        node = self._graph[key]
        dask = self._dask
        if dask is not None and isinstance(node, dask.GraphNode):
            self._enter_dask(key, node, stack)
        elif type(node) is tuple and node and callable(node[0]):
            call = self._call(key, node)
            stack.append((key, call, call.needs[::-1]))
        else:
            self.plan.data[key] = node
            del self._open[key]

    def _enter_dask(self, key: Key, node: Any, stack: list[tuple[Key, Call | None, list[Key]]]) -> None:
        assert self._dask is not None
        if isinstance(node, self._dask.DataNode):
            self.plan.data[key] = node()
            del self._open[key]
        elif isinstance(node, self._dask.Alias) and node.target != key:
            self._known(node.target, key)
            stack.append((key, None, [node.target]))
            self._alias(key, node.target)
        else:
            needs = list(node.dependencies)
            for need in needs:
                self._known(need, key)
            args = (node, needs, *map(Input, range(len(needs))))
            call = Call(key, run_dask_task, args, needs, pure=False)
            stack.append((key, call, needs[::-1]))

    def _alias(self, key: Key, target: Key) -> None:
        """Names that stand for names are followed when all are known."""
        graph, dask = self._graph, self._dask
        assert dask is not None
        seen = {key}
        while isinstance(node := graph.get(target), dask.Alias) and node.target != target:
            if target in seen:
                raise CycleError("nodes are in a cycle", [*seen, target])
            seen.add(target)
            target = node.target
        self.plan.names[key] = target

    def _known(self, need: Key, key: Key) -> None:
        if need not in self._graph:
            error = KeyError(need)
            error.add_note(f"node {key!r} needs it, and it is not in the graph")
            raise error

    def _call(self, key: Key, node: tuple[Any, ...]) -> Call:
        needs: list[Key] = []
        args = tuple([self._argument(key, argument, needs, True) for argument in node[1:]])
        if any(map(contains_call, args)):
            return Call(key, evaluate, (Expression(node[0], args),), needs, pure=False)
        pure = len(needs) == len(args) and all(type(argument) is Input for argument in args)
        return Call(key, node[0], args, needs, pure)

    def _argument(self, key: Key, argument: Any, needs: list[Key], own: bool) -> Any:
        """own: an argument of the node itself, where a text that is no key is taken for a mistake."""
        kind = type(argument)
        if kind in _KEY_TYPES:
            try:
                if argument in self._graph:
                    needs.append(argument)
                    return Input(len(needs) - 1)
            except TypeError:
                pass  # a tuple that holds what has no hash
            if kind is tuple and argument and callable(argument[0]):
                inner = tuple([self._argument(key, entry, needs, own) for entry in argument[1:]])
                return Expression(argument[0], inner)
            if kind is str and own:
                error = KeyError(argument)
                error.add_note(
                    f"node {key!r} needs it, and it is not in the graph; a text that is no key is data: "
                    "give it a key of its own, or put it into a list"
                )
                raise error
        elif kind is list:
            return [self._argument(key, entry, needs, False) for entry in argument]
        return argument
