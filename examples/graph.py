"""A graph of tasks: what each needs goes from worker to worker, and only what is asked for comes back."""

import itertools
import math

from scaler import Client


def integral(low: float, high: float, steps: int) -> float:
    """Of sin, by the midpoint rule."""
    width = (high - low) / steps
    return sum(math.sin(low + (i + 0.5) * width) for i in range(steps)) * width


def total(*parts: float) -> float:
    return math.fsum(parts)


def main() -> None:
    edges = [math.pi * i / 8 for i in range(9)]
    graph = {f"part {i}": (integral, edges[i], edges[i + 1], 20_000) for i in range(8)}
    graph["left"] = (total, *[f"part {i}" for i in range(4)])
    graph["right"] = (total, *[f"part {i}" for i in range(4, 8)])
    graph["all"] = (total, "left", "right")
    with Client() as client:
        values = client.get(graph, ["all", "left"])
        print(f"left half: {values['left']:.6f}, all: {values['all']:.6f}")

        # The same with futures: each is an argument before it has a value.
        parts = [client.submit(integral, low, high, 20_000) for low, high in itertools.pairwise(edges)]
        whole = client.submit(total, *parts)
        print(f"by futures: {whole.result():.6f}")


if __name__ == "__main__":
    main()
