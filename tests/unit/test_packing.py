"""Values, blocks and exceptions as bytes."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scaler._core import FORM_LIST, FORM_SINGLE, FORM_TABLE
from scaler.errors import PackingError, RemoteError, RemoteTraceback
from scaler.packing import (
    ObjectReference,
    dumps,
    is_plain,
    loads,
    pack_exception,
    pack_values,
    single_value,
    unpack_exception,
    unpack_values,
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)


@settings(max_examples=60)
@given(st.lists(plain | st.lists(plain, max_size=3) | st.sets(st.integers(), max_size=3), min_size=1, max_size=20))
def test_block_gives_back_its_values_at_once_and_one_by_one(values):
    form, payload = pack_values(values)
    assert unpack_values(form, payload, len(values)) == values
    assert [single_value(form, payload, len(values), i) for i in range(len(values))] == values


def test_form_follows_from_the_values():
    assert pack_values([[1]])[0] == FORM_SINGLE
    assert pack_values([1, 2.0, True, None, "x", b"y", (1, ("z",)), ()])[0] == FORM_LIST
    assert pack_values([1, [2]])[0] == FORM_TABLE
    assert pack_values([(1, [2]), 3])[0] == FORM_TABLE


def test_subclass_of_a_plain_type_is_not_plain():
    class Count(int):
        pass

    assert not is_plain([Count(1), 2])
    assert is_plain([])


def test_elements_that_share_a_list_do_not_share_it_afterwards():
    shared = [1]
    form, payload = pack_values([shared, shared])
    first, second = unpack_values(form, payload, 2)
    first.append(2)
    assert second == [1]


def test_element_that_cannot_be_pickled_is_named_with_its_index_and_path():
    with pytest.raises(PackingError, match=r"element 1: value\['conn'\]\[0\] cannot be pickled: <unlocked") as caught:
        pack_values([[1], {"conn": [threading.Lock()]}])
    assert (caught.value.index, caught.value.path) == (1, "['conn'][0]")


class Holder:
    def __init__(self, conn):
        self.conn = conn


def test_path_goes_through_attributes_closures_and_globals():
    with pytest.raises(PackingError) as caught:
        dumps(Holder({"x": threading.Lock()}))
    assert caught.value.path == ".conn['x']"
    lock = threading.Lock()
    with pytest.raises(PackingError) as caught:
        dumps(lambda: lock)
    assert "closure variable 'lock'" in caught.value.path


def test_large_buffers_lie_beside_the_pickle_and_come_back_writable():
    array = numpy.arange(10_000.0)
    payload = dumps({"a": array, "b": array[::2].copy()})
    assert payload[0] == 0
    back = loads(payload)
    assert (back["a"] == array).all()
    assert (back["b"] == array[::2]).all()
    back["a"][0] = 5
    assert loads(payload)["a"][0] == 0


def test_buffers_of_a_writable_payload_are_mapped_not_copied():
    payload = bytearray(dumps(numpy.zeros(10_000)))
    array = loads(payload)
    array[:] = 1
    assert loads(payload).sum() == 10_000
    assert array.ctypes.data % 8 == 0


def test_read_only_array_stays_read_only():
    array = numpy.zeros(10_000)
    array.flags.writeable = False
    assert not loads(dumps(array)).flags.writeable


def test_small_buffers_stay_inside_the_pickle():
    payload = dumps(numpy.arange(10))
    assert payload[0] == 0x80
    assert (loads(payload) == numpy.arange(10)).all()


def test_table_with_containers_in_it_comes_back():
    values = [numpy.full(5_000, i) for i in range(3)]
    form, payload = pack_values(values)
    assert form == FORM_TABLE
    for i, value in enumerate(unpack_values(form, payload, 3)):
        assert (value == values[i]).all()
        assert (single_value(form, payload, 3, i) == values[i]).all()


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=60), st.integers(1, 5))
def test_malformed_payload_raises_and_does_not_crash(payload, count):
    for form in (FORM_LIST, FORM_TABLE, FORM_SINGLE):
        if form == FORM_LIST or payload[0] != 0:
            payload = b"\x00" + payload  # never a pickle: its bytes could do anything
        with pytest.raises(Exception):  # noqa: B017, PT011 - any exception, but no crash
            unpack_values(form, b"\x00" + payload, count)


def test_reference_is_equal_by_the_object_not_the_name():
    one = ObjectReference("a", 5, 7, b"h" * 16)
    assert one == ObjectReference("b", 5, 7, b"h" * 16)
    assert hash(one) == hash(pickle.loads(pickle.dumps(one)))
    assert one != ObjectReference("a", 5, 8, b"h" * 16)


class TwoArgumentsError(Exception):
    def __init__(self, code, why):
        super().__init__(f"{code}: {why}")
        self.code, self.why = code, why


class FileTroubleError(OSError):
    def __init__(self, path, extra):
        super().__init__(2, "no such thing", path)
        self.extra = extra


class SlotError(Exception):
    __slots__ = ("detail",)


class OwnReduceError(Exception):
    def __init__(self, a, *, b):
        super().__init__(a)
        self.b = b

    def __reduce__(self):
        return _make_own, (self.args[0], self.b)


def _make_own(a, b):
    return OwnReduceError(a, b=b)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def there_and_back(error: BaseException) -> BaseException:
    return unpack_exception(pack_exception(raised(error)))


def test_exception_comes_with_its_type_attributes_and_remote_traceback():
    error = ValueError("bad", 3)
    error.where = "here"
    back = there_and_back(error)
    assert type(back) is ValueError
    assert back.args == ("bad", 3)
    assert back.where == "here"
    assert isinstance(back.__cause__, RemoteTraceback)
    assert "in raised" in str(back.__cause__)
    assert "in raised" in back.__notes__[-1]


def test_exception_whose_class_wants_other_arguments_is_rebuilt():
    back = there_and_back(TwoArgumentsError(5, "late"))
    assert type(back) is TwoArgumentsError
    assert (str(back), back.code, back.why) == ("5: late", 5, "late")
    file = there_and_back(FileTroubleError("/x", "y"))
    assert (file.errno, file.filename, file.extra) == (2, "/x", "y")
    slot = SlotError("s")
    slot.detail = 4
    assert there_and_back(slot).detail == 4
    assert there_and_back(OwnReduceError(1, b=2)).b == 2


@pytest.mark.parametrize(
    "error",
    [
        KeyError("k"),
        SystemExit(3),
        KeyboardInterrupt(),
        StopIteration(7),
        FileNotFoundError(2, "gone", "/a", None, "/b"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ExceptionGroup("g", [ValueError(1), TwoArgumentsError(1, "x")]),
        RemoteError("a.B", "text"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_of_the_standard_library_keep_what_they_know(error):
    back = there_and_back(error)
    assert type(back) is type(error)
    assert str(back) == str(error)
    for name in ("code", "value", "errno", "filename", "filename2", "reason"):
        assert getattr(back, name, None) == getattr(error, name, None)


def test_attribute_that_cannot_be_pickled_is_left_out_with_a_note():
    error = TwoArgumentsError(1, "x")
    error.lock = threading.Lock()
    back = there_and_back(error)
    assert type(back) is TwoArgumentsError
    assert back.why == "x"
    assert not hasattr(back, "lock")
    assert any("lock" in note for note in back.__notes__)


def test_exception_whose_class_cannot_be_had_arrives_as_remote_error():
    class_path = pack_exception(raised(TwoArgumentsError(5, "late"))).replace(
        b"TwoArgumentsError", b"NoArgumentsErrors"
    )
    back = unpack_exception(class_path)
    assert isinstance(back, RemoteError)
    assert "5: late" in str(back)
    assert "NoArgumentsErrors" in back.type_name
    assert "in raised" in str(back.__cause__)


@pytest.mark.parametrize("wrapped", [False, True])
def test_what_passes_through_many_tasks_has_a_piece_of_traceback_of_each(wrapped):
    error = there_and_back(TwoArgumentsError(5, "late"))
    error.add_note("mine")
    for level in range(100):
        try:
            if wrapped:
                raise ValueError(level) from error
            raise error
        except Exception as caught:
            error = unpack_exception(pack_exception(caught))
    text = str(error.__cause__)
    assert text.count("in test_what_passes_through") == 100
    assert text.count("in raised") == 1
    assert text.count("mine") == (1 if wrapped else 100)
    assert [note.startswith("Traceback on the worker") for note in error.__notes__] == [False] * (not wrapped) + [True]
    assert text.count("in raised") == error.__notes__[-1].count("in raised")


def test_chained_exceptions_are_in_the_remote_traceback():
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error
    except ValueError as error:
        text = str(unpack_exception(pack_exception(error)).__cause__)
    assert "KeyError: 'first'" in text
    assert "direct cause" in text


def run_script(tmp_path: Path, text: str) -> str:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(text))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_class_of_main_goes_by_value_and_comes_back_as_itself(tmp_path):
    out = run_script(
        tmp_path,
        """
        import subprocess, sys
        from scaler.packing import dumps, loads, unpack_exception

        counter = [0]

        class Trouble(Exception):
            def __init__(self, a, b):
                super().__init__(a)
                self.b = b
            def count(self):
                counter[0] += 1

        class Point:
            def __init__(self, x): self.x = x
            def count(self):
                counter[0] += 1

        def work():
            error = Trouble(1, 2)
            return Point(3), error

        there = '''
        import sys
        from scaler.packing import dumps, loads, pack_exception
        point, error = loads(sys.stdin.buffer.read())()
        sys.stdout.buffer.write(dumps((dumps(point), pack_exception(error))))
        '''.replace("\\n        ", "\\n").strip()
        done = subprocess.run([sys.executable, "-c", there], input=dumps(work), stdout=subprocess.PIPE, check=True)
        point, error = loads(done.stdout)
        point, error = loads(point), unpack_exception(error)
        assert type(point) is Point and type(error) is Trouble, (type(point), type(error))
        assert (point.x, error.args, error.b) == (3, (1,), 2)
        point.count(); error.count(); Point(1).count()
        print(counter)
        """,
    )
    assert out == "[3]"


def test_importing_the_package_loads_no_heavy_library(tmp_path):
    out = run_script(
        tmp_path,
        """
        import sys, scaler
        heavy = "zmq", "pydantic", "cloudpickle", "msgpack", "concurrent.futures"
        print([name for name in heavy if name in sys.modules])
        """,
    )
    assert out == "[]"


@given(st.floats())
@settings(max_examples=20)
def test_floats_come_back_bit_for_bit(value):
    (back,) = unpack_values(*pack_values([value]), 1)
    assert back == value or (math.isnan(back) and math.isnan(value))
