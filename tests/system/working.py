"""The proof that a client and its cluster work."""

import os

from scaler import Client

PATIENCE = 60


def works(client: Client) -> None:
    """Small tasks, and large values by way of object storage."""
    assert client.submit(pow, 3, 4).result(PATIENCE) == 81
    assert client.map(abs, range(-1000, 0)).results(PATIENCE) == list(range(1000, 0, -1))
    large = os.urandom(400_000)
    assert client.submit(bytes, large).result(PATIENCE) == large
