"""`scaler FILE` with a manager of Fargate tasks: its end takes as long as these take, and says so."""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from chores import tell_and_wait
from commands import PATIENCE, Run
from fargate import PYTHON
from scaler import Client
from scaler.testing.localcloud import LocalCloud
from test_fargate_quick_start import PUBLISHED, here

__all__ = ["here"]

pytestmark = pytest.mark.timeout(240)


def test_a_stack_waits_for_tasks_in_a_cloud_and_a_second_ctrl_c_leaves_with_the_command_that_ends_them(
    here: Callable[[str], str], run: Run, home: Path, cloud: LocalCloud
) -> None:
    file = home / "config.toml"
    file.write_text(here((PUBLISHED / "ecs.toml").read_text()) + f'ecs_python_version = "{PYTHON}"\n')
    stack = run("stack", str(file), **cloud.environment)
    stack.read_until("workers serve")
    began, go_on = (str(home / name) for name in ("began", "go-on"))
    os.mkfifo(began)
    os.mkfifo(go_on)
    with Client(here("tcp://127.0.0.1:8516"), timeout_seconds=PATIENCE) as client:
        client.submit(tell_and_wait, began, go_on)
        Path(began).read_bytes()
        stack.process.send_signal(signal.SIGINT)
        stack.read_until("waiting for wm-ecs to end; Ctrl-C leaves at once")
        stack.process.send_signal(signal.SIGINT)
        code, output = stack.finish()
        assert code == 128 + signal.SIGINT, output
        command = re.search(r"wm-ecs may have left something; to end it: (.*)", output)
        assert command is not None, output
    program, *arguments = shlex.split(command[1])
    assert program == "scaler_worker_manager"
    cleanup = run("worker_manager", *arguments, **cloud.environment)
    # The task may have been cancelled meanwhile: nobody is waited for at the other end.
    gate = os.open(go_on, os.O_RDWR)
    try:
        code, output = cleanup.finish()
    finally:
        os.close(gate)
    assert code == 0, output
    assert "task definition" in output
