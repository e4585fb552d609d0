"""Serializers of users' own: for function, arguments and result, and what happens when one fails."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import textwrap
import threading

import pytest
from scaler import Client, ScalerExecutor, Serializer
from scaler.errors import DeserializeObjectError, PackingError
from serializers import Buffers, ForgetsFunctions, MsgpackSerializer, RefusesAll, RefusesSeven, ReturnsText

PATIENCE = 60


def add(*args, **kwargs):
    return sum(args) + sum(kwargs.values())


def give(value):
    return value


@pytest.fixture
def client_with(cluster):
    """Makes clients with a serializer; at the end they must still work, and the cluster with them."""
    clients = []

    def make(serializer):
        clients.append(Client(cluster.get_address(), serializer=serializer))
        return clients[-1]

    yield make
    for client in clients:
        client.disconnect()
    with Client(cluster.get_address()) as plain:
        assert plain.map(abs, range(-10, 0)).results(PATIENCE) == list(range(10, 0, -1))


@pytest.mark.parametrize("serializer", [MsgpackSerializer, MsgpackSerializer(), Buffers])
def test_is_used_for_function_arguments_and_result(client_with, serializer):
    client = client_with(serializer)
    factor = 3
    assert client.submit(lambda x, *, y: [x * factor, y], 2, y={"a": b"b"}).result(PATIENCE) == [6, {"a": b"b"}]
    # A tuple is a list to msgpack: it was it that carried these, both ways.
    assert client.submit(give, (1, 2)).result(PATIENCE) == [1, 2]
    assert client.submit(type, (1, 2)).result(PATIENCE) is list
    assert client.map(add, range(3000), [1] * 3000).results(PATIENCE) == list(range(1, 3001))
    assert client.starmap(add, [(1, 2), (3,)]).results(PATIENCE) == [3, 3]
    assert list(client.map(give, "ab", buffersize=1)) == ["a", "b"]
    assert client.submit(len, client.send_object(list(range(50_000)))).result(PATIENCE) == 50_000
    large = bytes(300_000)
    assert client.submit(give, large).result(PATIENCE) == large


def test_arrow_carries_what_it_can(client_with):
    """Tables by Arrow's own stream, everything else beside it."""
    pyarrow = pytest.importorskip("pyarrow")
    from serializers import ArrowSerializer

    client = client_with(ArrowSerializer)
    table = pyarrow.table({"x": list(range(100_000)), "y": [str(x) for x in range(100_000)]})
    assert client.submit(give, table).result(PATIENCE).equals(table)
    assert client.submit(lambda t: t.slice(0, 3), client.send_object(table)).result(PATIENCE).equals(table.slice(0, 3))
    assert client.map(lambda t: t.num_rows, [table.slice(0, n) for n in range(5)]).results(PATIENCE) == [0, 1, 2, 3, 4]
    parts = client.map(give, [table.slice(n, 2) for n in range(5)]).results(PATIENCE)
    assert pyarrow.concat_tables(parts)["x"].to_pylist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    assert client.submit(give, {"no": "table"}).result(PATIENCE) == {"no": "table"}
    with pytest.raises(ZeroDivisionError):
        client.submit(divmod, 1, 0).result(PATIENCE)


def test_function_too_large_for_a_message_comes_sealed_as_well(client_with):
    large = bytes(5 << 20)
    client = client_with(MsgpackSerializer)
    assert client.submit(lambda x, y: (len(large), x, y), 1, y=2).result(PATIENCE) == [5 << 20, 1, 2]
    assert client.map(lambda x: (len(large), x), [1, 2]).results(PATIENCE) == [[5 << 20, 1], [5 << 20, 2]]


def test_goes_along_with_a_fork_and_with_a_pickled_client(client_with):
    client = client_with(MsgpackSerializer())
    for again in (client.fork(), pickle.loads(pickle.dumps(client))):
        with again:
            assert again.submit(give, (1, 2)).result(PATIENCE) == [1, 2]


def test_error_of_an_executors_task_is_its_futures(client_with):
    with ScalerExecutor(client_with(MsgpackSerializer)) as executor:
        refused, fine = executor.submit(give, 2j), executor.submit(give, (1, 2))
        assert isinstance(refused.exception(PATIENCE), PackingError)
        assert fine.result(PATIENCE) == [1, 2]


def test_exceptions_go_past_it(client_with):
    client = client_with(MsgpackSerializer)
    with pytest.raises(ZeroDivisionError):
        client.submit(divmod, 1, 0).result(PATIENCE)


def test_one_of_a_script_goes_by_value(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import cloudpickle
            from scaler import Client, ScalerExecutor, Serializer

            class Reversed(Serializer):
                @staticmethod
                def serialize(obj):
                    return cloudpickle.dumps(obj)[::-1]

                @staticmethod
                def deserialize(payload):
                    return cloudpickle.loads(payload[::-1])

            with Client(serializer=Reversed()) as client:
                print(client.submit(lambda x: [x], 2).result(60), client.map(abs, [-1, -2]).results(60))
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100, check=False)
    assert (done.stdout, done.stderr) == ("[2] [1, 2]\n", "")


def test_what_it_cannot_serialise_is_said_at_the_call(client_with):
    client = client_with(MsgpackSerializer)
    with pytest.raises(
        PackingError, match=r"argument 1 .*by serializer MsgpackSerializer.*no form for complex"
    ) as caught:
        client.submit(give, 1, 2j)
    assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(PackingError, match=r"argument 'y' .*no form for complex"):
        client.submit(give, 1, y=2j)
    with pytest.raises(PackingError, match="value cannot be pickled: 2j by serializer MsgpackSerializer"):
        client.send_object(2j)
    assert client.submit(give, 3).result(PATIENCE) == 3


def test_element_of_a_map_that_it_cannot_serialise_fails_alone(client_with):
    mapped = client_with(MsgpackSerializer).map(give, [1, 2j, 3])
    assert (mapped[0].result(PATIENCE), mapped[2].result(PATIENCE)) == (1, 3)
    with pytest.raises(PackingError, match=r"element 1: .*no form for complex"):
        mapped[1].result(PATIENCE)


def test_result_that_it_cannot_serialise_is_the_futures_error(client_with):
    mapped = client_with(MsgpackSerializer).map(lambda x: 2j if x == 1 else x, range(3))
    assert (mapped[0].result(PATIENCE), mapped[2].result(PATIENCE)) == (0, 2)
    with pytest.raises(PackingError, match=r"result cannot be sent back.*no form for complex"):
        mapped[1].result(PATIENCE)


def test_text_instead_of_bytes(client_with):
    client = client_with(ReturnsText)
    with pytest.raises(PackingError, match=r"argument 0 .*serialize returned str, not bytes"):
        client.submit(give, 1)
    with pytest.raises(PackingError, match=r"result cannot be sent back.*serialize returned str, not bytes"):
        client.submit(dict).result(PATIENCE)


def test_what_it_cannot_deserialise_on_the_worker_or_here(client_with):
    client = client_with(RefusesSeven)
    mapped = client.map(give, [6, 7, 8])
    assert (mapped[0].result(PATIENCE), mapped[2].result(PATIENCE)) == (6, 8)
    with pytest.raises(DeserializeObjectError, match=r"RefusesSeven.deserialize failed with ValueError: seven"):
        mapped[1].result(PATIENCE)
    future = client.submit(add, 3, 4)
    with pytest.raises(DeserializeObjectError, match=r"RefusesSeven.deserialize failed with ValueError: seven"):
        future.result(PATIENCE)
    assert client.submit(add, 3, 5).result(PATIENCE) == 8


def test_function_that_it_cannot_serialise(client_with):
    with pytest.raises(PackingError, match=r"^function give cannot be pickled: .* by serializer RefusesAll"):
        client_with(RefusesAll).submit(give, 1)


def test_every_way_to_wait_hears_of_a_result_that_cannot_be_deserialised_here(client_with):
    client = client_with(RefusesSeven)
    future = client.submit(add, 3, 4)
    assert isinstance(future.exception(PATIENCE), DeserializeObjectError)
    assert isinstance(client.map(add, [3], [4])[0].exception(PATIENCE), DeserializeObjectError)

    async def wait() -> list[object]:
        waits = (client.submit(add, 3, 4), asyncio.wrap_future(client.submit(add, 3, 4)))
        return await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), PATIENCE)

    assert [type(each) for each in asyncio.run(wait())] == [DeserializeObjectError] * 2


def test_function_that_comes_out_as_something_else(client_with):
    future = client_with(ForgetsFunctions).submit(give, 1)
    with pytest.raises(DeserializeObjectError, match=r"ForgetsFunctions.deserialize made str of the function give"):
        future.result(PATIENCE)


def test_one_that_the_worker_cannot_import(client_with, tmp_path, monkeypatch):
    # The cluster started before this module's folder was on the path.
    (tmp_path / "only_here.py").write_text(
        "from serializers import MsgpackSerializer\nclass Own(MsgpackSerializer): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from only_here import Own

    client = client_with(Own)
    for future in (client.submit(give, 1), client.map(give, [1])[0]):
        with pytest.raises(DeserializeObjectError, match=r"No module named 'only_here'.*Install"):
            future.result(PATIENCE)


class Locked(MsgpackSerializer):
    def __init__(self):
        self.lock = threading.Lock()


def test_one_that_cannot_be_sent_is_refused_when_the_client_is_made(cluster):
    with pytest.raises(PackingError, match=r"^serializer Locked\.lock cannot be pickled"):
        Client(cluster.get_address(), serializer=Locked())


class Half(Serializer):
    @staticmethod
    def serialize(obj):
        return b""


@pytest.mark.parametrize("serializer", [object(), Half])
def test_half_a_serializer_is_refused_when_the_client_is_made(cluster, serializer):
    with pytest.raises(TypeError, match=r"has no method .*serialize"):
        Client(cluster.get_address(), serializer=serializer)
