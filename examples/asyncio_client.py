"""Await tasks from a coroutine."""

import asyncio

from scaler import Client


def square(n: int) -> int:
    return n * n


async def work(client: Client) -> None:
    print("one:", await client.submit(square, 7))
    squares = await asyncio.gather(*(client.submit(square, n) for n in range(10)))
    print("ten:", squares)


def main() -> None:
    with Client() as client:
        asyncio.run(work(client))


if __name__ == "__main__":
    main()
