"""`ScalerFuture.profiling_info`: what a task took."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time

import pytest
from gates import Gate
from scaler import Client
from serializers import MsgpackSerializer

PATIENCE = 60


@pytest.fixture
def profiling(cluster):
    with Client(cluster.get_address(), profiling=True) as client:
        yield client


def spin(seconds):
    """Seconds of CPU."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        hashlib.sha256(b"x" * 1000).digest()
    return seconds


def test_duration_is_there_with_every_client(client):
    future = client.submit(time.sleep, 0.05)
    future.result(PATIENCE)
    info = future.profiling_info()
    assert info.duration_s >= 0.05
    assert (info.memory_peak, info.cpu_time_s) == (None, None)


def test_before_the_result_there_is_none(client, tmp_path):
    gate = Gate(tmp_path)
    future = client.submit(Gate.hold, *gate.names)
    gate.wait()
    with pytest.raises(ValueError, match=f"task {future.task_id} is not done"):
        future.profiling_info()
    gate.release()
    future.result(PATIENCE)
    assert future.profiling_info().duration_s > 0


def test_elements_of_a_map_have_theirs(client):
    mapped = client.map(time.sleep, [0.01] * 10)
    mapped.results(PATIENCE)
    assert all(future.profiling_info().duration_s >= 0.01 for future in mapped)


def test_quick_elements_share_an_average(client):
    mapped = client.map(abs, range(10_000))
    mapped.results(PATIENCE)
    durations = [future.profiling_info().duration_s for future in mapped]
    assert all(0 <= duration < 0.1 for duration in durations)
    assert sum(durations) > 0


def test_an_exceptions_task_has_it(client):
    def fail():
        time.sleep(0.02)
        raise ValueError

    future = client.submit(fail)
    assert isinstance(future.exception(PATIENCE), ValueError)
    assert future.profiling_info().duration_s >= 0.02


def test_nothing_ran_of_what_was_cancelled(client):
    future = client.submit_verbose(time.sleep, (0,), {}, {"not-there": -1})
    assert future.cancel()
    assert future.profiling_info().duration_s == 0


def test_large_values_have_it(client):
    future = client.submit(bytes, 300_000)
    assert future.result(PATIENCE) == bytes(300_000)
    assert future.profiling_info().duration_s > 0


def test_cpu_time_counts_work_and_not_sleep(profiling):
    busy, idle = profiling.submit(spin, 0.1), profiling.submit(time.sleep, 0.1)
    assert (busy.result(PATIENCE), idle.result(PATIENCE)) == (0.1, None)
    assert busy.profiling_info().cpu_time_s >= 0.1
    assert idle.profiling_info().duration_s >= 0.1 > idle.profiling_info().cpu_time_s


def test_cpu_time_of_children_counts(profiling):
    script = "import time\nwhile time.process_time() < 0.2: pass"
    future = profiling.submit(subprocess.run, [sys.executable, "-S", "-c", script])
    future.result(PATIENCE)
    assert future.profiling_info().cpu_time_s >= 0.2


def take(megabytes):
    """For a moment."""
    return len(bytearray(b"x") * (megabytes << 20))


def test_memory_is_the_peak_of_its_growth(profiling):
    # After larger ones on either worker, whose peak is not the next one's.
    for _ in range(4):
        profiling.submit(take, 100).result(PATIENCE)
    future = profiling.submit(take, 40)
    assert future.result(PATIENCE) == 40 << 20
    # The kernel counts by a few dozen pages.
    assert 39 << 20 <= future.profiling_info().memory_peak < 60 << 20


def test_elements_of_a_map_have_their_own(profiling):
    mapped = profiling.map(spin, [0.0, 0.1, 0.0])
    assert mapped.results(PATIENCE) == [0.0, 0.1, 0.0]
    first, second, third = (future.profiling_info() for future in mapped)
    # The clocks differ: a moment more of CPU than of time is no fault.
    assert second.duration_s > 0.09
    assert second.cpu_time_s >= 0.1 > max(first.cpu_time_s, third.cpu_time_s)


def test_it_is_there_before_the_value_was_looked_at(profiling):
    future = profiling.submit(spin, 0.01)
    assert future.exception(PATIENCE) is None
    assert future.profiling_info().cpu_time_s >= 0.01
    assert future.result() == 0.01
    mapped = profiling.map(spin, [0.01] * 3)
    assert mapped.wait(PATIENCE)
    assert all(info.cpu_time_s >= 0.01 for info in (future.profiling_info() for future in mapped))
    assert mapped.results() == [0.01] * 3


class Refusal(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")
        self.two = two


def test_exceptions_carry_it_and_are_what_they_were(profiling):
    def fail():
        spin(0.05)
        raise Refusal(1, 2)

    future = profiling.submit(fail)
    error = future.exception(PATIENCE)
    assert (type(error).__name__, str(error), error.two) == ("Refusal", "1 and 2", 2)
    assert set(vars(error)) == {"two", "__notes__"}
    assert "in fail" in str(error.__cause__)
    assert "__call__" not in str(error.__cause__)
    info = future.profiling_info()
    assert info.duration_s >= info.cpu_time_s >= 0.05
    assert info.memory_peak >= 0


def test_all_kinds_of_values_and_functions_are_what_they_were(profiling):
    assert profiling.submit(divmod, 7, 2).result(PATIENCE) == (3, 1)
    assert profiling.submit(max, [1, 5], key=lambda x: -x).result(PATIENCE) == 1
    large = profiling.submit(bytes, 300_000)
    assert large.result(PATIENCE) == bytes(300_000)
    assert large.profiling_info().memory_peak is not None
    mapped = profiling.map(bytes, [300_000, 1, 200_000])
    assert mapped.results(PATIENCE) == [bytes(300_000), bytes(1), bytes(200_000)]
    assert all(future.profiling_info().cpu_time_s is not None for future in mapped)
    assert list(profiling.map(abs, [-1, -2], buffersize=1)) == [1, 2]
    assert profiling.starmap(divmod, [(7, 2)]).results(PATIENCE) == [(3, 1)]
    reference = profiling.send_object(list(range(1000)))
    assert profiling.submit(len, reference).result(PATIENCE) == 1000
    filler = bytes(5 << 20)
    assert profiling.submit(lambda: len(filler)).result(PATIENCE) == 5 << 20


def test_a_task_that_takes_anothers_value_gets_the_value_alone(profiling):
    first = profiling.submit(spin, 0.02)
    second = profiling.submit(lambda x, y: (x, y), first, [first])
    large = profiling.submit(len, profiling.submit(bytes, 300_000))
    assert second.result(PATIENCE) == (0.02, [0.02])
    assert large.result(PATIENCE) == 300_000
    assert first.profiling_info().cpu_time_s >= 0.02
    graph = {"a": (spin, 0.01), "b": (lambda x: x * 2, "a")}
    assert profiling.get(graph, ["a", "b"]) == {"a": 0.01, "b": 0.02}


def test_goes_together_with_a_serializer(cluster):
    with Client(cluster.get_address(), profiling=True, serializer=MsgpackSerializer) as client:
        future = client.submit(lambda x: (x, time.sleep(0.01)), 2)
        assert future.result(PATIENCE) == [2, None]
        info = future.profiling_info()
        assert info.duration_s >= 0.01
        assert info.memory_peak is not None
        refused = client.submit(lambda: 2j)
        assert refused.exception(PATIENCE) is not None
        assert refused.profiling_info().duration_s >= 0


def test_what_was_rebound_is_sent_again(profiling):
    factor = 2

    def scale(x):
        return x * factor

    assert profiling.submit(scale, 10).result(PATIENCE) == 20
    factor = 3
    assert profiling.submit(scale, 10).result(PATIENCE) == 30
