"""The published quick start, as it is written: only addresses, ports and the subnet are filled in.

Its workers have Python 3.12. On another one, functions that are pickled by value need workers of that: one line more.
"""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import PATIENCE, Run
from fargate import PYTHON
from scaler.testing.localcloud import LocalCloud

pytestmark = pytest.mark.timeout(240)

PUBLISHED = Path(__file__).parents[1] / "published"
IS_DEFAULT = sys.version_info[:2] == (3, 12)

PROGRAM = """
from scaler import Client

def compute(x):
    return x ** 2

with Client(address="{scheduler}") as client:
    futures = client.map(compute, range(50))
    print([f.result() for f in futures])
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def here(cloud: LocalCloud, home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Fills in what the reader is told to fill in."""
    # Nobody has worked for these schedulers before: there is nothing to wait for.
    monkeypatch.setenv("SCALER_RESYNC_SECONDS", "0.2")
    ports = {"8516": str(free_port()), "8517": str(free_port())}

    def fill(text: str) -> str:
        for published, port in ports.items():
            text = text.replace(f":{published}", f":{port}")
        return text.replace("<PUBLIC_IP>", "127.0.0.1").replace("subnet-0abc1234def56789a", cloud.subnet)

    return fill


def squares(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=4 * PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["ecs.toml", "ecs-manager.toml"])
def test_one_file_with_its_published_content_runs_tasks_on_fargate(
    name: str, here: Callable[[str], str], run: Run, home: Path, cloud: LocalCloud
) -> None:
    text = here((PUBLISHED / name).read_text())
    if not IS_DEFAULT:
        text += f'ecs_python_version = "{PYTHON}"\n'
    file = home / "config.toml"
    file.write_text(text)
    address = here("tcp://127.0.0.1:8516")
    others = []
    if name == "ecs-manager.toml":
        # It is the file of one who has started the scheduler by its command.
        others = [
            run("object_storage_server", here("tcp://127.0.0.1:8517")),
            run(
                *("scheduler", here("tcp://0.0.0.0:8516"), "--object-storage-address", here("tcp://127.0.0.1:8517")),
                *("--policy-content", "allocate=even_load; scaling=vanilla"),
            ),
        ]
        others[-1].read_until("scheduler listens at")
    stack = run("stack", str(file), **cloud.environment)
    stack.read_until("workers serve")
    assert squares(PROGRAM.format(scheduler=address)) == str([x**2 for x in range(50)])
    code, output = stack.end(signal.SIGINT)
    assert (code, "Traceback" in output) == (0, False), output
    for each in reversed(others):
        assert each.end()[0] == 0


def test_its_three_commands_run_tasks_on_fargate(here: Callable[[str], str], run: Run, cloud: LocalCloud) -> None:
    lines = [line for line in (PUBLISHED / "commands.txt").read_text().splitlines() if not line.startswith("#")]
    manager = next(line for line in lines if "aws_raw_ecs" in line)
    more = "" if IS_DEFAULT else f" --ecs-python-version {PYTHON}"
    programs = ("scaler_object_storage_server tcp://127", "scaler_scheduler tcp://0.0.0.0:8516 --object-storage")
    started = []
    for line in [*(next(each for each in lines if each.startswith(program)) for program in programs), manager + more]:
        program, *arguments = shlex.split(here(line))
        started.append(run(program.removeprefix("scaler_"), *arguments, **cloud.environment))
        started[-1].read_until("workers serve" if "manager" in program else "listens at")
    assert squares(PROGRAM.format(scheduler=here("tcp://127.0.0.1:8516"))) == str([x**2 for x in range(50)])
    for each in reversed(started):
        code, output = each.end(signal.SIGINT)
        assert (code, "Traceback" in output) == (0, False), output


def test_a_storage_that_only_this_machine_reaches_is_said_with_the_line_to_change(
    here: Callable[[str], str], run: Run, home: Path, cloud: LocalCloud, own_host: str
) -> None:
    """As it is in the published file, once its address is one that others use."""
    text = here((PUBLISHED / "ecs.toml").read_text().replace("<PUBLIC_IP>", own_host))
    if not IS_DEFAULT:
        text += f'ecs_python_version = "{PYTHON}"\n'
    file = home / "config.toml"
    file.write_text(text)
    stack = run("stack", str(file), **cloud.environment)
    port = here("tcp://127.0.0.1:8517").rpartition(":")[2]
    stack.read_until(
        f"workers are told that object storage is at tcp://{own_host}:{port}, and it listens at 127.0.0.1 alone"
    )
    stack.read_until(f'[object_storage_server] bind_address = "tcp://0.0.0.0:{port}"')
    stack.read_until("workers serve")
    # Small values do not need it.
    assert squares(PROGRAM.format(scheduler=here("tcp://127.0.0.1:8516"))) == str([x**2 for x in range(50)])
    assert stack.end(signal.SIGINT)[0] == 0
