"""Drivers as plugins: what is installed, what is broken and why, and that it harms no other."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import fake_plugins as plugins
import pytest
from scaler.cli import command, reference, stack, worker_manager
from scaler.config import load
from scaler.config.sources import Given
from scaler.managers import described, listing
from scaler.managers.api import API_VERSION, Context, Owner
from scaler.managers.installed import installed
from scaler.managers.loading import load_driver
from scaler.transport.errors import ConfigurationError

WHOLE = plugins.WHOLE


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path to install plugins into, and a cache of this test's own."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("SCALER_CACHE_DIR", str(tmp_path / "cache"))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith(("scaler_plugin_", "another_")):
            del sys.modules[name]


def listed() -> dict[str, listing.Listed]:
    return {each.name: each for each in listing.list_drivers()}


def without(verb: str) -> str:
    return WHOLE.replace(f"def {verb}(", f"def not_{verb}(")


def test_a_driver_is_shown_with_its_package_version_kind_and_interface(site: Path) -> None:
    plugins.install(site, "mine", version="2.5")
    mine = listed()["mine"]
    assert (mine.distribution, mine.version, mine.family) == ("scaler-plugin-mine", "2.5", "capacity")
    assert (mine.api_version, mine.problem, mine.note) == (API_VERSION, "", "")
    assert "mine                 scaler-plugin-mine 2.5" in listing.text()


def test_the_hosts_own_driver_is_there_and_those_that_are_not_are_shown_with_the_pip_line(site: Path) -> None:
    native = listed()["baremetal_native"]
    assert (native.distribution, native.family, native.problem) == ("scaler-py", "capacity", "")
    assert native.version
    assert "aws_hpc              not installed: pip install scaler-plugin-batch" in listing.text()


def test_what_is_installed_is_what_importlib_finds(site: Path) -> None:
    for name in ("one", "two"):
        plugins.install(site, name)
    theirs = {(each.name, each.value, each.dist.name) for each in entry_points(group="scaler.drivers") if each.dist}
    ours = {(each.name, each.module, each.distribution) for each in installed()}
    assert theirs <= ours
    assert {name for name, _, _ in ours - theirs} <= {"baremetal_native"}


def test_a_driver_that_loads_calls_its_hooks_with_the_arguments_that_it_takes(site: Path) -> None:
    plugins.install(site, "mine", WHOLE.replace("def start(context, requests):", "def start(requests):"))
    driver = load_driver("mine")
    context = Context(Owner("", "m"), None, __import__("logging").getLogger("x"))
    assert driver.hook.start(context=context, requests=[]) == []
    assert driver.hook.collect(context=context, ids=[]) is None
    assert [option.name for option in driver.options.options] == ["size"]


BROKEN = {
    "raises": ("1 / 0", "cannot be loaded: ZeroDivisionError: division by zero.", "mend or reinstall"),
    "exits": ("raise SystemExit(3)", "cannot be loaded: SystemExit: 3.", "mend or reinstall"),
    "interrupts": ("raise KeyboardInterrupt", "raises KeyboardInterrupt.", "mend or reinstall"),
    "odd": ("class Odd(BaseException): pass\nraise Odd('odd')", "cannot be loaded: Odd: odd.", "mend or reinstall"),
    "leaves": ("import os\nos._exit(7)", "ends the process that imports it, with exit code 7.", "mend or reinstall"),
    "crashes": ("import os\nos.kill(os.getpid(), 11)", "with signal 11.", "mend or reinstall"),
    "no_syntax": ("def (", "cannot be loaded: SyntaxError", "mend or reinstall"),
    "lacks_sdk": ("import no_such_sdk", "No module named 'no_such_sdk'.", "install what it needs: no_such_sdk"),
    "old_names": (
        "from scaler.managers.api import Gone",
        "cannot import name 'Gone'",
        "another version of the host: pip install --upgrade scaler-py scaler-plugin-old_names",
    ),
    "future": (
        WHOLE.replace("Options, 1,", "Options, 99,"),
        "is for interface 99; this host has 1.",
        "upgrade scaler-py",
    ),
    "past": (WHOLE.replace("Options, 1,", "Options, 0,"), "is for interface 0", "upgrade scaler-plugin-past"),
    "odd_version": (WHOLE.replace("Options, 1,", "Options, '1.0',"), "api_version of '1.0'", "whole number"),
    "no_start": (without("start"), "lacks start.", "define them"),
    "no_describe": (without("describe"), "lacks describe.", "define them"),
    "empty": ("", "lacks describe, start, heartbeat, shutdown, cleanup.", "define them"),
    "no_function": (without("heartbeat") + "\nheartbeat = 3\n", "a heartbeat that is no function", "def"),
    "asynchronous": (WHOLE.replace("def heartbeat", "async def heartbeat"), "no plain function", "use def"),
    "wrong_name": (
        WHOLE.replace("(context, requests)", "(context, wishes)"),
        "has a start with the argument 'wishes'.",
        "start has arguments context, requests",
    ),
    "too_many": (
        WHOLE.replace("(context, ids)", "(context, ids, more)"),
        "has a shutdown with the argument 'more'.",
        "shutdown has arguments context, ids",
    ),
    "stars": (WHOLE.replace("(context, ids)", "(*arguments)"), "has a shutdown with the argument 'arguments'.", ""),
    "describe_takes": (WHOLE.replace("describe()", "describe(it)"), "argument 'it'", "describe has no arguments"),
    "describe_raises": (
        WHOLE.replace("    return DriverInfo", "    raise SystemExit('no')\n    return DriverInfo"),
        "a describe that raises SystemExit: no.",
        "mend it",
    ),
    "describe_nothing": (WHOLE.replace("    return DriverInfo", "    DriverInfo"), "a describe that returns None", ""),
    "other_name": (WHOLE.replace('DriverInfo("{name}"', 'DriverInfo("another"'), "calls itself 'another'", "same name"),
    "odd_family": (WHOLE.replace("Family.CAPACITY", "'cloud'"), "is of the family 'cloud'", "Family.CAPACITY"),
    "odd_options": (WHOLE.replace("(OptionModel)", ""), "has options of", "inherits from OptionModel"),
    "hosts_option": (
        WHOLE.replace("size: int", "preload: int"),
        "an option 'preload', as the host has",
        "another name",
    ),
    "hosts_flag": (WHOLE.replace('"-sz"', '"-mtc"'), "one of the host's, at -mtc", "another flag"),
    "common_flag": (WHOLE.replace('"-sz"', '"-c"'), "one of the host's, at -c", "another flag"),
    "shown_secret": (
        WHOLE.replace('option(3, "how large", short="-sz", gt=0)', 'option("x", "key", secret=True)'),
        "size: an option with secret=True is a pydantic.SecretStr",
        "mend the option",
    ),
}


# What only shows in a process of its own, and one of each other kind.
LISTED = [
    *("raises", "exits", "interrupts", "leaves", "crashes", "future", "no_start", "too_many"),
    *("describe_raises", "other_name", "hosts_option"),
]


def test_a_broken_driver_is_shown_with_the_reason_and_the_mend_and_harms_no_other(site: Path) -> None:
    for name in LISTED:
        plugins.install(site, name, BROKEN[name][0])
    plugins.install(site, "whole")
    found = listed()
    assert found["whole"].problem == found["baremetal_native"].problem == ""
    assert set(found) - {"aws_raw_ecs"} == {*LISTED, "whole", "baremetal_native"}
    for name in LISTED:
        _, what, mend = BROKEN[name]
        assert what in found[name].problem
        assert mend in found[name].mend
    assert listing.text().count(" broken\n") == len(LISTED)
    assert load_driver("whole").info.name == "whole"


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in {"interrupts", "leaves", "crashes"}])
def test_a_broken_driver_cannot_be_loaded_and_says_why(name: str, site: Path) -> None:
    source, what, mend = BROKEN[name]
    plugins.install(site, name, source)
    with pytest.raises(ConfigurationError) as found:
        load_driver(name)
    assert what in found.value.what
    assert mend in found.value.mend
    assert f"scaler_plugin_{name}.driver of scaler-plugin-{name}" in found.value.where


@pytest.mark.parametrize("name", ["exits", "future"])
def test_a_broken_driver_that_is_to_run_is_three_lines(
    name: str, site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, what, mend = BROKEN[name]
    plugins.install(site, name, source)
    for arguments in ([name, "tcp://127.0.0.1:1"], [name, "--help"]):
        assert command.run_command(worker_manager._main, arguments) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 3, lines
        assert what in lines[0]
        assert mend in lines[2]


def test_an_incompatible_driver_registers_no_hook(site: Path) -> None:
    plugins.install(site, "future", BROKEN["future"][0] + "\ncalled = []\ndef open(context):\n    called.append(1)\n")
    with pytest.raises(ConfigurationError, match="interface 99"):
        load_driver("future")
    assert importlib.import_module("scaler_plugin_future.driver").called == []


def test_two_drivers_of_one_name_are_both_shown_and_neither_runs(site: Path) -> None:
    plugins.install(site, "mine")
    plugins.install(site, "mine", distribution="another-mine")
    plugins.install(site, "whole")
    found = listing.list_drivers()
    both = [each for each in found if each.name == "mine"]
    assert {each.distribution: each.problem for each in both} == {
        "scaler-plugin-mine": "Another package has a driver of this name: another-mine.",
        "another-mine": "Another package has a driver of this name: scaler-plugin-mine.",
    }
    assert all("pip uninstall" in each.mend for each in both)
    with pytest.raises(ConfigurationError, match="Two packages have a driver 'mine'"):
        load_driver("mine")
    assert load_driver("whole").info.name == "whole"


@pytest.mark.parametrize("name", ["native", "ecs", "cleanup", "new-driver", "two words"])
def test_a_name_that_means_something_else_is_said(name: str, site: Path) -> None:
    plugins.install(site, name, distribution="another-one")
    assert "a name that means something else" in listed()[name].problem


def test_a_distribution_that_is_on_the_path_twice_is_one(site: Path, tmp_path: Path) -> None:
    plugins.install(site, "mine", version="1.0")
    second = tmp_path / "second"
    plugins.install(second, "mine", version="0.5")
    sys.path.append(str(second))
    try:
        assert [each.version for each in listing.list_drivers() if each.name == "mine"] == ["1.0"]
    finally:
        sys.path.remove(str(second))


def test_an_import_that_takes_an_sdk_along_is_noted(site: Path) -> None:
    (site / "some_sdk.py").write_text("")
    plugins.install(site, "heavy", "import some_sdk\n" + WHOLE)
    heavy = listed()["heavy"]
    assert heavy.problem == ""
    assert "imports some_sdk when it is loaded" in heavy.note
    assert "note: imports some_sdk" in listing.text()


def test_what_a_driver_prints_when_it_is_imported_is_not_shown(site: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plugins.install(site, "loud", "print('LOUD')\n" + WHOLE)
    assert listed()["loud"].problem == ""
    assert "LOUD" not in "".join(capfd.readouterr())


def test_running_one_imports_that_one_alone(site: Path) -> None:
    for name in ("mine", "other"):
        plugins.install(site, name)
    load_driver("mine")
    assert "scaler_plugin_mine.driver" in sys.modules
    assert "scaler_plugin_other" not in sys.modules


def count_imports(site: Path, name: str = "mine") -> Path:
    """A driver that leaves a trace of each import."""
    trace = site / "imports"
    plugins.install(site, name, f"open({str(trace)!r}, 'a').write('x')\n" + WHOLE)
    return trace


def imports(trace: Path) -> int:
    return len(trace.read_text()) if trace.exists() else 0


def test_what_a_driver_said_is_remembered_until_it_changes(site: Path) -> None:
    trace = count_imports(site)
    for _ in range(3):
        assert listed()["mine"].family == "capacity"
    assert imports(trace) == 1
    plugins.touch(site / "scaler_plugin_mine-1.0.dist-info" / "RECORD")
    assert listed()["mine"].family == "capacity"
    assert imports(trace) == 2
    source = site / "scaler_plugin_mine" / "driver.py"
    source.write_text(source.read_text().replace("CAPACITY", "OFFLOAD"))
    plugins.touch(source)
    assert listed()["mine"].family == "offload"
    assert imports(trace) == 3


def test_a_broken_driver_is_looked_at_again_for_what_it_lacks_may_have_come(site: Path) -> None:
    plugins.install(site, "mine", "import comes_later\n" + WHOLE)
    assert "comes_later" in listed()["mine"].problem
    (site / "comes_later.py").write_text("")
    assert listed()["mine"].problem == ""


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1, 2]", b"\xff\xfe", b'{"x": 3}', json.dumps({"driver": {"key": 3}}).encode()]
)
def test_a_corrupt_cache_is_harmless(content: bytes, site: Path) -> None:
    trace = count_imports(site)
    path = Path(described.cache_file())
    path.parent.mkdir()
    path.write_bytes(content)
    assert listed()["mine"].problem == ""
    assert listed()["mine"].problem == ""
    assert imports(trace) == 1


def test_a_cache_with_other_values_in_it_is_harmless(site: Path) -> None:
    plugins.install(site, "mine")
    (mine,) = [each for each in installed() if each.name == "mine"]
    described.describe(mine)
    kept = json.loads(Path(described.cache_file()).read_text())
    (name,) = kept
    told = kept[name]
    assert described.remembered(kept, mine) == told
    for value in (3, None, {}, {"sources": 3}, "x", [3], [None], [{"name": "x"}]):
        assert described.remembered({name: value}, mine) is None
        for key in told:
            found = described.remembered({name: {**told, key: value}}, mine)
            assert found is None or isinstance(described.Described(found).family, str)


def test_a_cache_that_cannot_be_written_is_harmless(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCALER_CACHE_DIR", str(tmp_path / "file" / "no"))
    plugins.install(site, "mine")
    assert listed()["mine"].problem == ""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys\n"
        "from scaler.cli.command import run_command\n"
        "from scaler.cli import worker_manager\n"
        f"assert run_command(worker_manager._main, {arguments!r}) == 0\n"
        "heavy = {'pydantic', 'zmq', 'cloudpickle', 'msgpack', 'pluggy', 'rich', 'scaler._core', 'asyncio',\n"
        "         'importlib.metadata', 'subprocess', 'difflib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert not [name for name in sys.modules if name.startswith('scaler_plugin')]\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_list_and_help_with_ten_plugins_import_nothing_heavy_and_no_plugin(site: Path) -> None:
    for number in range(10):
        plugins.install(site, f"plugin{number}")
    listed()
    for arguments in (["--list"], ["plugin3", "--help"], ["native", "--help"]):
        done = run(*arguments)
        assert done.returncode == 0, done.stderr
    assert "plugin9" in run("--list").stdout
    text = run("plugin3", "--help").stdout
    assert "driver plugin3:" in text
    assert "-sz, --size SIZE" in text
    assert "more: https://example.org/plugin3" in text


def test_help_is_the_same_from_memory(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugins.install(site, "mine", WHOLE + "\ndef commands():\n    return {'provision': lambda argv, context: 0}\n")
    texts = []
    for _ in range(2):
        assert command.run_command(worker_manager._main, ["mine", "--help"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert "subcommands: provision, cleanup" in texts[0]


def test_a_drivers_subcommand_gets_its_arguments(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = (
        WHOLE + "\ndef commands():\n    return {'provision': lambda argv, context: print(argv, context.options) or 5}\n"
    )
    plugins.install(site, "mine", source)
    assert command.run_command(worker_manager._main, ["mine", "provision", "--help", "x"]) == 5
    assert capsys.readouterr().out == "['--help', 'x'] None\n"


@pytest.mark.parametrize(
    ("line", "where", "told"),
    [
        ("siz = 3", ", line 4, [worker_manager] siz", "did you mean size?"),
        ("size = 'x'", ", line 4, [worker_manager] size", "'x' will not do"),
        ("size = 0", ", line 4, [worker_manager] size", "greater than 0"),
        ("size = 3\nsize = 4", ", line 5, [worker_manager] size", "'size' is there twice."),
        ("max_workers = 'x'", ", line 4, [worker_manager] max_workers", "'x' will not do"),
        ("[worker_manager.more]", ", line 4, [worker_manager] more", "There is no option 'more'"),
    ],
)
def test_options_of_a_plugin_are_as_strict_as_the_hosts(
    line: str, where: str, told: str, site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugins.install(site, "mine")
    path = tmp_path / "config.toml"
    path.write_text(f'[worker_manager]\ntype = "mine"\nscheduler_address = "tcp://127.0.0.1:1"\n{line}\n')
    for main in (lambda _: worker_manager._main(["-c", str(path)]), lambda _: stack._main([str(path)])):
        assert command.run_command(main, []) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 3
        assert lines[1] == f"  where: {path}{where}"
        assert told in lines[0] + lines[2]


def test_a_drivers_reference_is_made_from_its_model(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugins.install(site, "mine")
    text = reference.driver_source("mine", load_driver("mine").options)
    assert text.startswith("## Driver mine\n")
    assert "| `-sz, --size SIZE` | `size` | `SCALER_SIZE` | how large | 3 |" in text


SECRET = "from pydantic import SecretStr\n" + WHOLE.replace(
    'option(3, "how large", short="-sz", gt=0)',
    "3\n    pass_word: SecretStr | None = option(None, 'key', secret=True)",
)


def test_a_secret_is_not_shown_in_help_errors_or_repr(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugins.install(site, "mine", SECRET)
    assert command.run_command(worker_manager._main, ["mine", "--help"]) == 0
    assert "--pass-word PASS_WORD" in capsys.readouterr().out
    driver = load_driver("mine")
    options = driver.info.options.model_validate({"pass_word": "open sesame"})
    assert "sesame" not in repr(options) + str(options)
    given = Given({"pass_word": ["open sesame"]}, {"pass_word": "--pass-word"})
    with pytest.raises(ConfigurationError) as found:
        load.validate(driver.info.options, given, [driver.options])
    assert found.value.what.startswith("The value will not do")
    assert "sesame" not in str(found.value)
