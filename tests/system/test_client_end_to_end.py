"""A client of a whole cluster: real scheduler, agent, executors and object storage."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import subprocess
import sys
import textwrap
import time

import numpy
import pytest
from scaler import Client
from scaler.errors import (
    MissingObjects,
    RemoteTraceback,
    TaskTimeoutError,
)


def keywords(a, b=2, *, c=0, **more):
    return a, b, c, more


def fail(error):
    raise error


def fail_with_two(code, why):
    raise TwoArgumentsError(code, why)


def test_submit_map_and_starmap(client):
    assert client.submit(keywords, 1, c=5, d=6).result(30) == (1, 2, 5, {"d": 6})
    assert client.submit(max, 3, 4).result(30) == 4
    assert client.map(abs, range(-5000, 0)).results(30) == list(range(5000, 0, -1))
    assert client.map(pow, range(50), range(50)).results(30) == [i**i for i in range(50)]
    assert client.starmap(divmod, [(7, 2), (9, 4)]).results(30) == [(3, 1), (2, 1)]
    assert client.map(abs, []) == []
    assert list(client.map(abs, range(-100, 0), buffersize=7)) == list(range(100, 0, -1))


def test_many_submits_from_many_threads(client):
    def work(number: int) -> int:
        return sum(future.result(60) for future in [client.submit(pow, number, 2) for _ in range(500)])

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(4))) == [500 * i * i for i in range(4)]


def test_waiting_by_the_librarys_means(client):
    futures = [client.submit(pow, i, 2) for i in range(300)]
    assert sorted(f.result() for f in concurrent.futures.as_completed(futures, 30)) == [i * i for i in range(300)]
    mapped = client.map(abs, range(-300, 0))
    assert not concurrent.futures.wait(mapped, 30).not_done

    async def main() -> None:
        assert await client.submit(abs, -3) == 3
        more = [asyncio.wrap_future(client.submit(pow, i, 2)) for i in range(100)]
        assert await asyncio.gather(*more) == [i * i for i in range(100)]

    asyncio.run(main())


def test_large_arguments_and_results(client):
    array = numpy.arange(200_000.0)
    future = client.submit(numpy.multiply, array, 2)
    assert (future.result(30) == array * 2).all()
    mapped = client.map(numpy.negative, [array + i for i in range(10)])
    for i, value in enumerate(mapped.results(60)):
        assert (value == -(array + i)).all()


def test_result_may_be_changed_and_so_may_arguments(client):
    def add_one(array: numpy.ndarray) -> numpy.ndarray:
        array += 1
        return array

    array = numpy.zeros(50_000)
    back = client.submit(add_one, array).result(30)
    back += 1
    assert back.sum() == 100_000
    assert array.sum() == 0


def test_equal_large_values_at_the_same_time(client):
    echoes = [client.submit(bytes, 300_000) for _ in range(20)]
    assert {len(future.result(60)) for future in echoes} == {300_000}
    data = bytes(300_000)
    assert client.map(len, [data] * 20).results(60) == [300_000] * 20


def test_shared_object(client):
    table = client.send_object({i: i * i for i in range(20_000)}, "squares")

    def look(squares: dict[int, int], i: int) -> int:
        return squares[i]

    assert client.starmap(look, ((table, i) for i in range(100))).results(30) == [i * i for i in range(100)]
    assert client.submit(look, table, 7).result(30) == 49


class TwoArgumentsError(Exception):
    def __init__(self, code, why):
        super().__init__(f"{code}: {why}")
        self.code, self.why = code, why


def test_exceptions_come_with_type_attributes_and_remote_traceback(client):
    with pytest.raises(KeyError) as caught:
        client.submit(fail, KeyError("k")).result(30)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    assert "in fail" in str(caught.value.__cause__)
    assert "in fail" in "".join(caught.value.__notes__)
    error = client.submit(fail_with_two, 3, "late").exception(30)
    assert (type(error), error.code, error.why) == (TwoArgumentsError, 3, "late")


def test_time_out_ends_the_task(client):
    future = client.submit_verbose(time.sleep, (60,), {}, timeout=0.3)
    with pytest.raises(TaskTimeoutError):
        future.result(60)


def test_retries_try_again(client, tmp_path):
    tried = str(tmp_path / "tried")

    def work() -> int:
        with open(tried, "a") as file:
            file.write("x")
        if os.path.getsize(tried) < 3:
            raise OSError("not yet")
        return os.path.getsize(tried)

    assert client.submit_verbose(work, (), {}, retries=2).result(30) == 3


def test_cancel_of_a_running_task(client, tmp_path):
    started = tmp_path / "started"

    def work() -> None:
        started.touch()
        time.sleep(60)

    future = client.submit(work)
    while not started.exists():
        time.sleep(0.001)
    while not future.running():
        pass
    assert future.cancel(30)
    assert future.cancelled()
    assert client.submit(abs, -1).result(30) == 1


def test_cancel_of_a_map_and_clear(client):
    mapped = client.map(time.sleep, [60] * 50)
    assert mapped.cancel(60) == 50
    futures = [client.submit(time.sleep, 60) for _ in range(5)]
    client.clear()
    assert all(future.cancelled() for future in futures)
    assert client.submit(abs, -1).result(30) == 1


def test_clear_lets_go_of_objects_and_what_comes_again_is_stored_again(client):
    large = os.urandom(1 << 20)
    reference = client.send_object(large)
    assert client.submit(bytes, large).result(30) == large
    client.clear()
    with pytest.raises(MissingObjects):
        client.submit(len, reference)
    assert client.submit(bytes, large).result(30) == large
    assert client.submit(len, client.send_object(large)).result(30) == 1 << 20


def test_task_that_cannot_be_served_says_why(client):
    future = client.submit_verbose(abs, (-1,), {}, {"gpu": 2})
    assert "gpu" in client.explain(future)
    assert future.cancel(30)


def test_client_as_an_argument_is_a_client_there(client):
    def work(inner: Client) -> int:
        with inner:
            return inner.submit(abs, -5).result(30)

    address = client.address
    assert address
    assert client.submit(work, client).result(60) == 5


def test_script_needs_no_main_guard_and_gets_its_own_classes_back(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            from scaler import Client

            class Trouble(Exception):
                def __init__(self, a, b):
                    super().__init__(a)
                    self.b = b

            class Point:
                def __init__(self, x): self.x = x

            def work(x):
                if x < 0:
                    raise Trouble(x, Point(x))
                return Point(x)

            client = Client()
            try:
                client.submit(work, -1).result(60)
            except Trouble as error:
                assert type(error.b) is Point and error.b.x == -1
            points = client.map(work, range(3)).results(60)
            assert all(type(point) is Point for point in points)
            factor = 2
            def scale(x): return x * factor
            first = client.submit(scale, 2).result(60)
            factor = 3
            print(first, client.submit(scale, 2).result(60), [point.x for point in points])
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100)
    assert (done.stdout, done.returncode) == ("4 6 [0, 1, 2]\n", 0), done.stderr
    assert not done.stderr


def test_many_medium_arguments_and_results_one_after_the_other(client):
    for number in range(100):
        data = bytes([number]) * 200_000
        assert client.submit(bytes, data).result(30) == data
