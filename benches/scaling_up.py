"""From demand to eight workers, and from idleness to none: a scheduler that scales, and a native manager.

    python benches/scaling_up.py [--rounds 3] [--workers 8] [--cooldown 2]

Prints, as medians over the rounds:
  one       from the first task until it runs, where no worker was: the start-up of one worker
  all       from a demand that wants all workers until a task has run on each; the bar is 4 x `one` (on two cores)
  none      from the last result until no worker is left, less the cool-down; the bar is 5 s
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from scaler import Client
from scaler.client.questions import STATUS

PATIENCE = 120.0
# Between two looks, in seconds.
LOOK = 0.005


def touch_and_hold(folder: str, seconds: float) -> int:
    open(os.path.join(folder, str(os.getpid())), "w").close()
    time.sleep(seconds)
    return os.getpid()


@contextmanager
def program(module: str, *arguments: str) -> Iterator[str]:
    """Runs a command until it has said its first line, which is given, and on."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def wait_until(condition: object, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise SystemExit(f"after {PATIENCE:g} s still: {what}")
        time.sleep(LOOK)


def workers(client: Client) -> int:
    return int(json.loads(client._conversation.questions.ask(STATUS, 0))["nodes"])


def until_each_ran(client: Client, tasks: int, processes: int) -> float:
    """Seconds until so many processes have each run one of the tasks."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        futures = client.map(touch_and_hold, [folder] * tasks, [0.2] * tasks)
        wait_until(lambda: len(os.listdir(folder)) >= processes, f"fewer than {processes} workers have run a task")
        took = time.monotonic() - began
        futures.results()
    return took


def one_round(address: str, count: int, cooldown: float) -> tuple[float, float, float]:
    with Client(address) as client:
        wait_until(lambda: workers(client) == 0, "workers are left")
        one = until_each_ran(client, 1, 1)
        wait_until(lambda: workers(client) == 0, "workers are left")
        everyone = until_each_ran(client, 10 * count, count)
        idle = time.monotonic()
        wait_until(lambda: workers(client) == 0, "workers are left")
        return one, everyone, time.monotonic() - idle - cooldown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--cooldown", type=float, default=2.0)
    asked = parser.parse_args()
    policy = "allocate=even_load; scaling=vanilla"
    with program("scaler.cli.scheduler", "tcp://127.0.0.1:0", "-pc", policy) as said:
        address = said.split()[3].rstrip(",")
        limits = ["--max-task-concurrency", str(asked.workers), "-sdc", str(asked.cooldown)]
        with program("scaler.cli.worker_manager", "baremetal_native", address, *limits, "-ll", "WARNING"):
            with Client(address) as client:
                # What scheduler and manager do at their own start is over then.
                client.submit(os.getpid).result(PATIENCE)
            rounds = [one_round(address, asked.workers, asked.cooldown) for _ in range(asked.rounds)]
    one, everyone, none = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"one   {one:6.2f} s")
    print(f"all   {everyone:6.2f} s   {everyone / one:.1f} x one (bar: 4)")
    print(f"none  {none:6.2f} s after the cool-down of {asked.cooldown:g} s (bar: 5)")


if __name__ == "__main__":
    main()
