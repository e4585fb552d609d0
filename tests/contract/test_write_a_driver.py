"""The driver that `docs/write-a-driver.md` builds: its blocks are all of it, and it keeps every rule."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from scaler.testing.driver_contract import DriverCase, DriverContract
from shed import Shed

PAGE = Path(__file__).parents[2] / "docs/write-a-driver.md"
NAME = "scaler_plugin_shell"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def driver_text() -> str:
    return "\n\n".join(blocks("python"))


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The page's blocks as `scaler_plugin_shell.driver`."""
    folder = tmp_path_factory.mktemp("page")
    (folder / NAME).mkdir()
    (folder / NAME / "__init__.py").touch()
    (folder / NAME / "driver.py").write_text(driver_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        __import__(f"{NAME}.driver")
        yield sys.modules[f"{NAME}.driver"]
    for name in [each for each in sys.modules if each.partition(".")[0] == NAME]:
        del sys.modules[name]


def test_it_has_fewer_than_150_lines() -> None:
    assert len(driver_text().splitlines()) < 150


def page_test() -> str:
    (text,) = [each for each in blocks("text") if "class TestContract" in each]
    return text


class TestPage(DriverContract):
    """With the fixture that is on the page."""

    @pytest.fixture
    def driver_case(self, driver: ModuleType, tmp_path: Path) -> Iterator[DriverCase]:
        sheds: list[Shed] = []

        def shed(folder: Path) -> Shed:
            sheds.append(Shed(folder))
            return sheds[-1]

        namespace: dict[str, object] = {}
        exec(page_test(), namespace)
        namespace["Shed"] = shed
        fixture = namespace["TestContract"].driver_case  # type: ignore[attr-defined]
        yield fixture.__wrapped__(None, tmp_path)
        for each in sheds:
            each.end()
