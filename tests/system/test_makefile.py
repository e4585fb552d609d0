"""The README's two commands on a machine that lacks something: said with the command that mends it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USED = ("sh", "find")
BUILDERS = ("python3", "cargo", "cc")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


def make_without(missing: str, target: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """`make target` where the PATH has all that it needs but `missing`."""
    tools = folder / "bin"
    tools.mkdir()
    for name in {*USED, *BUILDERS} - {missing}:
        # Nothing is to be built here: what would build does nothing.
        found = shutil.which(name if name in USED else "true")
        assert found is not None
        (tools / name).symlink_to(found)
    make = shutil.which("make")
    assert make is not None
    command = [make, "-C", str(ROOT), target, f"VENV={folder / 'venv'}"]
    environment = {"PATH": str(tools), "HOME": str(folder), "LC_ALL": "C"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize("target", ["demo", "test"])
@pytest.mark.parametrize(
    ("missing", "mend"),
    [
        ("cargo", "apt-get install rustup && rustup default stable"),
        ("python3", "apt-get install python3 python3-venv"),
        ("cc", "apt-get install gcc"),
    ],
)
def test_what_is_missing_is_said_with_the_command_that_mends_it(
    missing: str, mend: str, target: str, tmp_path: Path
) -> None:
    done = make_without(missing, target, tmp_path)
    assert done.returncode
    assert mend in done.stderr, done.stderr
    assert not os.path.exists(tmp_path / "venv"), "nothing was begun"
