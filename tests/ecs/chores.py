"""What tasks do in these tests. Workers in the cloud have no such module: it goes along by value."""

from __future__ import annotations

import os
import time


def nap(number: int) -> int:
    time.sleep(0.02)
    return number


def tell_and_wait(began: str, go_on: str) -> int:
    """Ends when somebody has opened both pipes. Of the agent."""
    with open(began, "w"):
        pass
    with open(go_on):
        pass
    return os.getppid()


def wait_for_file(path: str) -> bool:
    while not os.path.exists(path):
        time.sleep(0.01)
    return True
