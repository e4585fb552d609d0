"""`scaler_worker_manager new-driver`: what it writes, and what it will not write over."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from scaler.cli import worker_manager
from scaler.cli.command import run_command
from scaler.testing.driver_contract import RULES


def new_driver(*arguments: str) -> int:
    return run_command(worker_manager._main, ["new-driver", *arguments])


def test_it_writes_a_package_whose_entry_point_is_the_driver(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "deep" / "plugin"
    assert new_driver("my_cloud", str(folder)) == 0
    assert "pip install" in capsys.readouterr().out
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "README.md",
        "pyproject.toml",
        "src/scaler_plugin_my_cloud/__init__.py",
        "src/scaler_plugin_my_cloud/driver.py",
        "src/scaler_plugin_my_cloud/infrastructure.py",
        "tests/test_contract.py",
    ]
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "scaler-plugin-my-cloud"
    assert project["entry-points"] == {"scaler.drivers": {"my_cloud": "scaler_plugin_my_cloud.driver"}}
    assert all(each.startswith("scaler-py>=") for each in project["dependencies"])
    for path in folder.rglob("*.*"):
        if path.is_file():
            assert not re.search(r"@[A-Z_]+@", path.read_text()), path


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("My-Cloud", "letters and digits, words joined by _; it begins with a letter: my_cloud"),
        ("2cloud", "it begins with a letter: cloud"),
        ("cloud__x", "cloud_x"),
        ("", "it begins with a letter"),
        ("größe", "no name for a driver"),
        ("baremetal_native", "There is a driver 'baremetal_native'."),
        ("ecs", "There is a driver 'ecs'."),
    ],
)
def test_names_are_refused_with_what_would_do(
    name: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new_driver(name, str(tmp_path / "plugin")) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "plugin").exists()


@pytest.mark.parametrize("arguments", [[], ["x"], ["x", "y", "z"], ["--force", "x"]])
def test_wrong_arguments_are_told_the_right_ones(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert new_driver(*arguments) == 2
    assert "scaler_worker_manager new-driver NAME DIR" in capsys.readouterr().err


def test_help_says_what_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert new_driver("--help") == 0
    assert "usage: scaler_worker_manager new-driver NAME DIR" in capsys.readouterr().out


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "README.md"
    mine.write_text("mine")
    assert new_driver("my_cloud", str(tmp_path)) == 2
    assert new_driver("my_cloud", str(mine)) == 2
    assert capsys.readouterr().err.count("is there, and not empty") == 2
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"README.md": "mine"}


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    assert new_driver("my_cloud", str(tmp_path)) == 0
    assert (tmp_path / "pyproject.toml").exists()


@pytest.mark.timeout(300)
def test_the_package_is_tidy_and_its_tests_pass(tmp_path: Path) -> None:
    assert new_driver("my_cloud", str(tmp_path)) == 0
    for tool in (["check", "--select", "E,F,W,I,B,UP,SIM,RUF"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *tool, "--line-length", "120", "--no-cache", str(tmp_path)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    path = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stdout
    passed, skipped = map(int, re.search(r"(\d+) passed, (\d+) skipped", done.stdout).groups())  # type: ignore[union-attr]
    assert passed + skipped == len(RULES)
    assert passed > 40
