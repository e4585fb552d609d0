"""kill -9 of a worker manager while it scales, again and again: in the end as many agents as wanted, nothing lost."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import psutil
import pytest
from commands import PATIENCE, Run
from dynamic import Scaled, kill, scaled

MOST = 8


def note_and_nap(path: str, seconds: float, number: int) -> int:
    """Leaves a line when it ends."""
    time.sleep(seconds)
    with open(path, "a") as file:
        file.write(f"{number}\n")
    return number


def survive(cluster: Scaled, home: Path, kills: int) -> None:
    seed = int(os.environ.get("KILLS_SEED") or time.time_ns() % 1_000_000)
    print(f"KILLS_SEED={seed}")
    chance = random.Random(seed)
    notes = str(home / "notes")
    # So many that all eight are wanted from the first to the last, and work while managers die.
    count, seconds = 400 + 100 * kills, 0.05
    manager = cluster.manager(most=MOST)
    with cluster.client() as client:
        futures = client.map(note_and_nap, [notes] * count, [seconds] * count, range(count))
        for number in range(kills):
            # From before its first group to after its last one.
            moment = time.monotonic() + chance.uniform(0.0, 1.5)
            while (left := moment - time.monotonic()) > 0:
                cluster.scheduler.read_more(left)
            kill(manager)
            # The next one may be killed before it says a word.
            last = number == kills - 1
            manager = cluster.manager(most=MOST, until="workers serve" if last else "")
        if not futures.done():
            cluster.wait_for_agents(MOST)
        assert futures.results(4 * PATIENCE) == list(range(count))
        lines = sorted(map(int, Path(notes).read_text().split()))
        assert lines == list(range(count)), "a task ran twice, or never"
        many = [client.submit(note_and_nap, notes, 0.5, number) for number in range(200)]
        agents = cluster.wait_for_agents(MOST)
        assert len({each.group for each in agents}) == MOST
        assert [future.result(4 * PATIENCE) for future in many] == list(range(200))
        cluster.wait_for_agents(0)
    code, output = manager.end()
    assert code == 0, output


def agents_anywhere(home: Path) -> list[str]:
    """Whatever runs as an agent with this test's folders in its environment."""
    found = []
    for each in psutil.process_iter():
        try:
            if each.environ().get("SCALER_STATE_DIR") == str(home / "state") and "scaler.node" in each.cmdline():
                found.append(f"{each.pid} {each.environ().get('SCALER_UNIT')}")
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(3, marks=pytest.mark.timeout(240)),
        pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_a_manager_that_is_killed_while_it_scales_leaves_just_what_is_wanted(run: Run, home: Path, kills: int) -> None:
    cluster = scaled(run, "-sdc", "2")
    survive(cluster, home, kills)
    assert cluster.agents() == []
    assert agents_anywhere(home) == []
