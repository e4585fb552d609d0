"""How long `--help` of each command, and `scaler_worker_manager --list`, take with ten plugins installed.

As a multiple of `python -c pass` in the same run: at most 3 will do.

    python benches/help.py [ROUNDS]

Rounds are interleaved, and of each command the median counts, so that a busy machine is busy for all of them.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import fake_plugins

COMMANDS = {
    "scaler": "stack --help",
    "scaler ping": "stack ping --help",
    "scaler_scheduler": "scheduler --help",
    "scaler_object_storage_server": "object_storage_server --help",
    "scaler_worker_manager": "worker_manager --help",
    "scaler_worker_manager native": "worker_manager native --help",
    "scaler_worker_manager plugin3": "worker_manager plugin3 --help",
    "scaler_worker_manager --list": "worker_manager --list",
    "scaler_cluster": "cluster --help",
    "scaler_keys": "keys --help",
    "scaler_localcloud": "localcloud --help",
}
MOST = 3.0
PLUGINS = 10


def code(command: str) -> str:
    """What an installed command runs."""
    module, *arguments = command.split()
    return f"import sys; sys.argv = ['x', *{arguments!r}]; from scaler.cli.{module} import main; main()"


def seconds(program: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        for number in range(PLUGINS):
            fake_plugins.install(Path(folder), f"plugin{number}")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
        os.environ["SCALER_CACHE_DIR"] = folder
        # The first one imports them; what they said is remembered from then on.
        seconds(code(COMMANDS["scaler_worker_manager --list"]))
        return measure()


def measure() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    programs = {"python -c pass": "pass", **{name: code(command) for name, command in COMMANDS.items()}}
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, program in programs.items():
            times[name].append(seconds(program))
    medians = {name: statistics.median(each) for name, each in times.items()}
    base = medians["python -c pass"]
    for name, median in medians.items():
        print(f"{name:<30} {median * 1e3:6.1f} ms  x {median / base:4.2f}")
    return int(any(median > MOST * base for median in medians.values()))


if __name__ == "__main__":
    sys.exit(main())
