"""Counts the instructions of fixed work of the core, and fails where they have grown.

    python benches/instructions.py [--write]

Runs `core_rs/engine/examples/counted` (engines, links and wire, without sockets) under callgrind, and compares what one
unit of each workload takes with benches/instructions.json: more than 5 % more is a failure, 1. So is a task that costs
the scheduler more than 1.5 times as much with many nodes, or with many tasks waiting, as with few. Counts repeat to a
few in ten thousand whatever else the machine does; another compiler may change them, and then --write takes the new
ones. Where there is no valgrind it says so and exits 0.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
COMMITTED = HERE / "instructions.json"
ALLOWED = 1.05
# A count is the difference of two runs, so that what happens once is in neither.
FEW, MORE = 10, 60
# Name: elements of one unit.
WORKLOADS = {"round_trip": 1, "submits": 256, "single_blocks": 64, "map": 8192, "wide_map": 8192}
# The same work of a scheduler alone, with more of something that it is not to depend on; 64 tasks a unit.
FLAT = {"nodes": ["nodes_10", "nodes_100", "nodes_1000"], "tasks that wait": ["queue_1000", "queue_100000"]}
WORKLOADS |= {name: 64 for names in FLAT.values() for name in names}
FLAT_WITHIN = 1.5


def build() -> Path:
    command = "cargo build --quiet --release --locked -p scaler-engine --example counted --message-format=json"
    run = subprocess.run(command.split(), cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=True)
    built = [json.loads(line) for line in run.stdout.splitlines()]
    return Path(next(one["executable"] for one in built if one.get("executable")))


def instructions(program: Path, workload: str, times: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        run = subprocess.run(
            [*command, str(program), workload, str(times)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "LC_ALL": "C"},
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


def spread(counts: dict[str, int], names: list[str]) -> float:
    """The most of these over the least."""
    several = [counts[name] for name in names]
    return max(several) / min(several)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="takes the counts of now for those to compare with")
    arguments = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("skipped: there is no valgrind here")
        return 0
    counts = count(build())
    if arguments.write:
        COMMITTED.write_text(json.dumps(counts, indent=2) + "\n")
    committed = json.loads(COMMITTED.read_text())
    grown = False
    for name, now in counts.items():
        ratio = now / committed[name]
        grown |= ratio > ALLOWED
        told = "**more than allowed**" if ratio > ALLOWED else ""
        print(f"{name:14} {now:12,} a unit, {now / WORKLOADS[name]:10,.1f} an element, {ratio:.3f} x {told}")
    for what, names in FLAT.items():
        ratio = spread(counts, names)
        grown |= ratio > FLAT_WITHIN
        told = "**more than allowed**" if ratio > FLAT_WITHIN else ""
        print(f"by {what}: {' '.join(names)} within {ratio:.2f} x {told}")
    return int(grown)


if __name__ == "__main__":
    sys.exit(main())
