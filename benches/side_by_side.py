"""This project and its rivals, measured side by side: two workers each, medians of interleaved rounds.

    python benches/side_by_side.py [--rounds 5] [--systems scaler,ray,…] [--rows submit,map,…] [--floor floor.py]

The rivals come from the Python package index into an environment of their own (benches/.rivals, made on first use).
Every system runs each round in a fresh process, all systems one after the other, so that a busy minute hits all alike.
Writes benches/RESULTS.md. Exits 1 where a bar is missed (`--no-bars`: only report).
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
RIVALS = HERE / ".rivals"
OURS = ("scaler", "scaler-tcp", "executor", "pool")
OTHERS = ("opengris", "dask", "ray", "ipyparallel", "parsl")
SYSTEMS = (*OURS, *OTHERS)
ROWS = (
    *("submit", "submit_big", "map", "map_big", "cpu", "round_trip", "echo_small", "echo_large", "shared"),
    *("spin_1ms", "spin_10ms", "map_1ms", "map_10ms", "tail", "tail_last", "memory"),
)
# What the floor can do: it has no large values.
FLOOR_ROWS = ("submit", "submit_big", "map", "map_big", "cpu", "round_trip")
# All that these move goes through one process of theirs in Python: 6.4 GB to a hundred tasks take a quarter of an hour.
NOT_OF = {"parsl": ("shared", "memory"), "ipyparallel": ("shared", "memory")}

LABELS = {
    "submit_per_s": "no-op submit x10,000, tasks/s",
    "submit_big_per_s": "no-op submit x100,000, tasks/s",
    "map_per_s": "no-op map x100,000, elements/s",
    "map_big_per_s": "no-op map x1,000,000, elements/s",
    "cpu_s": "CPU of all processes for 10,000 no-op tasks, s",
    "p50_us": "round trip p50, µs",
    "p99_us": "round trip p99, µs",
    "echo_1mib_per_s": "echo of 1 MiB x64, echoes/s",
    "echo_64mib_s": "echo of four times 64 MiB, s",
    "shared_per_s": "one array of 64 MiB to 100 tasks, tasks/s",
    "shared_memory": "memory of all processes for that, times the array",
    "efficiency_1ms": "spinning tasks of 1 ms, efficiency",
    "efficiency_10ms": "spinning tasks of 10 ms, efficiency",
    "efficiency_map_1ms": "the same by map, 1 ms",
    "efficiency_map_10ms": "the same by map, 10 ms",
    "heavy_tail": "heavy tail, share of the bound",
    "heavy_tail_last": "heavy tail, the longest task last, share of the bound",
    "start_s": "start to first result, s",
    "queued_bytes": "client and scheduler memory a queued task, bytes",
}

Figures = dict[str, dict[str, list[float]]]


def rivals_python() -> Path:
    python = RIVALS / "bin" / "python"
    if not python.exists():
        print(f"making {RIVALS} with {(HERE / 'rivals.txt').read_text().split()}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", RIVALS], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "rivals.txt"], check=True)
    return python


def measure(system: str, rows: list[str], floor: Path | None) -> dict[str, float]:
    python = Path(sys.executable) if system in (*OURS, "floor") else rivals_python()
    environment = {**os.environ, "PYTHONPATH": str(HERE), "RAY_USAGE_STATS_ENABLED": "0"}
    # Some start programs of their own environment by name.
    environment["PATH"] = f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if system == "floor":
        environment["FLOOR"] = str(floor)
        rows = [row for row in rows if row in FLOOR_ROWS]
    rows = [row for row in rows if row not in NOT_OF.get(system, ())]
    command = [str(python), str(HERE / "measure.py"), system, *rows]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900, check=False)
    if run.returncode:
        print(f"{system} failed:\n{run.stderr[-2000:]}", file=sys.stderr)
        return {}
    return dict(json.loads(run.stdout.strip().splitlines()[-1]))


def median(figures: Figures, system: str, key: str) -> float | None:
    values = figures.get(system, {}).get(key)
    return statistics.median(values) if values else None


def bars(figures: Figures) -> list[tuple[str, float, float, bool]]:
    """(what, the ratio reached, the ratio wanted, whether it holds), for what was measured."""
    found = []

    def ratio(what: str, system: str, key: str, rivals: tuple[str, ...], best: str, wanted: float) -> None:
        ours = median(figures, system, key)
        theirs = [value for rival in rivals if (value := median(figures, rival, key)) is not None]
        if ours is not None and theirs:
            reached = ours / (max(theirs) if best == "max" else min(theirs))
            found.append((what, reached, wanted, reached >= wanted if best == "max" else reached <= wanted))

    def share(what: str, key: str, wanted: float) -> None:
        ours = median(figures, "scaler", key)
        if ours is not None:
            found.append((what, ours, wanted, ours >= wanted))

    for key, what in (("submit_per_s", "submit x10,000"), ("submit_big_per_s", "submit x100,000")):
        ratio(f"{what} / best rival", "scaler", key, OTHERS, "max", 100)
        ratio(f"{what} / multiprocessing.Pool", "scaler", key, ("pool",), "max", 8)
        ratio(f"{what} / ProcessPoolExecutor", "scaler", key, ("executor",), "max", 20)
        ratio(f"{what} / the floor", "scaler", key, ("floor",), "max", 0.9)
    for key, what in (("map_per_s", "map x100,000"), ("map_big_per_s", "map x1,000,000")):
        ratio(f"{what} / best rival", "scaler", key, OTHERS, "max", 800)
        ratio(f"{what} / multiprocessing.Pool", "scaler", key, ("pool",), "max", 1)
        ratio(f"{what} / the floor", "scaler", key, ("floor",), "max", 0.9)
    ratio("p50 / best rival", "scaler", "p50_us", OTHERS, "min", 0.06)
    ratio("p50 / ProcessPoolExecutor", "scaler", "p50_us", ("executor",), "min", 0.4)
    ratio("p50 / the floor", "scaler", "p50_us", ("floor",), "min", 0.8)
    ratio("p99 / best rival", "scaler", "p99_us", OTHERS, "min", 0.1)
    ratio("p99 / ProcessPoolExecutor", "scaler", "p99_us", ("executor",), "min", 0.6)
    ratio("tcp + CURVE: submit / best rival", "scaler-tcp", "submit_per_s", OTHERS, "max", 40)
    ratio("tcp + CURVE: p50 / best rival", "scaler-tcp", "p50_us", OTHERS, "min", 0.2)
    ratio("tcp + CURVE: p50 / ProcessPoolExecutor", "scaler-tcp", "p50_us", ("executor",), "min", 1.5)
    ratio("CPU / best rival", "scaler", "cpu_s", OTHERS, "min", 0.02)
    ratio("CPU / ProcessPoolExecutor", "scaler", "cpu_s", ("executor",), "min", 0.1)
    ratio("memory of a queued task / dask", "scaler", "queued_bytes", ("dask",), "min", 0.1)
    ratio("start / best rival", "scaler", "start_s", OTHERS, "min", 0.5)
    ratio("echo of 1 MiB / best rival", "scaler", "echo_1mib_per_s", OTHERS, "max", 3)
    ratio("echo of 1 MiB / multiprocessing.Pool", "scaler", "echo_1mib_per_s", ("pool",), "max", 1)
    ratio("echo of 64 MiB / best rival", "scaler", "echo_64mib_s", OTHERS, "min", 0.333)
    ratio("echo of 64 MiB / multiprocessing.Pool", "scaler", "echo_64mib_s", ("pool",), "min", 1)
    ratio("64 MiB to 100 tasks / best rival", "scaler", "shared_per_s", OTHERS, "max", 3)
    memory = median(figures, "scaler", "shared_memory")
    if memory is not None:
        found.append(("memory for that / 64 MiB", memory, 1.5, memory <= 1.5))
    share("efficiency at 1 ms", "efficiency_1ms", 0.95)
    share("efficiency at 10 ms", "efficiency_10ms", 0.99)
    share("efficiency at 1 ms by map", "efficiency_map_1ms", 0.95)
    share("efficiency at 10 ms by map", "efficiency_map_10ms", 0.99)
    share("heavy tail / bound", "heavy_tail", 0.97)
    share("heavy tail, the longest last / bound", "heavy_tail_last", 0.97)
    return found


def show(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def report(figures: Figures, systems: list[str], rounds: int) -> str:
    cpus = os.cpu_count()
    lines = [
        "# Side by side",
        "",
        f"Written by `python benches/side_by_side.py` on {date.today()}: {platform.machine()}, {cpus} CPUs, Python"
        f" {platform.python_version()}; two workers each, medians of {rounds} interleaved rounds."
        " The slow systems run fewer tasks (1,000 submits, 2,000 map elements). Trust ratios, not seconds.",
        "",
        "| | " + " | ".join(systems) + " |",
        "|---|" + "---|" * len(systems),
    ]
    for key, label in LABELS.items():
        cells = [show(median(figures, system, key)) for system in systems]
        if any(cell != "-" for cell in cells):
            lines.append(f"| {label} | " + " | ".join(cells) + " |")
    lines += ["", "| bar | reached | wanted | |", "|---|---|---|---|"]
    for what, reached, wanted, holds in bars(figures):
        lines.append(f"| {what} | {reached:.3g} | {wanted:g} | {'holds' if holds else '**missed**'} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="some of " + ",".join(SYSTEMS))
    parser.add_argument("--rows", default=",".join(ROWS), help="some of " + ",".join(ROWS))
    parser.add_argument("--floor", type=Path, help="a script with the floor's `Client`: one more system")
    parser.add_argument("--no-bars", action="store_true", help="exit 0 whatever was reached")
    parser.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    arguments = parser.parse_args()

    systems = arguments.systems.split(",") + (["floor"] if arguments.floor else [])
    rows = arguments.rows.split(",")
    figures: Figures = {system: {} for system in systems}
    for number in range(arguments.rounds):
        for system in systems:
            print(f"round {number + 1} of {arguments.rounds}: {system}", file=sys.stderr)
            for key, value in measure(system, rows, arguments.floor).items():
                figures[system].setdefault(key, []).append(value)
    text = report(figures, systems, arguments.rounds)
    arguments.output.write_text(text)
    print(text)
    if not arguments.no_bars and not all(holds for *_, holds in bars(figures)):
        sys.exit(1)


if __name__ == "__main__":
    main()
