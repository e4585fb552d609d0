"""Light futures, with everything that the standard library does with futures."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import pickle
import queue
import threading
import weakref

import pytest
from scaler import Client, ScalerFuture
from scripted_scheduler import CANCEL, QUERY


def test_result_waits_for_the_outcome(scheduler, client):
    scheduler.hold = True
    future = client.submit(pow, 2, 10)
    assert not future.done()
    assert "pending" in repr(future)
    scheduler.run()
    assert future.result(20) == 1024
    assert future.done()
    assert future.exception() is None
    assert "finished" in repr(future)


def test_result_is_the_same_object_each_time(client):
    future = client.submit(list, (1, 2))
    assert future.result() is future.result()
    first, second = [client.submit(list, (i,)) for i in range(2)]
    assert first.result() is first.result()
    assert second.result() == [1]


def test_timeout_leaves_the_future_as_it_was(scheduler, client):
    scheduler.hold = True
    future = client.submit(pow, 2, 3)
    with pytest.raises(TimeoutError):
        future.result(0.01)
    with pytest.raises(TimeoutError):
        future.exception(0)
    scheduler.run()
    assert future.result(20) == 8


def test_polling_done_takes_results_in(scheduler, client):
    future = client.submit(pow, 2, 3)
    while not future.done():
        scheduler.wait_for  # noqa: B018 - nothing but time to be the other thread's
    assert future.result(0) == 8


def fail(error):
    raise error


def test_exception_is_the_tasks_own(client):
    future = client.submit(fail, KeyError("k"))
    assert isinstance(future.exception(20), KeyError)
    with pytest.raises(KeyError):
        future.result()


def test_wait_and_as_completed_see_each_future(scheduler, client):
    scheduler.hold = True
    futures = [client.submit(pow, i, 2) for i in range(50)]
    timer = threading.Timer(0.05, scheduler.run)
    timer.start()
    assert sorted(f.result() for f in concurrent.futures.wait(futures, 20).done) == [i * i for i in range(50)]
    scheduler.hold = True
    more = [client.submit(pow, i, 2) for i in range(50)]
    assert concurrent.futures.wait(more, 0).done == set()
    threading.Timer(0.05, lambda: [scheduler.run(sequence) for sequence in reversed(range(50, 100))]).start()
    assert sorted(f.result() for f in concurrent.futures.as_completed(more, 20)) == [i * i for i in range(50)]


def test_wait_for_all_is_not_over_before_all_are_done(scheduler, client):
    scheduler.hold = True
    futures = [client.submit(pow, i, 2) for i in range(20)]
    done_before = [client.submit(pow, 1, 1)]
    scheduler.run(20)
    assert done_before[0].result(20) == 1
    for sequence in range(19):
        scheduler.run(sequence)
    assert futures[18].result(20) == 18**2
    outcome = concurrent.futures.wait(futures + done_before, 0.05)
    assert outcome.not_done == {futures[19]}
    scheduler.run()
    assert concurrent.futures.wait(futures, 20).not_done == set()


def test_wait_for_the_first_exception(scheduler, client):
    scheduler.hold = True
    futures = [client.submit(abs, 1), client.submit(fail, ValueError()), client.submit(abs, 2)]
    threading.Timer(0.02, lambda: scheduler.run(0, 1)).start()
    outcome = concurrent.futures.wait(futures, 20, concurrent.futures.FIRST_EXCEPTION)
    assert futures[1] in outcome.done
    assert futures[2] in outcome.not_done


def test_threads_wait_on_mixed_sets_without_deadlock(scheduler, client):
    with Client(scheduler.address) as other:
        sets = []
        for _ in range(20):
            ours = [client.submit(abs, i) for i in range(5)]
            theirs = [other.submit(abs, i) for i in range(5)]
            sets += [ours + theirs, theirs + ours]
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            for outcome in threads.map(lambda futures: concurrent.futures.wait(futures, 20), sets):
                assert not outcome.not_done


def test_many_threads_wait_each_for_its_own(client):
    def work(number: int) -> list[int]:
        return [client.submit(pow, number, 2).result(20) for _ in range(20)]

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == [[i * i] * 20 for i in range(8)]


def test_callbacks_are_called_once_and_outside_the_lock(scheduler, client):
    scheduler.hold = True
    called: queue.SimpleQueue[object] = queue.SimpleQueue()
    future = client.submit(pow, 2, 4)

    def callback(done: ScalerFuture) -> None:
        # From a callback everything can be done, waiting included.
        scheduler.hold = False
        called.put((done.result(), client.submit(pow, 2, 5).result(20)))

    future.add_done_callback(callback)
    scheduler.run()
    assert called.get(timeout=20) == (16, 32)
    future.add_done_callback(lambda done: called.put(done.result()))
    assert called.get(timeout=20) == 16
    assert called.empty()


def test_callback_that_raises_harms_nobody(client, caplog):
    later: queue.SimpleQueue[int] = queue.SimpleQueue()
    future = client.submit(pow, 2, 2)
    future.add_done_callback(lambda done: 1 / 0)
    future.add_done_callback(lambda done: later.put(done.result()))
    assert later.get(timeout=20) == 4
    assert client.submit(abs, -1).result(20) == 1
    assert "ZeroDivisionError" in caplog.text


def test_await_and_wrap_future(client):
    async def main() -> None:
        assert await client.submit(pow, 2, 6) == 64
        futures = [client.submit(pow, i, 2) for i in range(100)]
        assert await asyncio.gather(*map(asyncio.wrap_future, futures)) == [i * i for i in range(100)]

        async def one(i: int) -> object:
            return await client.submit(pow, i, 2)

        assert await asyncio.gather(*[one(i) for i in range(50)]) == [i * i for i in range(50)]
        with pytest.raises(KeyError):
            await client.submit(fail, KeyError())

    asyncio.run(main())


def test_cancelled_await_cancels_the_task(scheduler, client):
    scheduler.hold = True

    async def main() -> ScalerFuture:
        future = client.submit(pow, 2, 6)

        async def wait() -> None:
            await future

        waiting = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return future

    future = asyncio.run(main())
    assert scheduler.wait_for(CANCEL)[1:] == [0, 1]
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(20)


def test_cancel_waits_for_the_answer(scheduler, client):
    scheduler.hold = True
    first, second = client.submit(abs, 1), client.submit(abs, 2)
    assert second.cancel()
    assert second.cancelled()
    assert second.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        second.result()
    with pytest.raises(concurrent.futures.CancelledError):
        second.exception()
    scheduler.run()
    assert first.result(20) == 1
    assert not first.cancel()
    assert not first.cancelled()


def test_cancel_that_comes_too_late_says_so(scheduler, client):
    scheduler.hold = True
    future = client.submit(abs, 1)
    scheduler.cancel = lambda session, first, count: scheduler.run()
    assert not future.cancel(20)
    assert future.result() == 1


def test_cancelled_futures_are_told_to_waiters(scheduler, client):
    scheduler.hold = True
    future = client.submit(abs, 1)
    timer = threading.Timer(0.02, future.cancel)
    timer.start()
    assert concurrent.futures.wait([future], 20).done == {future}
    timer.join()


def test_running_is_asked_of_the_scheduler_and_remembered(scheduler, client):
    scheduler.hold = True
    scheduler.explain = lambda kind, sequence: "running"
    future = client.submit(abs, 1)
    assert future.running()
    assert scheduler.wait_for(QUERY)[2:] == [1, 0]
    scheduler.explain = lambda kind, sequence: "queued"
    scheduler.run()
    assert future.result(20) == 1
    assert not future.running()


def test_nobody_else_settles_a_future(client):
    future = client.submit(abs, 1)
    for settle in (future.set_result, future.set_exception):
        with pytest.raises(concurrent.futures.InvalidStateError):
            settle(None)
    with pytest.raises(concurrent.futures.InvalidStateError):
        future.set_running_or_notify_cancel()


def test_future_is_pickled_as_an_argument_only(client):
    future = client.submit(abs, 1)
    with pytest.raises(TypeError, match=r"pass its result\(\) instead"):
        pickle.dumps(future)


def test_dropped_future_is_let_go_of_when_its_task_is_done(client):
    future = client.submit(abs, 1)
    assert future.result(20) == 1
    gone = weakref.ref(future)
    del future
    gc.collect()
    assert gone() is None


def test_task_id_names_session_and_number(client):
    first, second = client.submit(abs, 1), client.submit(abs, 1)
    assert first.task_id.endswith("-0")
    assert second.task_id.endswith("-1")
    assert first.task_id[:16].encode() in client.identity
