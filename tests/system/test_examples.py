"""Every example runs and says what it should."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

SAYS = {
    "simple.py": ["sqrt(2) = 1.414", f"sum of powers = {2**100 - 1}"],
    "map.py": ["first: 0 - longest: 278", "as completed: 100", "first with more than 150 steps: "],
    "capabilities.py": ["gpu >= 1 ran on a worker that has it", "still waiting: ", "tpu"],
    "shared_object.py": ["{'a': 7693, 'e': 7693, 'i': 7692, 'o': 7692, 'u': 7692}"],
    "asyncio_client.py": ["one: 49", "ten: [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]"],
    "executor.py": ["threads: 78498", "processes: 78498", "cluster: 78498", "asyncio: 78498"],
    "asyncio_gather.py": ["all: 55 words", "failed: ValueError: no such page: ", "cancelled: True"],
    "disconnect.py": ["first: 4", "a disconnected client says: ", "second: 2"],
    "option_book.py --options 60 --paths 2048": ["call", "put", "digital", "60 options x 2,048 paths in "],
}


def test_every_example_is_run() -> None:
    assert {example.name for example in EXAMPLES.glob("*.py")} == {command.split()[0] for command in SAYS}


@pytest.mark.parametrize("command", SAYS)
def test_example_says_what_it_should(command: str) -> None:
    name, *arguments = command.split()
    run = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    for words in SAYS[command]:
        assert words in run.stdout
