"""Keys as processes use them: first starts at once, other machines with and without, what executors must not have."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scaler import Client
from scaler.errors import KeyRefusedError
from scaler.node.starting import _environment
from scaler.transport.keys import find_cluster_key, make_key_file

if TYPE_CHECKING:
    from conftest import Starter

PATIENCE = 30

pytestmark = pytest.mark.timeout(120)


def run_keys(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCALER_")}
    return subprocess.Popen(
        [sys.executable, "-m", "scaler.cli.keys", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**inherited, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
    )


def test_two_first_starts_at_once_have_one_key(tmp_path: Path) -> None:
    first = [run_keys("export", SCALER_CONFIG_DIR=str(tmp_path)) for _ in range(4)]
    tokens = {process.communicate()[0] for process in first}
    assert len(tokens) == 1
    assert tokens.pop().startswith("scaler1:")
    assert [each.name for each in tmp_path.iterdir()] == ["cluster.key"]


def test_token_shows_the_cluster_of_its_key(tmp_path: Path) -> None:
    token, _ = run_keys("export", SCALER_CONFIG_DIR=str(tmp_path)).communicate()
    ours, _ = run_keys("show", SCALER_CONFIG_DIR=str(tmp_path)).communicate()
    theirs, _ = run_keys("show", SCALER_CONFIG_DIR=str(tmp_path / "other"), SCALER_KEY=token.strip()).communicate()
    cluster = ours.split("cluster ")[2].split(",")[0]
    assert f"join token of cluster {cluster}" in theirs
    assert token.strip() not in ours + theirs


def test_token_cannot_be_exported_from_a_token(tmp_path: Path) -> None:
    token, _ = run_keys("export", SCALER_CONFIG_DIR=str(tmp_path)).communicate()
    process = run_keys("export", SCALER_CONFIG_DIR=str(tmp_path / "other"), SCALER_KEY=token.strip())
    out, error = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert "cannot run one" in error
    assert "Traceback" not in error


def test_unreadable_key_is_three_lines_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "cluster.key").write_text("garbage")
    (tmp_path / "cluster.key").chmod(0o600)
    process = run_keys("show", SCALER_CONFIG_DIR=str(tmp_path))
    _, error = process.communicate()
    assert process.returncode == 2
    assert len(error.splitlines()) == 3


def test_executors_environment_has_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALER_KEY", "scaler1:secret")
    assert "SCALER_KEY" not in _environment()


@pytest.fixture
def address(start: Starter, own_host: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Of a scheduler on another machine, as its address and our folders have it."""
    told: str = start.scheduler(f"tcp://{own_host}:0").told["address"]
    start.node(told, slots=1)
    monkeypatch.setenv("TOKEN", find_cluster_key().token())
    monkeypatch.setenv("SCALER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("SCALER_RUNTIME_DIR", str(tmp_path / "run"))
    return told


def test_without_a_key_clients_and_workers_are_told_what_to_set(address: str, start: Starter) -> None:
    with pytest.raises(KeyRefusedError, match="SCALER_KEY") as caught:
        Client(address, timeout_seconds=PATIENCE)
    assert "scaler_keys export" in str(caught.value)
    with pytest.raises(KeyRefusedError, match="SCALER_KEY"):
        start.node(address)


def test_with_another_clusters_key_they_are_told_so(
    address: str, start: Starter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SCALER_KEY", make_key_file(tmp_path / "other.key").token())
    with pytest.raises(KeyRefusedError, match="another key") as caught:
        Client(address, timeout_seconds=PATIENCE)
    assert "SCALER_KEY" in str(caught.value)
    with pytest.raises(KeyRefusedError, match="another key"):
        start.node(address)


def test_with_the_clusters_token_they_are_admitted(
    address: str, start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = os.environ["TOKEN"]
    with Client(address, key=token) as client:
        assert client.submit(abs, -1).result(PATIENCE) == 1
    monkeypatch.setenv("SCALER_KEY", token)
    start.node(address, slots=1)
    with Client(address) as client:
        assert client.submit(abs, -2).result(PATIENCE) == 2
