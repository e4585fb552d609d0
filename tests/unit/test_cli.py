"""Commands: help without heavy imports, errors in three lines, exit codes, and the drivers that can be had."""

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import scaler
from scaler.cli import command, keys, object_storage_server, scheduler, stack, worker_manager
from scaler.config.usage import UsageError
from scaler.transport.errors import AddressInUseError, ConfigurationError, NobodyThereError

MODULES = ["scheduler", "object_storage_server", "cluster", "worker_manager", "keys", "stack", "localcloud", "ping"]


@pytest.mark.parametrize("arguments", [[name, "--help"] for name in MODULES] + [["worker_manager", "native", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        f"from scaler.cli.{arguments[0]} import _main\n"
        "try:\n"
        f"    _main({arguments[1:]!r})\n"
        "except SystemExit as ended:\n"
        "    assert ended.code == 0, ended.code\n"
        "heavy = {'pydantic', 'zmq', 'cloudpickle', 'msgpack', 'pluggy', 'rich', 'scaler._core', 'asyncio'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=_environment(), check=False
    )
    assert found.returncode == 0, found.stderr
    assert "usage: scaler" in found.stdout


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("What.", "here", "do this"), 2),
        (UsageError("What.", "here", "do this"), 2),
        (AddressInUseError("What.", "here", "do this"), 1),
        (NobodyThereError("What.", "here", "do this"), 1),
    ],
)
def test_errors_are_three_lines(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def main(arguments: object) -> int:
        raise error

    assert command.run_command(main, []) == code
    assert capsys.readouterr().err == "error: What.\n  where: here\n  to do: do this\n"


def test_interrupt_ends_quietly(capsys: pytest.CaptureFixture[str]) -> None:
    def main(arguments: object) -> int:
        raise KeyboardInterrupt

    assert command.run_command(main, []) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("module", [scheduler, object_storage_server])
def test_wrong_address_ends_a_command_with_three_lines(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run_command(module._main, ["127.0.0.1:8516"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "tcp://127.0.0.1:8516" in lines[2]


def test_manager_without_arguments_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run_command(worker_manager._main, []) == 2
    assert "usage: scaler_worker_manager DRIVER ADDRESS" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tcp://127.0.0.1:8516"], "scaler_worker_manager baremetal_native tcp://127.0.0.1:8516"),
        (["symphony", "tcp://a:1"], "pip install scaler-plugin-symphony"),
        (["batch", "tcp://a:1"], "pip install scaler-plugin-batch"),
        (["baremetal_nativ", "tcp://a:1"], "did you mean baremetal_native?"),
        (["native", "tcp://a:1", "--mode", "Fixed"], "one of fixed, dynamic"),
        (["native", "tcp://a:1", "-mtc", "0"], "0 workers will not do"),
        (["native", "tcp://a:1", "-mtc", "-2"], "-1 for the driver's own number"),
        (["native", "tcp://a:1", "-mtc", "99999999999"], "1000000 at most"),
        (["native", "tcp://a:1", "-wmi", "a/b"], "no name for a worker manager"),
        (["native", "tcp://a:1", "-wmi", ""], "no name for a worker manager"),
        (["--mode", "fixed"], "The driver is missing"),
        (["-c"], "The driver is missing"),
        (["-c", "/no/such/file"], "The file cannot be read: No such file or directory"),
    ],
)
def test_manager_says_what_to_do(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run_command(worker_manager._main, arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) <= 3


@pytest.mark.parametrize(
    ("text", "where", "told"),
    [
        ("", "", "The file has 0 worker managers."),
        (2 * '[[worker_manager]]\ntype = "native"\n', "", "say which: scaler_worker_manager DRIVER -c FILE"),
        ("[worker_manager]\n", ", line 1", "A [[worker_manager]] has no type."),
        ('[worker_manager]\ntype = "natve"\n', ", line 2, [worker_manager] type", "did you mean native?"),
        (
            '[worker_manager]\ntype = "symphony"\n',
            ", line 2, [worker_manager] type",
            "pip install scaler-plugin-symphony",
        ),
        ('[worker_manager]\ntype = "batch"\n', ", line 2, [worker_manager] type", "pip install scaler-plugin-batch"),
        ('[worker_manager]\ntype = "orb"\n', ", line 2, [worker_manager] type", "pip install scaler-plugin-orb"),
        ('[worker_manager]\ntype = "native"\nmod = 1\n', ", line 3, [worker_manager] mod", "did you mean mode?"),
        ('[worker_manager]\ntype = "native"\n[worker_manager]\n', ", line 3", "[worker_manager] is there twice"),
    ],
)
@pytest.mark.parametrize("before", [[], ["--logging-level", "INFO"]], ids=["alone", "behind an option"])
def test_manager_from_a_file_says_what_to_do(
    text: str, where: str, told: str, before: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    assert command.run_command(worker_manager._main, [*before, f"--config={path}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[1] == f"  where: {path}{where}"
    assert told in lines[0] or told in lines[2]


@pytest.mark.parametrize("text", ['[worker_manager]\ntype = "native"\n', "[native_worker_adapter]\n"])
def test_manager_from_a_file_may_have_a_short_or_an_older_name(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'{text}scheduler_address = "tcp://127.0.0.1:1"\nmax_task_concurrency = 0\n')
    for arguments in (["-c", str(path)], ["native", "-c", str(path)], ["baremetal_native", "-c", str(path)]):
        assert command.run_command(worker_manager._main, arguments) == 2
        assert "0 workers will not do" in capsys.readouterr().err


@pytest.mark.parametrize("name", MODULES)
def test_version_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"scaler.cli.{name}")
    try:
        code = command.run_command(module._main, ["--version"])
    except SystemExit as ended:
        code = ended.code
    assert code in (0, None)
    assert capsys.readouterr().out == f"{scaler.__version__}\n"


@pytest.mark.parametrize("name", ["stack", "keys", "worker_manager"])
def test_nothing_typed_is_answered_by_the_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(f"scaler.cli.{name}")
    assert command.run_command(module._main, []) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", module.HELP)


def test_ping_is_a_word_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SCALER_SCHEDULER_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ping").write_text("[nonsense]\n")
    assert command.run_command(stack._main, ["ping"]) == 2
    assert "ADDRESS is missing" in capsys.readouterr().err
    assert command.run_command(stack._main, ["./ping"]) == 2
    assert "nonsense" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        stack._main(["ping", "--help"])
    assert "usage: scaler ping ADDRESS" in capsys.readouterr().out


def test_help_is_grouped(capsys: pytest.CaptureFixture[str]) -> None:
    assert worker_manager._main(["native", "--help"]) == 0
    text = capsys.readouterr().out
    headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        *("driver baremetal_native:", "worker manager:", "workers:", "keys and network:", "logging:", "general:"),
    ]
    assert "--mode is SCALER_MODE, ADDRESS is SCALER_SCHEDULER_ADDRESS" in text
    assert all(len(line) <= 120 for line in text.splitlines())


def test_keys_command_says_where_and_never_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SCALER_KEY", raising=False)
    monkeypatch.delenv("SCALER_KEY_FILE", raising=False)
    monkeypatch.setenv("SCALER_CONFIG_DIR", str(tmp_path))
    assert command.run_command(keys._main, ["show"]) == 2
    assert "scaler_keys create" in capsys.readouterr().err
    assert command.run_command(keys._main, ["create"]) == 0
    assert command.run_command(keys._main, ["show"]) == 0
    shown = capsys.readouterr().out
    secret = (tmp_path / "cluster.key").read_text().split(":")[1].strip()
    assert str(tmp_path / "cluster.key") in shown
    assert secret not in shown
    assert command.run_command(keys._main, ["export"]) == 0
    assert capsys.readouterr().out.startswith("scaler1:")
    assert command.run_command(keys._main, ["exprot"]) == 2
    assert "did you mean export?" in capsys.readouterr().err
