"""What tasks install."""

import re
import subprocess
from importlib import metadata

import pytest
from scaler.managers.api import ConfigurationError
from scaler_plugin_ecs.requirements import Software, entries, installed_package, python_words, software

WORDS = "tomli;pargraph;parfun;pandas"


def test_entries_stand_between_semicolons_or_on_lines() -> None:
    assert entries(WORDS) == ["tomli", "pargraph", "parfun", "pandas"]
    assert entries("tomli\n pandas >= 2 , < 3 ;numpy\n\n# none\nscipy  # why\n") == [
        *("tomli", "pandas>=2,<3", "numpy", "scipy")
    ]
    assert entries("") == entries(" ; ;\n") == []


def test_marker_stays_with_its_requirement() -> None:
    assert entries('tomli; python_version < "3.11";pandas') == ['tomli;python_version < "3.11"', "pandas"]
    assert entries("a;sys_platform=='linux' and os_name == 'posix';b") == [
        "a;sys_platform=='linux' and os_name == 'posix'",
        "b",
    ]
    assert entries("a; (extra == 'x')") == ["a;(extra == 'x')"]
    # A package may be called so.
    assert entries("a;extra>=1;platform_machine") == ["a", "extra>=1", "platform_machine"]


def test_address_keeps_a_blank_before_its_marker() -> None:
    assert entries('a @ https://127.0.0.1/a-1.whl ; python_version < "4"') == [
        'a@https://127.0.0.1/a-1.whl ;python_version < "4"'
    ]


def _newer_image(requirements: str) -> list[str]:
    """Writes a file of requirements, a line each."""
    script = "printf '%s\\n' \"$PYTHON_REQUIREMENTS\""
    done = subprocess.run(
        ["/bin/sh", "-c", script], env={"PYTHON_REQUIREMENTS": requirements}, capture_output=True, text=True, check=True
    )
    return [line for line in done.stdout.splitlines() if line]


def _older_image(requirements: str) -> list[str]:
    """Splits at semicolons and blanks."""
    return [each for each in re.split(r"[;\s]+", requirements) if each]


@pytest.mark.parametrize(
    "given", [WORDS, "tomli\npandas >= 2.1\nnumpy==2.0.1", "pandas[performance] ~= 2.0;a @ https://127.0.0.1/a.whl"]
)
def test_both_generations_of_the_image_find_the_same_entries(given: str) -> None:
    passed = software(given, "3.12.11", "scaler-py==0.1.0", None).environment()["PYTHON_REQUIREMENTS"]
    assert _newer_image(passed) == _older_image(passed) == ["scaler-py==0.1.0", *entries(given)]


def test_former_name_is_taken_as_this_project_with_one_warning() -> None:
    found = software("opengris_scaler[aws, gui]>=1.26;pandas;opengris-scaler", "3.12", None, "scaler-py==0.1.0")
    assert found.entries == ("scaler-py==0.1.0", "pandas")
    (word,) = found.warnings
    assert "opengris_scaler[aws,gui]>=1.26" in word
    assert "scaler-py==0.1.0" in word


def test_what_came_from_an_index_is_installed_in_its_version() -> None:
    assert software(WORDS, "3.12", None, "scaler-py==0.1.0").entries[0] == "scaler-py==0.1.0"


def test_what_came_from_elsewhere_is_never_guessed_at() -> None:
    found = software(WORDS, "3.12", None, None)
    assert found.entries == tuple(WORDS.split(";"))
    (word,) = found.warnings
    assert "their image must have it" in word
    assert "--worker-package" in word


def test_user_who_names_this_software_is_believed() -> None:
    found = software("scaler-py==9.9;pandas", "3.12", None, "scaler-py==0.1.0")
    assert found.entries == ("scaler-py==9.9", "pandas")
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        ("scaler-py==0.1.0", ("scaler-py==0.1.0",)),
        ("scaler-py == 0.1.0", ("scaler-py==0.1.0",)),
        ("/wheels/scaler_py-0.1.0-cp311-abi3-linux_x86_64.whl",) * 2,
        ("https://127.0.0.1/scaler_py-0.1.0.whl",) * 2,
    ],
)
def test_package_goes_before_what_the_user_wants(package: str, expected: object) -> None:
    found = software("pandas", "3.12", package, None)
    wanted = expected if isinstance(expected, tuple) else (expected,)
    assert found.entries == (*wanted, "pandas")
    assert found.warnings == ()


def test_index_of_a_package_goes_by_variables_that_uv_and_pip_read() -> None:
    address = "https://name:password@127.0.0.1/simple"
    found = software("pandas", "3.12", f"scaler-py==0.1.0 --extra-index-url {address}", None)
    environment = found.environment()
    assert environment["UV_INDEX"] == environment["UV_EXTRA_INDEX_URL"] == environment["PIP_EXTRA_INDEX_URL"] == address
    assert "password" not in environment["PYTHON_REQUIREMENTS"]
    assert found.entries == ("scaler-py==0.1.0", "pandas")
    own = software("", "3.12", f"scaler-py --index-url={address}", None)
    assert own.index["UV_DEFAULT_INDEX"] == own.index["PIP_INDEX_URL"] == address


@pytest.mark.parametrize("package", ["--extra-index-url https://127.0.0.1/", "scaler-py --index", "scaler-py -i", "'"])
def test_package_that_cannot_be_read_is_refused(package: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        software("", "3.12", package, None)
    assert caught.value.where == "--worker-package"
    assert "scaler-py==VERSION" in caught.value.mend


def test_image_is_told_packages_and_python() -> None:
    assert Software(("a", "b"), "3.12.11").environment() == {
        "PYTHON_REQUIREMENTS": "a\nb",
        "PYTHON_VERSION": "3.12.11",
    }


def test_other_python_is_a_word_where_it_is_only_the_default() -> None:
    (word,) = python_words("3.12.11", (3, 11), True)
    assert "--ecs-python-version" in word
    assert list(python_words("3.12.11", (3, 11), False)) == []
    assert list(python_words("3.12.11", (3, 12), True)) == []


class _OfIndex:
    version = "0.1.0"

    def read_text(self, name: str) -> None:
        """It has no such file."""


@pytest.mark.parametrize(
    "variable",
    [
        *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_INDEX", "UV_INDEX_URL", "UV_DEFAULT_INDEX"),
        *("UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"),
    ],
)
def test_where_another_index_is_named_here_nothing_is_guessed(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: _OfIndex())
    assert installed_package({"PATH": "x", "UV_INDEX_STRATEGY": "first-index", variable: ""}) == "scaler-py==0.1.0"
    assert installed_package({variable: "https://127.0.0.1/simple"}) is None
