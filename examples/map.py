"""Map a function over many inputs: as futures, as results, as they are done, and lazily."""

from scaler import Client


def collatz(n: int) -> int:
    """Steps from n to 1."""
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


def main() -> None:
    with Client() as client:
        futures = client.map(collatz, range(1, 20_001))
        print("first:", futures[0].result(), "- longest:", max(futures.results()))

        done = sum(1 for _ in client.map(collatz, range(1, 101)).as_completed())
        print("as completed:", done)

        lazy = enumerate(client.map(collatz, range(1, 5_001), buffersize=500), 1)
        first_long = next(n for n, steps in lazy if steps > 150)
        print("first with more than 150 steps:", first_long)


if __name__ == "__main__":
    main()
