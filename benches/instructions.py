"""Counts the instructions of fixed work of the core, and fails where they have grown.

    python benches/instructions.py [--write] [--committed FILE]

Runs `core_rs/engine/examples/counted` (engines, links and wire, without sockets) under callgrind, and compares what one
unit of each workload takes with benches/instructions.json: more than 5 % more is a failure, 1. So is a task that costs
the scheduler more than 1.5 times as much with many nodes, or with many tasks waiting, as with few. Counts repeat to a
few in ten thousand whatever else the machine does, and whatever machine of that kind it is. Another compiler or C
library changes them: then they are told, and only that ratio decides, until --write takes the new ones. Where there is
no valgrind it says so and exits 0.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
COMMITTED = HERE / "instructions.json"
ALLOWED = 0.05
# A count is the difference of two runs, so that what happens once is in neither.
FEW, MORE = 10, 60
# Name: elements of one unit.
WORKLOADS = {"round_trip": 1, "submits": 256, "single_blocks": 64, "map": 8192, "wide_map": 8192}
# The same work of a scheduler alone, with more of something that it is not to depend on; 64 tasks a unit.
FLAT = {"nodes": ["nodes_10", "nodes_100", "nodes_1000"], "tasks that wait": ["queue_1000", "queue_100000"]}
WORKLOADS |= {name: 64 for names in FLAT.values() for name in names}
FLAT_WITHIN = 1.5

# The C library chooses among its copies of memcpy and others by the processor, which valgrind shows to it; that with
# `rep movsb` counts an instruction a byte (a map: four times as many). So all processors are made one that has nothing
# but what all x86-64 have. Where caches end decides which copy goes past them.
_LACKS = ("AVX512F", "AVX512VL", "AVX2", "AVX", "AVX_Fast_Unaligned_Load", "ERMS", "FSRM", "SSSE3", "SSE4_1", "SSE4_2")
_TUNABLES = {
    "glibc.cpu.hwcaps": ",".join(f"-{each}" for each in _LACKS),
    "glibc.cpu.x86_data_cache_size": "0x8000",
    "glibc.cpu.x86_shared_cache_size": "0x100000",
    "glibc.cpu.x86_non_temporal_threshold": "0xc0000",
}


def circumstances() -> dict[str, str]:
    """What changes counts without anybody's doing."""
    compiler = subprocess.run(["rustc", "--version"], cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=True)
    return {
        "compiler": compiler.stdout.strip(),
        "library": " ".join(platform.libc_ver()),
        "processor": platform.machine(),
    }


def build() -> Path:
    command = "cargo build --quiet --release --locked -p scaler-engine --example counted --message-format=json"
    run = subprocess.run(command.split(), cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=True)
    built = [json.loads(line) for line in run.stdout.splitlines()]
    return Path(next(one["executable"] for one in built if one.get("executable")))


def instructions(program: Path, workload: str, times: int) -> int:
    # Nothing of this environment: what is in it, how long it is.
    tunables = ":".join(f"{name}={value}" for name, value in _TUNABLES.items())
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "GLIBC_TUNABLES": tunables}
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        run = subprocess.run(
            [*command, str(program), workload, str(times)],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
    found = re.search(r"Collected : (\d+)", run.stderr)
    assert found is not None, run.stderr
    return int(found[1])


def count(program: Path) -> dict[str, int]:
    """Instructions of one unit of each workload."""
    return {
        name: (instructions(program, name, MORE) - instructions(program, name, FEW)) // (MORE - FEW)
        for name in WORKLOADS
    }


def compare(before: dict[str, int], now: dict[str, int]) -> tuple[list[str], bool]:
    """(what there is to do, for people; whether one has grown by more than is allowed)."""
    words, grown = [], False
    for name in now:
        if name not in before:
            words.append(f"{name} has no count to compare with: take it with --write")
            continue
        change = now[name] / before[name] - 1
        counts = f"{name} takes {now[name]:,} instructions a unit, and took {before[name]:,}: {change:+.1%}"
        if change > ALLOWED:
            grown = True
            words.append(
                f"error: {counts}, where {ALLOWED:+.0%} is allowed\n"
                f"  where: {COMMITTED.relative_to(HERE.parent)}\n"
                "  to do: see what it does more (valgrind --tool=callgrind, callgrind_annotate); if it is worth that, "
                "`python benches/instructions.py --write`, and say in the commit what for"
            )
        elif change < -ALLOWED:
            words.append(f"{counts}: keep that with `python benches/instructions.py --write`")
    return words, grown


def uneven(now: dict[str, int]) -> list[str]:
    """What costs more where there is more of what it is not to depend on, for people."""
    words = []
    for what, names in FLAT.items():
        several = [now[name] for name in names]
        ratio = max(several) / min(several)
        if ratio > FLAT_WITHIN:
            words.append(
                f"error: the cost of a task grows with {what}: {ratio:.2f} x between {' and '.join(names)}, "
                f"where {FLAT_WITHIN:g} x is allowed\n"
                "  to do: look for what goes through all of them (valgrind --tool=callgrind, callgrind_annotate)"
            )
    return words


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="takes the counts of now for those to compare with")
    parser.add_argument("--committed", type=Path, default=COMMITTED, help="the file with those to compare with")
    arguments = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("skipped: there is no valgrind here, which counts the instructions")
        return 0
    here, now = circumstances(), count(build())
    if arguments.write:
        arguments.committed.write_text(json.dumps({**here, "instructions": now}, indent=2) + "\n")
    committed = json.loads(arguments.committed.read_text())
    before = committed.pop("instructions")
    for name, counted in now.items():
        ratio = f"{counted / before[name]:.3f} x" if name in before else "new"
        print(f"{name:14} {counted:12,} a unit, {counted / WORKLOADS[name]:10,.1f} an element, {ratio}")
    words, grown = compare(before, now)
    scans = uneven(now)
    for text in words + scans:
        print(text)
    if committed != here:
        there, this = (", ".join(each.values()) for each in (committed, here))
        print(f"told, not decided: the counts to compare with are those of {there}; this is {this}")
        return int(bool(scans))
    return int(grown or bool(scans))


if __name__ == "__main__":
    sys.exit(main())
