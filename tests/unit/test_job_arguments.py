"""A job's arguments: packed by a host that unpickles nothing, put together in the job."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from scaler import Client
from scaler._core import (
    FORM_LIST,
    FORM_REFERENCE,
    FORM_SINGLE,
    FORM_TABLE,
    STYLE_FULL,
    STYLE_ONE,
    STYLE_STAR,
)
from scaler.errors import MissingObjects, NotSupportedError
from scaler.inputs import Input
from scaler.managers.api import Job, pack_job, run_job
from scaler.managers.api.jobs import EXCEPTION, VALUE, unpack_outcome
from scaler.managers.arguments import pack_arguments, reading, reference_of
from scaler.packing import ObjectReference, dumps, loads, pack_table, unpack_exception

HASH = bytes(range(16))
SESSION = 7


def unpacked(*told: Any, read: Callable[[str], bytes] | None = None) -> tuple[list[Any], dict[str, Any]]:
    packed = pack_arguments(*told)
    with reading(read):
        args, kwargs = loads(packed)
    return list(args), kwargs


@pytest.mark.parametrize(
    ("style", "element", "expected"),
    [
        (STYLE_FULL, ((1, [2]), {"three": 3}), ([1, [2]], {"three": 3})),
        (STYLE_ONE, [1, 2], ([[1, 2]], {})),
        (STYLE_STAR, (1, [2]), ([1, [2]], {})),
    ],
)
@pytest.mark.parametrize("form", [FORM_SINGLE, FORM_TABLE])
def test_each_way_in_which_clients_pack_an_element(style: int, form: int, element: Any, expected: Any) -> None:
    blob = dumps(element)
    entry = (form, 1, 0, blob) if form == FORM_SINGLE else (form, 3, 1, pack_table([b"", blob, b"other"]))
    assert unpacked(style, entry) == expected


def test_an_element_of_a_list() -> None:
    assert unpacked(STYLE_ONE, (FORM_LIST, 3, 2, pickle.dumps([1, 2, 3], 5))) == ([3], {})


def test_what_the_client_packed_as_a_call_is_passed_on_as_it_is() -> None:
    blob = dumps(((1,), {}))
    assert pack_arguments(STYLE_FULL, (FORM_SINGLE, 1, 0, blob)) == blob


class Bomb:
    """To be unpickled in the job alone."""

    here = False

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        return Bomb._explode, ()

    @staticmethod
    def _explode() -> str:
        assert Bomb.here, "the host has unpickled it"
        return "unpickled"


@pytest.mark.parametrize("style", [STYLE_ONE, STYLE_FULL])
def test_nothing_is_unpickled_where_it_is_packed(style: int) -> None:
    blob = dumps(Bomb() if style == STYLE_ONE else ((Bomb(),), {}))
    taken = [(FORM_TABLE, 2, 1, pack_table([dumps(Bomb()), dumps(Bomb())]))]
    packed = pack_arguments(style, (FORM_TABLE, 1, 0, pack_table([blob])), taken)
    Bomb.here = True
    try:
        assert list(loads(packed)[0]) == ["unpickled"]
    finally:
        Bomb.here = False


def test_large_arguments_are_read_where_the_objects_are() -> None:
    name = SESSION.to_bytes(8, "little") + HASH + (9).to_bytes(8, "little")
    objects = {reference_of(SESSION, HASH): dumps(((1, 2), {}))}
    assert unpacked(STYLE_FULL, (FORM_REFERENCE, 1, 0, name), read=objects.__getitem__) == ([1, 2], {})
    with pytest.raises(MissingObjects):
        unpacked(STYLE_FULL, (FORM_REFERENCE, 1, 0, name))


def test_values_of_other_tasks_stand_where_they_belong() -> None:
    entry = (FORM_SINGLE, 1, 0, dumps(((Input(0), [Input(1)]), {"named": Input(2)})))
    taken = [
        (FORM_LIST, 3, 2, pickle.dumps([1, 2, 3], 5)),
        (FORM_TABLE, 2, 1, pack_table([dumps("a"), dumps("b")])),
        (FORM_SINGLE, 1, 0, dumps({"c": 1})),
    ]
    assert unpacked(STYLE_FULL, entry, taken) == ([3, ["b"]], {"named": {"c": 1}})


def outcome(function: Callable[..., Any], arguments: bytes, **objects: bytes) -> tuple[int, Any]:
    job = Job("id", 1, "name", dumps(function), arguments, list(objects), "", 0.0, 0, {})
    kind, payload = unpack_outcome(run_job(pack_job(job), objects.__getitem__))
    return kind, loads(payload) if kind == VALUE else unpack_exception(payload)


def test_objects_among_the_arguments_of_a_map_are_put_in_their_place() -> None:
    reference = ObjectReference("shared", 9, SESSION, HASH)
    packed = pack_arguments(STYLE_ONE, (FORM_SINGLE, 1, 0, dumps(reference)))
    assert outcome(len, packed, **{reference_of(SESSION, HASH): dumps([1, 2, 3])}) == (VALUE, 3)


def make_a_client() -> str:
    return Client(timeout_seconds=0.001).address


def test_a_client_in_a_job_needs_an_environment_that_names_scheduler_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = dumps(((), {}))
    kind, error = outcome(make_a_client, arguments)
    assert (kind, type(error)) == (EXCEPTION, NotSupportedError)
    assert "SCALER_SCHEDULER_ADDRESS and SCALER_KEY" in str(error)
    monkeypatch.setenv("SCALER_SCHEDULER_ADDRESS", "tcp://127.0.0.1:1")
    assert type(outcome(make_a_client, arguments)[1]) is NotSupportedError
    monkeypatch.setenv("SCALER_INSECURE", "1")
    kind, error = outcome(make_a_client, arguments)
    assert isinstance(error, ConnectionError), error
