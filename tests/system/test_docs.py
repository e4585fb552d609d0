"""What the README and `docs/` say holds: their programs run, their links lead somewhere, their options exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from scaler.config import retired, table

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.name for page in PAGES]
# Of `scaler_keys`, which has no table, of pip and of `scaler_worker_manager` itself.
OTHER_FLAGS = {"--key-file", "--list", "--config", "--help", "--insecure"}


def programs(page: Path) -> str:
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("page", [page for page in PAGES if programs(page)], ids=lambda page: page.name)
def test_its_programs_run(page: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(programs(page))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_its_links_lead_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]
    assert all((page.parent / link.partition("#")[0]).exists() for link in links), links


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_its_options_exist(page: Path) -> None:
    components = (table.SCHEDULER, table.OBJECT_STORAGE, table.CLUSTER, table.WORKER_MANAGER, table.BAREMETAL_NATIVE)
    known = {option.flag for component in components for option in component.options} | OTHER_FLAGS
    for line in page.read_text().splitlines():
        # Other programs' options are their own business.
        if "scaler" in line or "`--" in line:
            told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line))
            assert told <= known | {"--settings-fd"}, line
    assert not {each.flag for each in retired.RETIRED} & set(re.findall(r"--[a-z][a-z-]+", page.read_text()))
