"""The proof that a client and its cluster work."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from scaler import Client

PATIENCE = 60


def works(client: Client, patience: float = PATIENCE) -> None:
    """Small tasks, and large values by way of object storage. patience: what comes before them may take longer."""
    assert client.submit(pow, 3, 4).result(patience) == 81
    assert client.map(abs, range(-1000, 0)).results(patience) == list(range(1000, 0, -1))
    large = os.urandom(400_000)
    assert client.submit(bytes, large).result(patience) == large


@contextlib.contextmanager
def proven(address: str) -> Iterator[Client]:
    """A client that works before and after, and so does another."""
    with Client(address, timeout_seconds=PATIENCE) as client:
        works(client)
        yield client
        works(client)
        with Client(address, timeout_seconds=PATIENCE) as another:
            works(another)
