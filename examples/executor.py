"""The same program on threads, on processes and on a cluster: whatever takes an executor takes this one."""

import asyncio
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor

from scaler import ScalerExecutor

STEP = 50_000
STARTS = range(0, 1_000_000, STEP)


def count_primes(start: int) -> int:
    """Primes among the STEP numbers from `start` on."""
    sieve = bytearray([1]) * STEP
    for number in (0, 1):
        if start <= number:
            sieve[number - start] = 0
    for factor in range(2, int((start + STEP) ** 0.5) + 1):
        first = max(factor * factor, -(-start // factor) * factor)
        sieve[first - start :: factor] = bytes(len(range(first - start, STEP, factor)))
    return sum(sieve)


def count(executor: Executor) -> int:
    return sum(executor.map(count_primes, STARTS))


async def count_in_loop(executor: Executor) -> int:
    loop = asyncio.get_running_loop()
    return sum(await asyncio.gather(*(loop.run_in_executor(executor, count_primes, start) for start in STARTS)))


def main() -> None:
    with ThreadPoolExecutor() as threads:
        print("threads:", count(threads))
    with ProcessPoolExecutor() as processes:
        print("processes:", count(processes))
    with ScalerExecutor() as cluster:
        print("cluster:", count(cluster))
        print("asyncio:", asyncio.run(count_in_loop(cluster)))


if __name__ == "__main__":
    main()
