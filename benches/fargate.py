"""Fargate tasks on the local cloud: how soon a worker is there, and what twenty tasks cost in calls.

    python benches/fargate.py [--rounds 3] [--tasks 20] [--elements 10000]

Prints:
  first     from the cloud's RUNNING until the first worker has connected, of each round and as a median; the bar is 1 s
  fleet     0 → so many Fargate tasks x 2 workers → 0, with so many elements through them; API calls of a unit over its
            life besides looks (the bar is 3), looks a heartbeat (1 a hundred units), and what is left (nothing)
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from scaler import Client
from scaler.client.questions import STATUS
from scaler.testing.localcloud import LocalCloud

PATIENCE = 300.0
HEARTBEAT = 0.5
PYTHON = ".".join(map(str, sys.version_info[:3]))


def nap(number: int) -> int:
    time.sleep(0.02)
    return number


@contextmanager
def program(module: str, *arguments: str, said: str, **environment: str) -> Iterator[str]:
    """Runs a command until it has said a line with this text, which is given, and on."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    try:
        yield next(line for line in process.stdout if said in line)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


@contextmanager
def fleet(cloud: LocalCloud, most: int) -> Iterator[Client]:
    """A client of a scheduler with a manager of up to so many Fargate tasks of two workers."""
    scheduler = ["tcp://127.0.0.1:0", "-pc", "allocate=even_load; scaling=vanilla", "-sdc", "1"]
    with program("scaler.cli.scheduler", *scheduler, "--resync-seconds", "0", said="listens at") as line:
        address = line.split("listens at ")[1].split(",")[0]
        manager = ["aws_raw_ecs", address, "--ecs-subnets", cloud.subnet, "--ecs-task-cpu", "2"]
        manager += ["--ecs-task-memory", "4", "-mtc", str(most), "-his", str(HEARTBEAT), "--ecs-python-version", PYTHON]
        with (
            program("scaler.cli.worker_manager", *manager, said="workers serve", **cloud.environment),
            Client(address) as client,
        ):
            yield client


def until(true: object, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise SystemExit(f"after {PATIENCE:g} s not {what}")
        time.sleep(0.002)


def nodes(client: Client) -> int:
    return int(json.loads(client._conversation.questions.ask(STATUS, 0))["nodes"])


def first_worker(cloud: LocalCloud) -> float:
    cloud.reset()
    with fleet(cloud, 1) as client:
        future = client.submit(nap, 1)
        until(lambda: nodes(client), "a worker has connected")
        connected = time.time()
        (task,) = cloud.resources("ecs task")
        future.result(PATIENCE)
    return connected - float(task["more"]["startedAt"])


def whole_fleet(cloud: LocalCloud, tasks: int, elements: int) -> None:
    cloud.reset()
    began = time.monotonic()
    with fleet(cloud, tasks) as client:
        futures = client.map(nap, range(elements))
        until(lambda: nodes(client) == tasks, f"{tasks} tasks have connected")
        up = time.monotonic() - began
        assert futures.results(PATIENCE) == list(range(elements))
        until(lambda: not nodes(client), "all are gone")
        gone = time.monotonic() - began
    calls = Counter(call["operation"] for call in cloud.calls("ecs"))
    of_units = (calls["RunTask"] + calls["StopTask"] + calls["ListTasks"]) / tasks
    looks = calls["DescribeTasks"] / (gone / HEARTBEAT)
    print(f"fleet   {tasks} tasks connected after {up:.1f} s, none left after {gone:.1f} s, {elements} results right")
    print(
        f"        {of_units:.2f} calls a unit over its life, {looks:.2f} looks a heartbeat, left: {cloud.leftovers()}"
    )
    print(f"        {dict(calls)}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--elements", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("RUNTIME", "CONFIG", "STATE", "CACHE"):
            os.environ[f"SCALER_{name}_DIR"] = os.path.join(folder, name.lower())
        with LocalCloud() as cloud:
            seconds = [first_worker(cloud) for _ in range(options.rounds)]
            rounds = ", ".join(f"{each:.2f}" for each in seconds)
            print(f"first   {statistics.median(seconds):.2f} s after RUNNING ({rounds})")
            whole_fleet(cloud, options.tasks, options.elements)


if __name__ == "__main__":
    main()
