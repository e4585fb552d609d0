"""The suite as an author sees it: a fixture, a test for each rule, and what is said when one fails or is skipped."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from scaler.testing.driver_contract import RULES

HERE = Path(__file__).parent
FIXTURE = """
import pytest
import toy_jobs as driver
from scaler.testing.driver_contract import DriverContract
from toy_case import toy_case

class TestToyJobs(DriverContract):
    @pytest.fixture
    def driver_case(self):
        case = toy_case(driver, "queue")
        case.plant = None
        return case
"""


def run_pytest(folder: Path, *arguments: str) -> tuple[int, str]:
    path = os.pathsep.join(map(os.path.abspath, filter(None, [str(HERE), *sys.path])))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", folder, *arguments, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
    )
    return done.returncode, done.stdout + done.stderr


def test_one_fixture_gives_a_test_for_each_rule(tmp_path: Path) -> None:
    (tmp_path / "test_toy.py").write_text(FIXTURE)
    code, told = run_pytest(tmp_path, "--collect-only", "-q")
    assert code == 0, told
    assert set(re.findall(r"::TestToyJobs::test_(\w+)", told)) == set(RULES)


def test_rules_that_were_not_tried_are_listed_with_their_reasons(tmp_path: Path) -> None:
    (tmp_path / "test_toy.py").write_text(FIXTURE)
    code, told = run_pytest(tmp_path, "-q")
    assert code == 0, told
    listed = told.partition("rules that were not tried")[2]
    assert "test_toy.py::TestToyJobs\n" in listed
    reason = "  it needs DriverCase.plant: makes something that looks like the driver's own and has no owner:\n"
    assert reason + "    cleanup_never_touches_what_has_no_owner\n" in listed
    assert "  it is about capacity drivers:\n    slots_and_capabilities_reach_the_unit\n" in listed


def test_failed_rule_says_what_was_seen_what_must_hold_and_what_to_do(tmp_path: Path) -> None:
    text = (HERE / "toy_jobs.py").read_text()
    (tmp_path / "forgetful.py").write_text(text.replace('"where jobs wait: main or idle"', '""'))
    (tmp_path / "test_toy.py").write_text(FIXTURE.replace("toy_jobs as", "forgetful as"))
    code, told = run_pytest(tmp_path, "-q", "-k", "documented")
    assert code == 1
    rule = RULES["options_are_documented"]
    assert f"seen: no help text: --queue\n  rule: {rule.text}\n  mend: {rule.mend}\n" in told
    assert "Traceback" not in told


def test_class_without_the_fixture_is_told_what_lacks(tmp_path: Path) -> None:
    text = "from scaler.testing.driver_contract import DriverContract\nclass TestMine(DriverContract):\n    pass\n"
    (tmp_path / "test_mine.py").write_text(text)
    code, told = run_pytest(tmp_path, "-q", "-x")
    assert code == 1
    assert "fixture 'driver_case' not found" in told


@pytest.mark.parametrize("text", ["def test_it():\n    pass\n", "import scaler\n\ndef test_it():\n    pass\n"])
def test_who_does_not_ask_gets_nothing(tmp_path: Path, text: str) -> None:
    """Neither a plugin nor a module of the suite is loaded for other tests."""
    (tmp_path / "test_other.py").write_text(text)
    say = "import sys\ndef pytest_sessionfinish():\n    print('loaded:', [n for n in sys.modules if 'scaler.t' in n])\n"
    (tmp_path / "conftest.py").write_text(say)
    code, told = run_pytest(tmp_path, "-q", "-s")
    assert code == 0
    assert "loaded: []" in told
    assert "1 passed" in told
