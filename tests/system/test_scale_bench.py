"""The load for what one scheduler can carry, in small: that it works, not what it measures."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHES = Path(__file__).parents[2] / "benches"


@pytest.mark.skipif(shutil.which("cargo") is None, reason="the load is a Rust program")
def test_a_small_load_has_each_outcome_once_and_prints_all_rows() -> None:
    command = [sys.executable, str(BENCHES / "scale.py"), "--small", "--rounds", "1"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    told = run.stdout.splitlines()
    rows = [line.split("|")[1].strip() for line in told if line.startswith("| ")]
    assert rows[:4] == ["tasks", "submit, one by one", "submit, gathered", "map"]
    assert rows[4:10] == ["nodes of 32 slots", "2", "20", "tasks that wait", "500", "1,000"]
    assert rows[11:] == [
        "decisions of the core, single tasks",
        "decisions of the core, 256 in an array",
        "no-op tasks end to end, 1 client",
        "no-op tasks end to end, 4 clients",
        "enqueues, no worker",
    ]
    assert sum(line.startswith("CPU a task by ") for line in told) == 2
