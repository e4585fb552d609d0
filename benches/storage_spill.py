"""Far more objects than an object storage has memory for: all come back as they were, and its memory stays bounded.

    python benches/storage_spill.py [--size 10GiB] [--memory-limit 1GiB] [--write-through] [--directory FOLDER]

Half of the objects are put by the client (`send_object`), half are results of tasks. Once all are there they are got
again, in another order, and compared by their hash: in a task, and in the client. Prints what it took, and what the
storage had resident at most. Exits 1 where bytes are wrong or that is 1.3 times its limit or more (with a limit below
427 MiB: 128 MiB more than it; `--no-bars`: only report). Needs as much free disk as `--size`.
"""

import argparse
import contextlib
import itertools
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path

import work
from pydantic import ByteSize, TypeAdapter
from scaler import Client, ObjectReference
from scaler.process import Part, path_for_parts, start_part

MIB = 1 << 20
MOST_RATIO = 1.3
# Itself, and what is under way.
ALWAYS = 128 * MIB
# Around one part of 4 MiB, and far beyond.
SIZES = [300_000, 1_200_000, 3 * MIB, 4 * MIB, 4 * MIB + 1, 9 * MIB, 40 * MIB]

# What keeps an object, and the hash of its bytes.
Held = tuple[Future[bytes] | ObjectReference, bytes]


def memory(pid: int, line: str) -> int:
    """Bytes that the process has resident (VmRSS), or had at most (VmHWM)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(each.split()[1]) << 10 for each in lines if each.startswith(line))


@dataclass
class Figures:
    """Of one run. Sizes in bytes, times in seconds."""

    size: int
    objects: int
    memory_limit: int
    memory_at_start: int
    memory_at_most: int
    put_seconds: float
    get_seconds: float
    wrong: int


def run(folder: str, size: int, memory_limit: int, write_through: bool) -> Figures:
    with cluster(folder, memory_limit, write_through) as (storage, address), Client(address) as client:
        client.submit(work.noop, bytes(MIB)).result()
        at_start = memory(storage.pid, "VmRSS")
        began = time.perf_counter()
        held = put(client, size)
        put_seconds = time.perf_counter() - began
        random.Random(0).shuffle(held)
        began = time.perf_counter()
        objects, wrong = len(held), 0
        while held:
            # One after the other is let go of: a future keeps what it has fetched.
            what, wanted = held.pop()
            wrong += hash_now(client, what) != wanted
        get_seconds = time.perf_counter() - began
        at_most = memory(storage.pid, "VmHWM")
    return Figures(size, objects, memory_limit, at_start, at_most, put_seconds, get_seconds, wrong)


def put(client: Client, size: int) -> list[Held]:
    """Puts so many bytes: every other object is the result of a task."""
    held: list[Held] = []
    lengths = itertools.cycle(SIZES)
    while size > 0:
        seed, length = len(held), next(lengths)
        size -= length
        data = work.noise(seed, length)
        what = client.submit(work.noise, seed, length) if seed % 2 else client.send_object(data)
        held.append((what, work.hash_of(data)))
    wait([what for what, _ in held if isinstance(what, Future)])
    return held


def hash_now(client: Client, what: Future[bytes] | ObjectReference) -> bytes:
    """Of the bytes that storage gives for it."""
    if isinstance(what, Future):
        return work.hash_of(what.result())
    result: bytes = client.submit(work.hash_of, what).result()
    return result


@contextlib.contextmanager
def cluster(folder: str, memory_limit: int, write_through: bool) -> Iterator[tuple[Part, str]]:
    """A scheduler with two workers, and its object storage in a process of its own."""
    objects, address = f"ipc://{folder}/o", f"ipc://{folder}/s"
    storage = {
        "address": objects,
        "memory_limit": memory_limit,
        "directory": f"{folder}/objects",
        "write_through": write_through,
    }
    scheduler = {"address": address, "object_storage": objects, "resync": 0.0}
    node = {"scheduler": address, "node": {"slots": 2, "executor": {"path": path_for_parts()}}}
    with contextlib.ExitStack() as parts:
        started = []
        for module, settings in (("storage", storage), ("scheduler", scheduler), ("node", node)):
            started.append(start_part(f"scaler.{module}", settings))
            parts.callback(started[-1].end)
        yield started[0], address


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="10GiB")
    parser.add_argument("--memory-limit", default="1GiB")
    parser.add_argument("--write-through", action="store_true")
    parser.add_argument("--directory", help="where the files go; by default a folder for temporary ones")
    parser.add_argument("--no-bars", action="store_true")
    options = parser.parse_args()
    as_bytes = TypeAdapter(ByteSize).validate_python
    size, limit = int(as_bytes(options.size)), int(as_bytes(options.memory_limit))
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        if shutil.disk_usage(folder).free < size * 1.1:
            sys.exit(f"{folder} has too little room for {options.size}")
        figures = run(folder, size, limit, options.write_through)
    print(json.dumps(figures.__dict__))
    moved = figures.size / MIB
    print(f"{figures.objects} objects, {moved:.0f} MiB, through {figures.memory_limit / MIB:.0f} MiB of memory")
    print(f"  put  {figures.put_seconds:7.1f} s  {moved / figures.put_seconds:7.0f} MiB/s")
    print(f"  got  {figures.get_seconds:7.1f} s  {moved / figures.get_seconds:7.0f} MiB/s, {figures.wrong} wrong")
    ratio = figures.memory_at_most / figures.memory_limit
    bar = max(MOST_RATIO * figures.memory_limit, figures.memory_limit + ALWAYS)
    print(f"  resident at most {figures.memory_at_most / MIB:.0f} MiB: {ratio:.2f} times the limit")
    if not options.no_bars and (figures.wrong or figures.memory_at_most >= bar):
        sys.exit(f"missed: nothing wrong, and less than {bar / MIB:.0f} MiB resident")


if __name__ == "__main__":
    main()
