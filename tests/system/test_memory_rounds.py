"""Tasks again and again, in the small: `benches/memory.py` with its own bars, and with a leak that it must find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHES = Path(__file__).parents[2] / "benches"


def rounds(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHES / "memory.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", ["queued", "single", "mapped", "flowing"])
def test_tasks_leave_nothing_behind(kind: str) -> None:
    # What is freed comes back when it likes, and frames under way are megabytes: half a future that stays is seen.
    done = rounds("--kinds", kind, "--rounds", "6", "--count", "50000", "--most-left", "40", "--spare", str(4 << 20))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "entries left in a table of the scheduler or the client: 0.00" in done.stdout
    assert "**missed**" not in done.stdout


def test_what_stays_is_seen() -> None:
    """A client that keeps its futures."""
    done = rounds("--kinds", "flowing", "--rounds", "5", "--count", "20000", "--most-left", "40", "--keep")
    assert done.returncode == 1, done.stderr
    missed = [line for line in done.stdout.splitlines() if "**missed**" in line]
    assert [line.split(":")[0] for line in missed] == ["- client, growth of Python's blocks in use, a task"]
