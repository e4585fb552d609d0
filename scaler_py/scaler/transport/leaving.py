"""Lets what was written last reach the network before the process ends.

A bridge is a thread, and threads end with their process: a goodbye written just before would get no further than the
socketpair. Exit hooks run last in, first out: whoever writes in one of its own imports this module before it
registers that.
"""

import atexit
import os
import weakref
from typing import Protocol


class Bridge(Protocol):
    def close(self) -> None: ...


_bridges: "weakref.WeakSet[Bridge]" = weakref.WeakSet()


def add(bridge: Bridge) -> None:
    """`bridge.close()` is called at the process's exit; it waits no longer than two seconds."""
    _bridges.add(bridge)


def finish() -> None:
    """Ends all bridges of this process, after what was written to them has left."""
    for bridge in list(_bridges):
        bridge.close()


atexit.register(finish)
# A forked child has neither the bridges' threads nor a say in the parent's connections.
os.register_at_fork(after_in_child=_bridges.clear)
