"""A client that is killed: what it had in flight is cancelled, and nobody else notices more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scaler import Client

if TYPE_CHECKING:
    from conftest import Starter

PATIENCE = 60.0

# Runs a task that never ends, and stands still.
VICTIM = """
import signal, sys
from scaler import Client

def hold(path):
    with open(path, "w"):
        pass
    while True:
        signal.pause()

client = Client(sys.argv[1])
futures = [client.submit(hold, sys.argv[2]) for _ in range(3)]
signal.pause()
"""


def test_tasks_of_a_killed_client_make_way_for_those_of_others(start: Starter, tmp_path: Path) -> None:
    start.scheduler(client_timeout=0.5)
    start.node(slots=1)
    os.mkfifo(tmp_path / "runs")
    with Client(start.path(), timeout_seconds=PATIENCE) as client:
        victim = subprocess.Popen([sys.executable, "-c", VICTIM, start.path(), str(tmp_path / "runs")])
        # Opens when its first task does.
        with open(tmp_path / "runs"):
            pass
        waiting = client.submit(pow, 2, 8)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert waiting.result(PATIENCE) == 256
        assert client.map(pow, range(100), [2] * 100).results(PATIENCE) == [n**2 for n in range(100)]
