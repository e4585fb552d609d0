"""Values whose bytes lie in files already: what is written again, what is not; nobody sees another's writes."""

from __future__ import annotations

import gc
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy
import pytest
from scaler import packing
from scaler._core import LEAST_SHARED, SharedBytes, forget_copies, same_bytes, share
from scaler.packing import dumps_arguments, dumps_shared, loads

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 4 * LEAST_SHARED


def files() -> set[str]:
    """The files of values that are mapped here, by their numbers."""
    return set(re.findall(r"(\d+) +/memfd:scaler-object", Path("/proc/self/maps").read_text()))


def random_array(size: int = SIZE, dtype: type = numpy.uint8):
    return numpy.frombuffer(bytearray(os.urandom(size)), dtype=dtype)


def received(value: object):
    """(what holds its file, the value), as a worker has its arguments."""
    shared = dumps_shared(value)
    assert type(shared) is SharedBytes
    return shared, loads(shared)


@pytest.fixture(autouse=True)
def _no_files_are_left() -> Iterator[None]:
    before = files()
    yield
    gc.collect()
    forget_copies()
    assert files() == before


@pytest.fixture
def _as_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_remembers_reads", True)


def test_an_array_that_came_in_a_file_goes_in_that_file():
    sent = random_array()
    _, array = received(sent)
    before = files()
    packed = dumps_shared({"result": array, "size": array.size})
    assert files() == before
    assert len(packed.pieces()) == 3
    back = loads(packed)
    assert (back["result"] == sent).all()
    assert back["size"] == SIZE


def test_an_array_that_was_written_goes_as_it_is_now():
    sent = random_array()
    for at in (0, 5000, SIZE - 1):
        held, array = received(sent)
        before = files()
        array[at] += 1
        packed = dumps_shared(array)
        assert len(files()) == len(before) + 1, "a file of its own"
        assert (loads(packed) == array).all()
        assert (loads(held) == sent).all()
        del held, packed, array


def test_what_is_written_after_it_went_does_not_go_along():
    sent = random_array()
    _, array = received(sent)
    packed = dumps_shared(array)
    array[:] = 0
    assert (loads(packed) == sent).all()


def test_what_the_receiver_writes_stays_with_it():
    sent = random_array()
    held, array = received(sent)
    back = loads(dumps_shared(array))
    back += 1
    assert (array == sent).all()
    assert (loads(held) == sent).all()
    assert (back == sent + 1).all()


def test_views_of_one_array_do_not_share_what_is_written():
    sent = random_array()
    _, array = received(sent)
    packed = dumps_shared([array[: SIZE - 64], array[64:], array[:].view(numpy.uint16)])
    assert len(files()) == 1, "nothing was copied"
    one, other, third = loads(packed)
    one[:] = 1
    other[:] = 2
    assert (one == 1).all()
    assert (other == 2).all()
    assert (third.view(numpy.uint8) == sent).all()


def test_little_of_a_file_is_copied_and_does_not_keep_it():
    sent = random_array(8 * SIZE)
    held, array = received(sent)
    packed = dumps_shared(array[100 : SIZE + 100])
    del held, array
    assert len(files()) == 1
    assert (loads(packed) == sent[100 : SIZE + 100]).all()
    assert packed.pieces() == [len(packed)]


def test_most_of_a_file_is_not():
    sent = random_array(8 * SIZE)
    _, array = received(sent)
    before = files()
    packed = dumps_shared(array[100 : 7 * SIZE])
    assert files() == before
    assert (loads(packed) == sent[100 : 7 * SIZE]).all()


def test_a_view_with_gaps_is_copied():
    sent = random_array()
    _, array = received(sent)
    assert (loads(dumps_shared(array[::2])) == sent[::2]).all()
    columns = array.reshape(-1, 64)[:, :48]
    assert (loads(dumps_shared(columns)) == sent.reshape(-1, 64)[:, :48]).all()


def test_a_result_of_two_arguments_and_something_new():
    one, other, new = random_array(), random_array(2 * SIZE, numpy.float64), random_array()
    _, mine = received(one)
    _, yours = received(other)
    before = files()
    packed = dumps_shared([mine, new, yours, b"small", numpy.arange(10)])
    assert len(files()) == len(before) + 1, "of what is new"
    back = loads(packed)
    assert (back[0] == one).all()
    assert (back[1] == new).all()
    assert back[2].tobytes() == other.tobytes()
    assert back[3:4] == [b"small"]
    for array in back[:3]:
        array[:] = 7
    assert (mine == one).all()
    assert yours.tobytes() == other.tobytes()


def test_a_read_only_array_stays_so():
    sent = random_array()
    sent.flags.writeable = False
    _, array = received(sent)
    before = files()
    back = loads(dumps_shared([array]))
    assert files() == before
    assert not back[0].flags.writeable
    assert (back[0] == sent).all()


def test_a_value_in_pieces_is_the_bytes_that_it_would_be_in_one():
    _, array = received(random_array())
    packed = dumps_shared([array, random_array()])
    plain = bytes(packed)
    assert len(plain) == len(packed) == sum(packed.pieces())
    assert all((one == other).all() for one, other in zip(loads(plain), loads(packed), strict=True))
    assert same_bytes(packed, plain)
    assert same_bytes(packed, dumps_shared(loads(packed)))
    for start in range(0, len(plain), 100_003):
        for length in (0, 1, 5_000, LEAST_SHARED + 1):
            expected = plain[start : start + length]
            assert packed.part(start, len(expected), False) == expected


@pytest.mark.usefixtures("_as_a_worker")
def test_bytes_that_came_in_a_file_go_in_that_file():
    data, other = os.urandom(SIZE), os.urandom(SIZE)
    _, (first, second) = received((data, other))
    before = files()
    packed = dumps_shared((second, 1, first))
    assert files() == before
    assert loads(packed) == (other, 1, data)
    assert len(packed.pieces()) == 4
    assert memoryview(packed).nbytes == len(packed)
    assert type(dumps_shared([first])) is bytes, "within a list they are in its pickle"


@pytest.mark.usefixtures("_as_a_worker")
def test_a_view_of_bytes_that_came_in_a_file_too():
    _, data = received(os.urandom(SIZE))
    before = files()
    array = numpy.frombuffer(data, dtype=numpy.uint8, offset=16)
    back = loads(dumps_shared(array))
    assert files() == before
    assert back.tobytes() == data[16:]


@pytest.mark.usefixtures("_as_a_worker")
def test_bytes_that_nobody_has_keep_no_file():
    held, data = received(os.urandom(SIZE))
    del held
    forget_copies()
    assert len(files()) == 1, "the task has the bytes"
    packed = dumps_shared(data)
    assert len(files()) == 1
    del data, packed
    forget_copies()
    assert not files()


def test_who_sent_bytes_gets_the_same_object_back():
    data, more = os.urandom(SIZE), os.urandom(SIZE)
    packed = dumps_arguments((data, more, [1]))
    back = loads(packed)
    assert back[0] is data
    assert back[1] is more
    assert loads(dumps_shared(data)) is not data, "only arguments are"


def test_what_was_sent_is_let_go_of_by_its_owner():
    data = os.urandom(SIZE)
    copy = bytes(bytearray(data))
    packed = dumps_arguments((data,))
    del data
    forget_copies()
    back = loads(packed)
    assert back == (copy,)
    assert loads(packed)[0] is not back[0]


def test_a_file_that_is_written_anew_has_new_bytes():
    kept, numbers = [], set()
    for _ in range(5):
        data = os.urandom(SIZE)
        packed = dumps_arguments((data,))
        numbers |= files()
        assert loads(packed)[0] is data
        kept.append(data)
        del packed
    assert len(numbers) < 5, "a file was used again"
    assert len(set(kept)) == 5


def test_bytes_that_are_sent_again_are_not_written_again():
    data = os.urandom(SIZE)
    first = dumps_arguments((data, 1))
    before = files()
    again = dumps_arguments((data, 2))
    assert files() == before
    assert loads(again) == (data, 2)
    assert same_bytes(dumps_arguments((data, 2)), again)
    assert not same_bytes(first, again)


@pytest.mark.parametrize("size", [(8 << 20) - 1, (16 << 20) + 1, (33 << 20) + 4097])
def test_a_copy_by_several_threads_is_whole(size):
    data = os.urandom(size)
    shared = share([b"before", data, b"after"])
    assert shared.part(6, size, False) == data
    assert bytes(shared) == b"before" + data + b"after"
