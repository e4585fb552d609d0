"""Values in files that processes of one host share."""

from __future__ import annotations

import contextlib
import os
import pickle

import numpy
import pytest
from scaler import packing
from scaler._core import LEAST_SHARED, SharedBytes, fingerprint, same_bytes, share
from scaler.packing import dumps_shared, loads, pack_values, unpack_values


def random_array(size: int = LEAST_SHARED):
    return numpy.frombuffer(bytearray(os.urandom(size)), dtype=numpy.uint8)


def test_a_small_value_is_in_no_file():
    assert share([b"x" * (LEAST_SHARED - 1)]) is None
    assert type(dumps_shared(list(range(100)))) is bytes
    assert type(dumps_shared(random_array(LEAST_SHARED // 2))) is bytes


def test_parts_lie_one_after_the_other():
    parts = [os.urandom(100), bytearray(os.urandom(LEAST_SHARED)), memoryview(b"")]
    shared = share(parts)
    assert bytes(shared) == b"".join(parts)
    assert len(shared) == LEAST_SHARED + 100
    assert shared.part(50, 100, False) == bytes(shared)[50:150]
    assert memoryview(shared).readonly
    for offset, length in [(0, len(shared) + 1), (len(shared), 1), (2**63, 2**63)]:
        with pytest.raises((ValueError, OverflowError), match=r"no such part|out of range|too large|too big"):
            shared.part(offset, length, False)


def test_each_value_of_one_file_is_its_own():
    array = random_array()
    shared = dumps_shared({"array": array, "again": array})
    assert type(shared) is SharedBytes
    one, other = loads(shared), loads(shared)
    assert one["array"] is one["again"]
    one["array"] += 1
    assert (one["array"] == array + 1).all()
    assert (other["array"] == array).all()
    assert (loads(shared)["array"] == array).all()


def test_a_value_outlives_what_it_came_from():
    array = random_array()
    back = loads(dumps_shared(array))
    assert (back == array).all()
    back[:] = 0


def test_what_was_read_only_stays_so():
    array = random_array()
    array.flags.writeable = False
    back = loads(dumps_shared([array, random_array()]))
    assert [each.flags.writeable for each in back] == [False, True]


def test_large_bytes_are_beside_the_pickle_and_come_back_as_bytes():
    data, other = os.urandom(LEAST_SHARED), os.urandom(9 << 20)
    assert loads(dumps_shared(data)) == data
    back = loads(dumps_shared((data, 1, other, data, [data])))
    assert back == (data, 1, other, data, [data])
    assert [type(each) for each in back[:3]] == [bytes, int, bytes]
    assert back[0] is back[3]


def test_an_array_over_bytes_stays_an_array():
    array = numpy.frombuffer(os.urandom(LEAST_SHARED), dtype=numpy.uint8)
    back = loads(dumps_shared(array))
    assert (back == array).all()
    assert not back.flags.writeable


def test_a_process_without_files_packs_the_same_values(monkeypatch):
    array, data = random_array(), os.urandom(LEAST_SHARED)
    monkeypatch.setattr(packing, "share", lambda parts: None)
    packed = dumps_shared((array, data))
    assert type(packed) is bytes
    back = loads(packed)
    assert (back[0] == array).all()
    assert back[0].flags.writeable
    assert back[1] == data


def test_what_needs_cloudpickle_is_in_a_file_too():
    array = random_array()
    packed = dumps_shared((array, lambda: array.sum()))
    assert type(packed) is SharedBytes
    back, total = loads(packed)
    assert total() == back.sum() == array.sum()


def test_a_single_value_of_a_block_may_be_in_a_file():
    form, payload = pack_values([random_array()])
    assert type(payload) is SharedBytes
    assert len(unpack_values(form, payload, 1)) == 1
    form, payload = pack_values([random_array(), [1]])
    assert type(payload) is bytes
    assert unpack_values(form, payload, 2)[1] == [1]


@pytest.mark.parametrize("at", [0, 4, 8, 16, 24, 32])
def test_a_malformed_container_in_a_file_is_an_error_like_any_other(at):
    packed = bytearray(dumps_shared(random_array()))
    packed[at + 1 : at + 8] = b"\xff" * 7
    shared = share([bytes(packed), b"."])
    # Or it is read as something else; nothing worse comes of it.
    with contextlib.suppress(pickle.UnpicklingError, EOFError, ValueError):
        loads(shared)


def test_marks_tell_most_bytes_apart_and_comparing_the_rest():
    data = os.urandom(LEAST_SHARED)
    changed = data[:70_000] + bytes([data[70_000] ^ 1]) + data[70_001:]
    shared = share([data])
    assert fingerprint(data) == fingerprint(shared)
    assert fingerprint(data) != fingerprint(data[:-1])
    assert fingerprint(data[:-1] + bytes([data[-1] ^ 1])) != fingerprint(data) != fingerprint(b"")
    assert same_bytes(data, shared)
    assert not same_bytes(changed, shared)
    assert not same_bytes(data[:-1], data)
    assert same_bytes(b"", b"")
