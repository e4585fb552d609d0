"""Every example runs and says what it should."""

import subprocess
import sys
from pathlib import Path

import pytest
from commands import PATIENCE, Run
from scaler import Client
from working import works

EXAMPLES = Path(__file__).parents[2] / "examples"

SAYS = {
    "simple.py": ["sqrt(2) = 1.414", f"sum of powers = {2**100 - 1}"],
    "map.py": ["first: 0 - longest: 278", "as completed: 100", "first with more than 150 steps: "],
    "capabilities.py": ["gpu >= 1 ran on a worker that has it", "still waiting: ", "tpu"],
    "shared_object.py": ["{'a': 7693, 'e': 7693, 'i': 7692, 'o': 7692, 'u': 7692}"],
    "asyncio_client.py": ["one: 49", "ten: [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]"],
    "nested.py": ["fib(10) = 55", "sorted: True"],
    "graph.py": ["left half: 1.000000, all: 2.000000", "by futures: 2.000000"],
    "executor.py": ["threads: 78498", "processes: 78498", "cluster: 78498", "asyncio: 78498"],
    "asyncio_gather.py": ["all: 55 words", "failed: ValueError: no such page: ", "cancelled: True"],
    "disconnect.py": ["first: 4", "a disconnected client says: ", "second: 2"],
    "option_book.py --options 60 --paths 2048": ["call", "put", "digital", "60 options x 2,048 paths in "],
}


def test_every_example_is_run() -> None:
    assert {example.name for example in EXAMPLES.glob("*.py")} == {command.split()[0] for command in SAYS}
    assert {example.name for example in EXAMPLES.glob("*.toml")} == {"stack.toml"}


@pytest.mark.parametrize("command", SAYS)
def test_example_says_what_it_should(command: str) -> None:
    name, *arguments = command.split()
    run = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    for words in SAYS[command]:
        assert words in run.stdout


def test_stack_serves_a_client(run: Run, home: Path) -> None:
    """At addresses of the test's own: others may have the ports."""
    (home / "run").mkdir(mode=0o700)
    text = (EXAMPLES / "stack.toml").read_text()
    for port in ("8516", "8517"):
        text = text.replace(f"tcp://127.0.0.1:{port}", f"ipc://{home}/run/{port}")
    (home / "stack.toml").write_text(text)
    # Nobody has worked for this scheduler before: there is nothing to wait for.
    quick = {"SCALER_RESYNC_SECONDS": "0.2", "SCALER_HEARTBEAT_INTERVAL_SECONDS": "0.2"}
    stack = run("stack", str(home / "stack.toml"), **quick)
    stack.read_until("1 workers serve")
    with Client(f"ipc://{home}/run/8516", timeout_seconds=PATIENCE) as client:
        works(client)
        assert client.submit_verbose(pow, (3, 4), {}, capabilities={"big": -1}).result(PATIENCE) == 81
    code, output = stack.end()
    assert code == 0, output
    assert list((home / "run").iterdir()) == []
