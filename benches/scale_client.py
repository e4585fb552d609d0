"""A client of `scale.py`: submits no-op tasks when it is told to, and says on the machine's clock from when until when.

python scale_client.py ADDRESS TASKS
"""

import json
import sys
import time

import work
from scaler import Client


def main() -> None:
    address, tasks = sys.argv[1], int(sys.argv[2])
    with Client(address) as client:
        # Everybody knows the function, and what it takes.
        assert [future.result() for future in [client.submit(work.noop, x) for x in range(1_000)]] == list(range(1_000))
        print("ready", flush=True)
        sys.stdin.read()
        start = time.clock_gettime(time.CLOCK_MONOTONIC)
        futures = [client.submit(work.noop, x) for x in range(tasks)]
        assert [future.result() for future in futures] == list(range(tasks))
        end = time.clock_gettime(time.CLOCK_MONOTONIC)
    print(json.dumps([start, end]), flush=True)


if __name__ == "__main__":
    main()
