"""Gather many tasks in a coroutine: their values, their errors, and the end of those that nobody waits for."""

import asyncio
import time

from scaler import Client

PAGES = {f"page {number}": "word " * number for number in range(1, 11)}


def count_words(name: str, text: str | None) -> int:
    if text is None:
        raise ValueError(f"no such page: {name}")
    return len(text.split())


async def work(client: Client) -> None:
    counts = await asyncio.gather(*(client.submit(count_words, *page) for page in PAGES.items()))
    print("all:", sum(counts), "words")

    tasks = [client.submit(count_words, name, PAGES.get(name)) for name in ("page 1", "page 11")]
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            print(f"failed: {type(result).__name__}: {result}")

    slow = client.submit(time.sleep, 3600)
    try:
        async with asyncio.timeout(0.2):
            await slow
    except TimeoutError:
        print("cancelled:", await asyncio.to_thread(slow.cancel))


def main() -> None:
    with Client() as client:
        asyncio.run(work(client))


if __name__ == "__main__":
    main()
