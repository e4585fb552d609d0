"""Keys as processes use them: two first starts at once, and what an executor's environment must not have."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from scaler.node.starting import _environment

pytestmark = pytest.mark.timeout(120)


def start(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCALER_")}
    return subprocess.Popen(
        [sys.executable, "-m", "scaler.cli.keys", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**inherited, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
    )


def test_two_first_starts_at_once_have_one_key(tmp_path: Path) -> None:
    first = [start("export", SCALER_CONFIG_DIR=str(tmp_path)) for _ in range(4)]
    tokens = {process.communicate()[0] for process in first}
    assert len(tokens) == 1
    assert tokens.pop().startswith("scaler1:")
    assert [each.name for each in tmp_path.iterdir()] == ["cluster.key"]


def test_token_shows_the_cluster_of_its_key(tmp_path: Path) -> None:
    token, _ = start("export", SCALER_CONFIG_DIR=str(tmp_path)).communicate()
    ours, _ = start("show", SCALER_CONFIG_DIR=str(tmp_path)).communicate()
    theirs, _ = start("show", SCALER_CONFIG_DIR=str(tmp_path / "other"), SCALER_KEY=token.strip()).communicate()
    cluster = ours.split("cluster ")[2].split(",")[0]
    assert f"join token of cluster {cluster}" in theirs
    assert token.strip() not in ours + theirs


def test_token_cannot_be_exported_from_a_token(tmp_path: Path) -> None:
    token, _ = start("export", SCALER_CONFIG_DIR=str(tmp_path)).communicate()
    process = start("export", SCALER_CONFIG_DIR=str(tmp_path / "other"), SCALER_KEY=token.strip())
    out, error = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert "cannot run one" in error
    assert "Traceback" not in error


def test_unreadable_key_is_three_lines_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "cluster.key").write_text("garbage")
    (tmp_path / "cluster.key").chmod(0o600)
    process = start("show", SCALER_CONFIG_DIR=str(tmp_path))
    _, error = process.communicate()
    assert process.returncode == 2
    assert len(error.splitlines()) == 3


def test_executors_environment_has_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALER_KEY", "scaler1:secret")
    assert "SCALER_KEY" not in _environment()
