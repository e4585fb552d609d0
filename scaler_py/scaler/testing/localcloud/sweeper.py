"""A process that outlives the cloud by a moment, and clears away what the cloud has left: run as a file, by itself.

`PR_SET_PDEATHSIG` reaches the first process of a container alone; its children would live on.
"""

import contextlib
import os
import signal
import sys


def main(folder: str) -> None:
    """Reads "+PID" for a group of processes that has started and "-PID" for one that has ended, a line each; at the end
    of its input, which is the end of the cloud, it kills the groups that are left and removes the cloud's folder."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    living: set[int] = set()
    for line in sys.stdin:
        (living.add if line[0] == "+" else living.discard)(int(line[1:]))
    # Only now: until then it is to be small.
    import shutil

    for each in living:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
