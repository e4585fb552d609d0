"""How many descriptors this process may have."""

import contextlib
import resource

MOST_PEERS = 4096


def raise_descriptor_limit() -> int:
    """Lets this process have as many descriptors as it may, and says how many that is.

    The usual limit is less than the connections that a listening part lets wait for their hello.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return soft


def most_peers() -> int:
    """How many remote peers a listening port may have at a time.

    A peer has a connection and both ends of a pair; as many again are for the silent, and some for everything else.
    """
    return max(16, min(MOST_PEERS, raise_descriptor_limit() // 6))
