"""`Client.get`: graphs by its own rules and by dask's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from scaler._core import Options
from scaler.client.functions import Function
from scaler.client.futures import ScalerFuture
from scaler.client.graph import Key
from scaler.client.graph_submission import GraphSubmission

if TYPE_CHECKING:
    from scaler.client.client import Client


def get(
    client: Client,
    graph: Any,
    keys: Any,
    block: bool,
    options_of: Callable[[Function], Options],
    reserialize: bool,
) -> Any:
    if not isinstance(graph, Mapping):
        if not hasattr(graph, "__dask_graph__"):
            raise TypeError(f"a graph is a dict of nodes by key, not {type(graph).__name__}")
        graph = graph.__dask_graph__()
    if not isinstance(keys, list | tuple) or (isinstance(keys, tuple) and _is_key(graph, keys)):
        # One key, as dask asks for it.
        return _values(_futures(client, graph, [keys], options_of, reserialize))[keys]
    flat = list(_flat(keys))
    if not _asked_by_dask(graph, keys):
        twice = {key for key in flat if flat.count(key) > 1} if len(set(flat)) < len(flat) else None
        if twice:
            error = KeyError(next(iter(twice)))
            error.add_note("it is twice in `keys`")
            raise error
        futures = _futures(client, graph, flat, options_of, reserialize)
        return _values(futures) if block else {key: _future(client, value) for key, value in futures.items()}
    values = _values(_futures(client, graph, list(dict.fromkeys(flat)), options_of, reserialize))
    return _shaped(keys, values)


def _is_key(graph: Mapping[Key, Any], keys: tuple[Any, ...]) -> bool:
    try:
        return keys in graph
    except TypeError:
        return False


def _asked_by_dask(graph: Mapping[Key, Any], keys: Any) -> bool:
    """Its nodes are of dask's kinds, or the keys lie in lists: what is returned has the form of the keys."""
    if any(isinstance(key, list) for key in keys):
        return True
    first = next(iter(graph.values()), None)
    return type(first).__module__.startswith("dask.")


def _flat(keys: Iterable[Any]) -> Iterable[Any]:
    for key in keys:
        if isinstance(key, list):
            yield from _flat(key)
        else:
            yield key


def _shaped(keys: Any, values: dict[Key, Any]) -> Any:
    if isinstance(keys, list):
        return tuple([_shaped(key, values) for key in keys])
    return values[keys]


def _futures(
    client: Client,
    graph: Mapping[Key, Any],
    keys: list[Key],
    options_of: Callable[[Function], Options],
    reserialize: bool,
) -> dict[Key, Any]:
    known: dict[int, Function] = {}

    def function_of(function: Callable[..., Any]) -> Function:
        found = known.get(id(function))
        if found is None:
            found = known[id(function)] = client._functions.get(function, reserialize)
        return found

    options: dict[int, Options] = {}

    def shared_options(function: Function) -> Options:
        found = options.get(id(function))
        if found is None:
            found = options[id(function)] = options_of(function)
        return found

    submission = GraphSubmission(
        client._conversation, graph, keys, function_of, shared_options, client._inline_limit, client._seal
    )
    return submission.send()


def _values(futures: dict[Key, Any]) -> dict[Key, Any]:
    """Waits for all; the first error cancels the rest."""
    try:
        return {key: value.result() if isinstance(value, ScalerFuture) else value for key, value in futures.items()}
    except BaseException:
        for future in futures.values():
            if isinstance(future, ScalerFuture) and future._outcome is None:
                future._ask_to_end()
                break
        raise


def _future(client: Client, value: Any) -> ScalerFuture:
    """Also of data."""
    if isinstance(value, ScalerFuture):
        return value
    from scaler.client.outcomes import Known

    future = ScalerFuture(client._conversation, 0)
    future._outcome = Known(value)
    return future
