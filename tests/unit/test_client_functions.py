"""Functions are serialised once, and again when what they refer to was rebound."""

from __future__ import annotations

import functools
import os
import types

import pytest
from scaler import Client
from scaler._core import STYLE_FULL, STYLE_ONE, STYLE_STAR, Options
from scaler.client.functions import FunctionCache, serialise
from scaler.client.watching import Watch, goes_by_value
from scaler.packing import loads
from scripted_scheduler import FUNCTION, PUT


def notebook(text: str) -> types.ModuleType:
    """Names as a notebook's cells or a script's `__main__` have them."""
    module = types.ModuleType("__main__")
    exec(text, module.__dict__)
    return module


def count(queue, kind):
    found = 0
    while not queue.empty():
        found += queue.get()[0] == kind
    return found


def test_function_travels_once(scheduler, client):
    cells = notebook("factor = 3\ndef f(x): return x * factor")
    assert [client.submit(cells.f, i).result(20) for i in range(5)] == [0, 3, 6, 9, 12]
    assert client.map(cells.f, range(3)).results(20) == [0, 3, 6]
    assert count(scheduler.messages, FUNCTION) == 1


def test_rebound_global_counts_at_once(client):
    cells = notebook("factor = 3\ndef f(x): return x * factor")
    assert client.submit(cells.f, 2).result(20) == 6
    cells.factor = 5
    assert client.submit(cells.f, 2).result(20) == 10
    assert client.map(cells.f, [2]).results(20) == [10]


def test_rebound_helper_and_its_globals_count(client):
    cells = notebook("bias = 1\ndef helper(x): return x + bias\ndef f(x): return helper(x)")
    assert client.submit(cells.f, 1).result(20) == 2
    cells.bias = 10
    assert client.submit(cells.f, 1).result(20) == 11
    exec("def helper(x): return -x", cells.__dict__)
    assert client.submit(cells.f, 1).result(20) == -1


def test_watch_reaches_through_classes():
    cells = notebook(
        "bias = 1\ndef helper(x): return x + bias\nclass Tool:\n    def use(self, x): return helper(x)\n"
        "def f(x): return Tool().use(x)"
    )
    watch = Watch(cells.f)
    cells.bias = 10
    assert not watch.holds()


def test_rebound_closure_cell_and_default_count(client):
    def make():
        kept = 1

        def f(x, y=0):
            return x + kept + y

        def rebind(value):
            nonlocal kept
            kept = value

        return f, rebind

    f, rebind = make()
    assert client.submit(f, 1).result(20) == 2
    rebind(100)
    assert client.submit(f, 1).result(20) == 101
    f.__defaults__ = (1000,)
    assert client.submit(f, 1).result(20) == 1101


def test_name_that_appears_later_counts(client):
    cells = notebook("def f(x): return g(x)")
    with pytest.raises(NameError):
        client.submit(cells.f, 1).result(20)
    exec("def g(x): return x + 1", cells.__dict__)
    assert client.submit(cells.f, 1).result(20) == 2


def test_change_in_place_needs_reserialize(client):
    table = {"a": 1}

    def f():
        return table["a"]

    assert client.submit(f).result(20) == 1
    table["a"] = 2
    assert client.submit(f).result(20) == 1
    assert client.submit_verbose(f, (), {}, reserialize=True).result(20) == 2
    assert client.submit(f).result(20) == 2


@pytest.mark.parametrize("call", ["map", "starmap"])
def test_maps_see_a_change_in_place_with_reserialize(client, call):
    table = {"a": 1}

    def f(x):
        return table["a"] + x

    elements = [10, 20] if call == "map" else [(10,), (20,)]
    mapped = getattr(client, call)
    assert mapped(f, elements).results(20) == [11, 21]
    table["a"] = 2
    assert mapped(f, elements).results(20) == [11, 21]
    assert mapped(f, elements, reserialize=True).results(20) == [12, 22]
    assert list(mapped(f, elements, buffersize=1)) == [12, 22]


class Counter:
    def __init__(self):
        self.value = 0

    def get(self):
        return self.value


def test_bound_method_takes_its_object_as_it_is(client):
    counter = Counter()
    assert client.submit(counter.get).result(20) == 0
    counter.value = 7
    assert client.submit(counter.get).result(20) == 7


def test_partial_of_a_notebooks_function_is_watched(client):
    cells = notebook("factor = 3\ndef f(x, y): return x * factor + y")
    part = functools.partial(cells.f, y=1)
    assert client.submit(part, 2).result(20) == 7
    cells.factor = 4
    assert client.submit(part, 2).result(20) == 9


def test_functions_of_modules_go_by_name_and_others_by_value():
    assert serialise(len)[1] is False
    assert serialise(functools.reduce)[1] is False
    pickled, by_value = serialise(lambda x: x + 1)
    assert by_value
    assert loads(pickled)(1) == 2
    assert goes_by_value(lambda: 0)
    assert not goes_by_value(functools.wraps)


def test_what_names_a_module_registered_with_cloudpickle_goes_by_value_and_nothing_else_does():
    import cloudpickle
    import scripted_scheduler

    assert serialise(scripted_scheduler.ScriptedScheduler)[1] is False
    cloudpickle.register_pickle_by_value(scripted_scheduler)
    try:
        assert serialise(scripted_scheduler.ScriptedScheduler)[1] is True
        assert serialise(functools.partial(len, scripted_scheduler.ScriptedScheduler))[1] is True
        assert serialise(functools.reduce)[1] is False
    finally:
        cloudpickle.unregister_pickle_by_value(scripted_scheduler)
    assert serialise(scripted_scheduler.ScriptedScheduler)[1] is False


def test_watch_holds_until_something_is_rebound():
    cells = notebook("import math\na = 1\nb = 2\ndef f(): return math.floor(a)")
    watch = Watch(cells.f)
    assert watch.holds()
    cells.b = 3
    assert watch.holds()
    cells.a = 4
    assert not watch.holds()


def test_watch_of_what_refers_to_itself_ends():
    cells = notebook("def f(n): return g(n)\ndef g(n): return f(n - 1) if n else 0\nclass A:\n    me = None\nA.me = A")
    assert Watch(cells.f).holds()
    assert Watch(cells.A).holds()


def test_cache_is_bounded_and_says_what_it_forgets(monkeypatch):
    from scaler.client import functions

    monkeypatch.setattr(functions, "MOST_FUNCTIONS", 3)
    forgotten = []
    cache = FunctionCache(forgotten.append, lambda data, name: None)
    made = [eval(f"lambda: {i}") for i in range(6)]
    for function in made:
        cache.get(function)
        cache.get(made[0])
    assert len(forgotten) >= 3
    assert [function.function for function in forgotten].count(made[0]) <= 1, "what is used is made again at most once"


def test_what_is_submitted_in_a_task_is_of_its_depth_and_priority_unless_it_is_given_one():
    function = FunctionCache(print, lambda data, name: None, place=(2, 7)).get(pow)
    assert function.options == Options(style=STYLE_FULL, name="pow", depth=2, priority=7)
    assert function.options_starred == Options(style=STYLE_STAR, name="pow", depth=2, priority=7)
    given = function.options_for(style=STYLE_ONE, priority=0)
    assert given == Options(style=STYLE_ONE, name="pow", depth=2, priority=0)


def test_function_too_large_for_a_message_travels_through_storage(scheduler, client, monkeypatch):
    from scaler.client import functions

    monkeypatch.setattr(functions, "LARGEST_PICKLE", 10_000)
    table = bytes(range(100)) * 1000

    def look(i, j=0, *, k=0):
        return table[i] + j + k

    assert client.submit(look, 5).result(20) == 5
    assert client.submit(look, 5, k=2).result(20) == 7
    assert client.map(look, range(50)).results(20) == list(range(50))
    assert client.map(look, range(50), range(50)).results(20) == [2 * i for i in range(50)]
    assert list(client.map(look, range(5), buffersize=2)) == list(range(5))
    assert count(scheduler.messages, PUT) == 1


def test_stored_function_is_stored_again_after_clear(scheduler, client, monkeypatch):
    from scaler.client import functions

    monkeypatch.setattr(functions, "LARGEST_PICKLE", 1000)
    ballast = os.urandom(2000)
    large = lambda: len(ballast)  # noqa: E731
    assert client.submit(large).result(20) == 2000
    client.clear()
    scheduler.objects.clear()
    assert client.submit(large).result(20) == 2000


def test_needed_python_is_told_for_code_only(scheduler, client):
    import sys

    from scripted_scheduler import SUBMIT

    client.submit(abs, 1).result(20)
    assert scheduler.wait_for(SUBMIT)[3][6] == 0
    client.submit(lambda: 1).result(20)
    assert scheduler.wait_for(SUBMIT)[3][6] == sys.version_info.minor


def test_two_clients_do_not_share_a_cache(scheduler, client):
    def f():
        return 1

    with Client(scheduler.address) as other:
        assert client.submit(f).result(20) == other.submit(f).result(20) == 1
