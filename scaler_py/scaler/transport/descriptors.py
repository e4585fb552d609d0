"""How many descriptors this process may have."""

import contextlib
import resource


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
