"""The comparison of instruction counts that decides in `.ci/run`: what fails, what it says, what it leaves alone."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benches/instructions.py"


@pytest.fixture(scope="module")
def bench():
    found = importlib.util.spec_from_file_location("instructions", SCRIPT)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def changed(bench, factor):
    """The committed counts, one of them planted."""
    before = json.loads(bench.COMMITTED.read_text())["instructions"]
    return before, before | {"submits": round(before["submits"] * factor)}


def test_what_grew_by_six_percent_fails_and_says_what_to_do(bench):
    before, now = changed(bench, 1.06)
    (words,), grown = bench.compare(before, now)
    assert grown
    assert f"submits takes {now['submits']:,} instructions a unit, and took {before['submits']:,}: +6.0%" in words
    assert "where: benches/instructions.json" in words
    assert "python benches/instructions.py --write" in words


@pytest.mark.parametrize("factor", [0.96, 1.0, 1.04])
def test_a_few_percent_are_nothing_to_speak_of(bench, factor):
    assert bench.compare(*changed(bench, factor)) == ([], False)


def test_what_shrank_is_to_be_kept(bench):
    (words,), grown = bench.compare(*changed(bench, 0.9))
    assert not grown
    assert "-10.0%: keep that with `python benches/instructions.py --write`" in words


def test_a_new_workload_is_taken(bench):
    before, now = changed(bench, 1.0)
    del before["submits"]
    (words,), grown = bench.compare(before, now)
    assert not grown
    assert "submits has no count to compare with" in words


def test_what_grows_with_nodes_or_with_the_queue_fails(bench):
    counts = json.loads(bench.COMMITTED.read_text())["instructions"]
    assert bench.uneven(counts) == []
    (words,) = bench.uneven(counts | {"nodes_1000": round(counts["nodes_10"] * 1.6)})
    assert "the cost of a task grows with nodes: 1.60 x between nodes_10 and nodes_100 and nodes_1000" in words


def test_every_workload_has_a_count(bench):
    assert set(json.loads(bench.COMMITTED.read_text())["instructions"]) == set(bench.WORKLOADS)


def test_without_valgrind_it_says_so_in_a_line_and_goes_on(tmp_path):
    environment = {**os.environ, "PATH": str(tmp_path)}
    run = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, env=environment, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "skipped: there is no valgrind here, which counts the instructions\n"


@pytest.fixture
def measured(bench, monkeypatch, tmp_path):
    """Runs the script without building and counting, against committed counts of what was counted."""

    def run(now, **circumstances):
        before = json.loads(bench.COMMITTED.read_text())
        here = {name: value for name, value in before.items() if name != "instructions"}
        monkeypatch.setattr(bench.shutil, "which", lambda name: name)
        monkeypatch.setattr(bench, "build", lambda: tmp_path)
        monkeypatch.setattr(bench, "count", lambda program: now)
        monkeypatch.setattr(bench, "circumstances", lambda: here | circumstances)
        monkeypatch.setattr(sys, "argv", ["instructions.py"])
        return bench.main()

    return run


def test_growth_is_exit_code_1(bench, measured, capsys):
    assert measured(changed(bench, 1.06)[1]) == 1
    assert "error: submits takes" in capsys.readouterr().out
    assert measured(changed(bench, 1.04)[1]) == 0


def test_another_compilers_counts_are_told_and_decide_nothing(bench, measured, capsys):
    assert measured(changed(bench, 1.06)[1], compiler="rustc 2.0.0") == 0
    told = capsys.readouterr().out
    assert "error: submits takes" in told
    assert "told, not decided: " in told
    assert "this is rustc 2.0.0" in told
