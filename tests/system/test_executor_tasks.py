"""What an executor makes of the chunks that it is given."""

import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fake_agent import FULL, NEVER, ONE, SINGLE, STAR, FakeAgent
from scaler.errors import DeserializeObjectError, MissingObjects, PackingError, RemoteError
from scaler.packing import ObjectReference, dumps


@pytest.fixture
def agent() -> Iterator[FakeAgent]:
    agent = FakeAgent(path=sys.path)
    try:
        assert agent.ready() == ""
        yield agent
    finally:
        agent.close()


def double(x: Any) -> Any:
    return x * 2


def add(a: int, b: int = 0, *, c: int = 0) -> int:
    return a + 10 * b + 100 * c


def test_one_argument_each(agent: FakeAgent) -> None:
    agent.function(double)
    assert agent.values(agent.plain([1, "a", 2.5])) == [2, "aa", 5.0]


def test_a_tuple_of_arguments_each(agent: FakeAgent) -> None:
    agent.function(add)
    assert agent.values(agent.plain([(1, 2), (3, 4)], style=STAR)) == [21, 43]


def test_positional_and_keyword_arguments(agent: FakeAgent) -> None:
    agent.function(add)
    blobs = [dumps(((1, 2), {})), dumps(((1,), {"b": 3, "c": 4}))]
    assert agent.values(agent.packed(blobs, style=FULL)) == [21, 431]


def test_a_single_element_as_submit_sends_it(agent: FakeAgent) -> None:
    agent.function(add)
    assert agent.values(agent.chunk(dumps(((5, 1), {})), 1, form=SINGLE, style=FULL)) == [15]


def test_arguments_that_are_no_plain_types(agent: FakeAgent) -> None:
    agent.function(sorted)
    assert agent.values(agent.packed([dumps([2, 1]), dumps({3, 1})], style=ONE)) == [[1, 2], [1, 3]]


def test_a_builtin_of_c(agent: FakeAgent) -> None:
    agent.function(abs)
    assert agent.values(agent.plain(list(range(-1000, 0)))) == list(range(1000, 0, -1))


def test_chunks_of_one_block(agent: FakeAgent) -> None:
    agent.function(double)
    payload = dumps(list(range(10)))
    assert agent.values(agent.chunk(payload, 10, take=4)) == [0, 2, 4, 6]
    assert agent.values(agent.chunk(None, 10, skip=4, take=5, first=104)) == [8, 10, 12, 14, 16]
    assert agent.values(agent.chunk(None, 10, skip=9, first=109)) == [18]


def test_a_forgotten_function_can_be_told_again(agent: FakeAgent) -> None:
    name = agent.function(double)
    assert agent.values(agent.plain([1])) == [2]
    agent.send([11, name])
    agent.function(abs)
    assert agent.values(agent.plain([-1])) == [1]


def divide(x: int) -> float:
    return 6 / x


def test_an_exception_is_one_elements_own(agent: FakeAgent) -> None:
    agent.function(divide)
    found, end = agent.outcomes(agent.plain([1, 0, 3, 0]))
    assert end == 4
    assert [kind for kind, _ in found] == ["value", "exception", "value", "exception"]
    assert [found[0][1], found[2][1]] == [6.0, 2.0]
    error = found[1][1]
    assert type(error) is ZeroDivisionError
    assert "in divide" in str(error.__cause__)
    assert "chunks.py" not in str(error.__cause__), "the executor's own frames are no news to the user"


def leave(how: str) -> str:
    if how == "exit":
        sys.exit(3)
    if how == "interrupt":
        raise KeyboardInterrupt("mine")
    if how == "generator":
        raise GeneratorExit
    if how == "stop":
        raise StopIteration(5)
    return how


@pytest.mark.parametrize(
    ("how", "kind"),
    [("exit", SystemExit), ("interrupt", KeyboardInterrupt), ("generator", GeneratorExit), ("stop", StopIteration)],
)
@pytest.mark.parametrize("packed", [False, True])
def test_exceptions_that_mean_something_to_the_interpreter(
    agent: FakeAgent, how: str, kind: type[BaseException], packed: bool
) -> None:
    agent.function(leave)
    elements = ["before", how, "after"]
    chunk = agent.packed([dumps(each) for each in elements], style=ONE) if packed else agent.plain(elements)
    found, _ = agent.outcomes(chunk)
    assert [name for name, _ in found] == ["value", "exception", "value"]
    assert type(found[1][1]) is kind
    if how == "exit":
        assert found[1][1].code == 3


class Exhausted(StopIteration):
    pass


def stop_at_two(x: int, *, why: str = "enough") -> int:
    if x == 2:
        raise Exhausted(x, why)
    return x


@pytest.mark.parametrize("style", [ONE, STAR, FULL])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("elements", [[2], [2, 3], [1, 2, 3]])
def test_a_stop_iteration_keeps_what_it_has(agent: FakeAgent, style: int, packed: bool, elements: list[int]) -> None:
    agent.function(stop_at_two)
    arguments: list[Any] = [each if style == ONE else (each,) if style == STAR else ((each,), {}) for each in elements]
    for _ in range(2):  # the second time the function is known
        if packed:
            found, _ = agent.outcomes(agent.packed([dumps(each) for each in arguments], style=style))
        else:
            found, _ = agent.outcomes(agent.plain(arguments, style=style))
        for element, (kind, value) in zip(elements, found, strict=True):
            assert kind == ("exception" if element == 2 else "value")
            if element == 2:
                assert (type(value), value.args, value.value) == (Exhausted, (2, "enough"), 2)
                assert "in stop_at_two" in str(value.__cause__)
            else:
                assert value == element


class Worn:
    """An iterator that has come to its end, and tells why."""

    def __next__(self) -> int:
        raise StopIteration("worn out")


class Stopping:
    def __reduce__(self) -> tuple[Any, ...]:
        return next, (Worn(),)


def test_a_stop_iteration_of_next(agent: FakeAgent) -> None:
    agent.function(next)
    found, _ = agent.outcomes(agent.packed([dumps(iter([1])), dumps(Worn()), dumps(iter([3]))], style=ONE))
    assert [kind for kind, _ in found] == ["value", "exception", "value"]
    assert found[1][1].args == ("worn out",)


def test_an_argument_whose_unpickling_raises_stop_iteration(agent: FakeAgent) -> None:
    agent.function(double)
    found, _ = agent.outcomes(agent.packed([dumps(1), dumps(Stopping()), dumps(3)], style=ONE))
    assert [kind for kind, _ in found] == ["value", "exception", "value"]
    assert isinstance(found[1][1], DeserializeObjectError)
    assert "StopIteration: worn out" in str(found[1][1])


def test_an_argument_that_cannot_be_unpickled_fails_alone(agent: FakeAgent) -> None:
    agent.function(double)
    blobs = [dumps(1), b"\x80\x05\x8c\x0bnot_a_modulq\x8c\x01x\x93.", dumps(3)]
    found, _ = agent.outcomes(agent.packed(blobs, style=ONE))
    assert [kind for kind, _ in found] == ["value", "exception", "value"]
    assert isinstance(found[1][1], DeserializeObjectError)


def test_a_function_that_cannot_be_unpickled_fails_each_of_its_elements(agent: FakeAgent) -> None:
    agent.pickled_function(dumps(double).replace(b"test_executor_tasks", b"not_there_any_where"))
    found, end = agent.outcomes(agent.plain([1, 2, 3]))
    assert end == 3
    assert [type(error) for _, error in found] == [DeserializeObjectError] * 3
    assert "ModuleNotFoundError" in str(found[0][1])
    agent.function(double, b"g" * 16)
    assert agent.values(agent.plain([4], function=b"g" * 16)) == [8]


def lock_for(x: int) -> Any:
    return threading.Lock() if x == 1 else x


def test_a_result_that_cannot_be_pickled_fails_alone(agent: FakeAgent) -> None:
    agent.function(lock_for)
    found, _ = agent.outcomes(agent.plain([0, 1, 2]))
    assert [kind for kind, _ in found] == ["value", "exception", "value"]
    assert isinstance(found[1][1], PackingError)
    assert "lock" in str(found[1][1])


class Unsendable(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("never")


def raise_unsendable() -> None:
    raise Unsendable("told all the same")


def test_an_exception_that_cannot_be_pickled_is_told(agent: FakeAgent) -> None:
    agent.function(raise_unsendable)
    ((kind, error),), _ = agent.outcomes(agent.calls(()))
    assert kind == "exception"
    assert isinstance(error, RemoteError)
    assert "told all the same" in str(error)


def text_of(size: int) -> str:
    return "x" * size


def test_large_values_travel_apart(agent: FakeAgent) -> None:
    agent.function(text_of)
    found, _ = agent.outcomes(agent.plain([5, 100_000, 7, 200_000]))
    assert [kind for kind, _ in found] == ["value", "large", "value", "large"]
    assert found[1][1] == dumps("x" * 100_000)


def test_many_small_values_that_are_much_together_stay_inline(agent: FakeAgent) -> None:
    agent.function(text_of)
    assert agent.values(agent.plain([1000] * 1000)) == ["x" * 1000] * 1000
    assert agent.values(agent.plain([60_000] * 100)) == ["x" * 60_000] * 100


def identity_of(x: list[int]) -> int:
    x.append(1)
    return len(x)


def test_a_reference_stands_for_the_object(agent: FakeAgent) -> None:
    agent.function(add)
    agent.object(dumps(7))
    reference = ObjectReference("seven", 1, agent.session, b"o" * 16)
    assert agent.values(agent.calls((reference, 1), (1, reference))) == [17, 71]
    assert agent.values(agent.packed([dumps(reference)], style=ONE)) == [7]
    assert agent.values(agent.packed([dumps((reference, 2))], style=STAR)) == [27]


def test_an_object_is_unpickled_once(agent: FakeAgent) -> None:
    agent.function(identity_of)
    agent.object(dumps([]))
    reference = ObjectReference("list", 1, agent.session, b"o" * 16)
    assert agent.values(agent.calls((reference,), (reference,))) == [1, 2]
    agent.send([55, [agent.session, b"o" * 16]])
    agent.object(dumps([]))
    assert agent.values(agent.calls((reference,))) == [1]


def test_a_missing_object_is_said(agent: FakeAgent) -> None:
    agent.function(double)
    agent.object(dumps(1), b"p" * 16)
    reference = ObjectReference("gone", 1, agent.session, b"o" * 16)
    ((_, error),), _ = agent.outcomes(agent.calls((reference,)))
    assert isinstance(error, MissingObjects)
    assert "gone" in str(error)


def test_arguments_that_lie_in_an_object(agent: FakeAgent) -> None:
    agent.function(add)
    data = dumps(((1, 2), {"c": 3}))
    agent.object(data)
    payload = agent.session.to_bytes(8, "little") + b"o" * 16 + len(data).to_bytes(8, "little")
    assert agent.values(agent.chunk(payload, 1, form=3, style=FULL)) == [321]


def read_byte(descriptor_path: str) -> str:
    with open(descriptor_path) as file:
        return file.read()


def test_a_revoked_rest_is_not_started(agent: FakeAgent, tmp_path: Any) -> None:
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    agent.function(read_byte)
    chunk = agent.plain([str(fifo)] * 5)
    with open(fifo, "w") as gate:  # opens when the first element has opened its end
        agent.revoke(chunk << 32 | 1)
        gate.write("one")
    found, end = agent.outcomes(chunk)
    assert (found, end) == ([("value", "one")], 1)
    agent.revoke(NEVER)


def test_a_chunk_revoked_before_its_start(agent: FakeAgent) -> None:
    agent.function(double)
    agent.revoke(1 << 32)
    assert agent.outcomes(agent.plain([1, 2])) == ([], 0)


def short_or_wait(path: str) -> str:
    return read_byte(path) if path else "short"


def test_finished_values_of_a_running_chunk_are_sent_when_asked_for(agent: FakeAgent, tmp_path: Any) -> None:
    fifo = tmp_path / "gate"
    os.mkfifo(fifo)
    agent.function(short_or_wait)
    assert agent.values(agent.plain([""])) == ["short"]  # the first of all comes alone
    agent.plain(["", "", str(fifo), ""])
    with open(fifo, "w") as gate:
        agent.ask_flush()
        ((message, payload),) = agent.receive()
        assert agent.read_outcome(message, payload, 0) == [("value", "short")] * 2
        gate.write("long")
    found: list[Any] = [None, None]
    while len(found) < 4:
        for message, payload in agent.receive():
            found += agent.read_outcome(message, payload, len(found))
    assert found[2:] == [("value", "long"), ("value", "short")]
