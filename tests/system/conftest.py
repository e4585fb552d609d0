"""Fixtures for tests of commands: a home of their own, and commands that end with the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import PATIENCE, Command, Run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("SCALER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SCALER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("SCALER_RUNTIME_DIR", str(tmp_path / "run"))
    # A stack keeps its objects there.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    return tmp_path


@pytest.fixture
def run(home: Path) -> Iterator[Run]:
    commands: list[Command] = []

    def start(module: str, *arguments: str, **environment: str) -> Command:
        commands.append(Command(module, *arguments, **environment))
        return commands[-1]

    yield start
    for command in reversed(commands):
        if command.process.poll() is None:
            command.process.terminate()
            try:
                command.process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                command.process.kill()
                command.process.communicate()
