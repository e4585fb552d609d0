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
SYSTEMS = (*OURS, "opengris", "dask", "ray")
ROWS = ("submit", "map", "round_trip", "echo_small", "echo_large", "shared", "spin_1ms", "spin_10ms", "tail", "memory")

LABELS = {
    "submit_per_s": "no-op submit x10,000, tasks/s",
    "map_per_s": "no-op map x100,000, elements/s",
    "p50_us": "round trip p50, µs",
    "p99_us": "round trip p99, µs",
    "echo_1mib_per_s": "echo of 1 MiB x64, echoes/s",
    "echo_64mib_s": "echo of four times 64 MiB, s",
    "shared_per_s": "one array of 64 MiB to 100 tasks, tasks/s",
    "shared_memory": "memory of all processes for that, times the array",
    "efficiency_1ms": "spinning tasks of 1 ms, efficiency",
    "efficiency_10ms": "spinning tasks of 10 ms, efficiency",
    "heavy_tail": "heavy tail, share of the bound",
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
    if system == "floor":
        run = subprocess.run([sys.executable, str(floor)], capture_output=True, text=True, check=True)
        figures = json.loads(run.stdout)
        keys = {"submit_per_s": "floor_submit_per_s", "map_per_s": "floor_map_per_s"}
        keys |= {"p50_us": "floor_p50_us", "p99_us": "floor_p99_us"}
        return {ours: figures[theirs] for ours, theirs in keys.items()}
    python = Path(sys.executable) if system in OURS else rivals_python()
    environment = {**os.environ, "PYTHONPATH": str(HERE), "RAY_USAGE_STATS_ENABLED": "0"}
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

    three = ("opengris", "dask", "ray")
    ratio("submit / best of the three", "scaler", "submit_per_s", three, "max", 50)
    ratio("map / best of the three", "scaler", "map_per_s", three, "max", 500)
    ratio("p50 / best of the three", "scaler", "p50_us", three, "min", 0.12)
    ratio("p50 / ProcessPoolExecutor", "scaler", "p50_us", ("executor",), "min", 0.8)
    ratio("tcp + CURVE: submit / best of the three", "scaler-tcp", "submit_per_s", three, "max", 20)
    ratio("tcp + CURVE: p50 / best of the three", "scaler-tcp", "p50_us", three, "min", 0.3)
    ratio("echo of 1 MiB / best of the three", "scaler", "echo_1mib_per_s", three, "max", 3)
    ratio("echo of 64 MiB / best of the three", "scaler", "echo_64mib_s", three, "min", 1 / 3)
    ratio("64 MiB to 100 tasks / best of the three", "scaler", "shared_per_s", three, "max", 3)
    memory = median(figures, "scaler", "shared_memory")
    if memory is not None:
        found.append(("memory for that / 64 MiB", memory, 1.5, memory <= 1.5))
    share("efficiency at 1 ms", "efficiency_1ms", 0.90)
    share("efficiency at 10 ms", "efficiency_10ms", 0.97)
    share("heavy tail / bound", "heavy_tail", 0.9)
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
    parser.add_argument("--floor", type=Path, help="a script that prints a floor's figures as JSON: one more system")
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
