"""Tasks in coroutines: `await`, `gather`, `run_in_executor`, and cancellation from both sides."""

from __future__ import annotations

import asyncio
import concurrent.futures
from pathlib import Path

import pytest
from gates import Gate
from scaler import ScalerExecutor, ScalerFuture

PATIENCE = 60


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def fail() -> None:
    raise KeyError("k")


async def value_of(future: ScalerFuture) -> object:
    return await future


async def ended(*futures: ScalerFuture) -> None:
    """Waits elsewhere than in the event loop."""
    assert not (await asyncio.to_thread(concurrent.futures.wait, futures, PATIENCE)).not_done


def test_await_and_gather(client):
    async def main() -> None:
        assert await client.submit(pow, 2, 6) == 64
        done = client.submit(pow, 2, 7)
        await ended(done)
        assert await done == 128
        assert await asyncio.gather(*(client.submit(pow, i, 2) for i in range(200))) == [i * i for i in range(200)]
        assert await asyncio.gather(*client.map(abs, range(-200, 0))) == list(range(200, 0, -1))
        with pytest.raises(KeyError):
            await client.submit(fail)
        one, error = await asyncio.gather(client.submit(abs, -1), client.submit(fail), return_exceptions=True)
        assert (one, type(error)) == (1, KeyError)

    asyncio.run(main())


def test_cancelled_coroutine_cancels_its_task(client, gate):
    async def main() -> None:
        future = client.submit(gate.hold, *gate.names)
        waiting = asyncio.create_task(value_of(future))
        await asyncio.to_thread(gate.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await ended(future)
        assert future.cancelled()

    asyncio.run(main())


def test_cancelled_gather_cancels_all_its_tasks(client, gate):
    async def main() -> None:
        futures = [client.submit(gate.hold, *gate.names) for _ in range(5)]
        waiting = asyncio.gather(*futures)
        await asyncio.to_thread(gate.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await ended(*futures)
        assert all(future.cancelled() for future in futures)

    asyncio.run(main())


def test_group_whose_task_fails_cancels_the_others(client, gate):
    async def run_both(future: ScalerFuture) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(value_of(future))
            await asyncio.to_thread(gate.wait)
            group.create_task(value_of(client.submit(fail)))

    async def main() -> None:
        future = client.submit(gate.hold, *gate.names)
        with pytest.raises(ExceptionGroup):
            await run_both(future)
        await ended(future)
        assert future.cancelled()

    asyncio.run(main())


def test_coroutine_out_of_time_cancels_its_task(client, gate):
    async def main() -> None:
        future = client.submit(gate.hold, *gate.names)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(value_of(future), 0.01)
        await ended(future)
        assert future.cancelled()

    asyncio.run(main())


def test_cancelled_future_raises_in_the_coroutine_that_awaits(client, gate):
    async def main() -> None:
        future = client.submit(gate.hold, *gate.names)
        waiting = asyncio.create_task(value_of(future))
        wrapped = asyncio.wrap_future(future)
        await asyncio.to_thread(gate.wait)
        assert await asyncio.to_thread(future.cancel)
        for each in (waiting, wrapped, future):
            with pytest.raises(asyncio.CancelledError):
                await each
        assert waiting.cancelled()
        assert wrapped.cancelled()

    asyncio.run(main())


def test_run_in_executor(client):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ScalerExecutor(client) as executor:
            assert await loop.run_in_executor(executor, pow, 2, 6) == 64
            assert await executor.submit(pow, 2, 7) == 128
            many = [loop.run_in_executor(executor, pow, i, 2) for i in range(100)]
            assert await asyncio.gather(*many) == [i * i for i in range(100)]
            with pytest.raises(KeyError):
                await loop.run_in_executor(executor, fail)

    asyncio.run(main())


def test_cancelled_run_in_executor_ends_nothing_that_runs(client, gate, tmp_path):
    ran = tmp_path / "ran"

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with ScalerExecutor(client, max_workers=1) as executor:
            runs = executor.submit(gate.hold, *gate.names)
            waits = loop.run_in_executor(executor, Path.touch, ran)
            await asyncio.to_thread(gate.wait)
            wrapped = asyncio.wrap_future(runs)
            for each in (wrapped, waits):
                each.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await each
            await asyncio.sleep(0)  # only now the loop tells the executor's futures
            await asyncio.to_thread(gate.release)
            await ended(runs)
            assert runs.result() == "held"
            assert await executor.submit(abs, -1) == 1

    asyncio.run(main())
    assert not ran.exists()
