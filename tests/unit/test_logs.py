"""Where a command's log goes, and what is said of a place that it cannot go to."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from scaler.config import logs
from scaler.config.logs import set_up_logging
from scaler.transport.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    logger = logging.getLogger("scaler")
    before = (logger.level, logger.propagate, list(logger.handlers))
    yield
    for handler in logger.handlers:
        if handler not in before[2]:
            handler.close()
    logger.setLevel(before[0])
    logger.propagate, logger.handlers = before[1:]


def test_a_file_and_the_standard_output_get_what_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOGS", str(tmp_path))
    set_up_logging("WARNING", ["-", "$LOGS/a.log", "$LOGS/a.log"])
    logging.getLogger("scaler.config").warning("told")
    logging.getLogger("scaler.config").info("not told")
    (line,) = (tmp_path / "a.log").read_text().splitlines()
    assert line.endswith("WARNING  scaler.config: told")
    assert capsys.readouterr().out == f"{line}\n"


def test_a_configuration_of_python_goes_before_both(tmp_path: Path) -> None:
    file = tmp_path / "logging.conf"
    file.write_text(
        "[loggers]\nkeys=root,ours\n[handlers]\nkeys=file\n[formatters]\nkeys=\n[logger_root]\nhandlers=\n"
        "[logger_ours]\nqualname=scaler\nhandlers=file\nlevel=ERROR\npropagate=0\n"
        f"[handler_file]\nclass=FileHandler\nargs=({str(tmp_path / 'b.log')!r},)\n"
    )
    root = logging.getLogger()
    handlers = list(root.handlers)
    try:
        set_up_logging("INFO", [str(tmp_path / "none.log")], str(file))
    finally:
        root.handlers = handlers
    logging.getLogger("scaler.config").error("told")
    assert (tmp_path / "b.log").read_text() == "told\n"
    assert not (tmp_path / "none.log").exists()


@pytest.mark.parametrize(
    ("paths", "config", "told"),
    [
        (["none/a.log"], None, "The log cannot be written: No such file or directory."),
        (["-", "."], None, "The log cannot be written: Is a directory."),
        (["-"], "none.conf", "The logging configuration cannot be used: "),
        (["-"], "bad.conf", "The logging configuration cannot be used: "),
    ],
)
def test_what_cannot_be_used_is_said(
    paths: list[str], config: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.conf").write_text("[loggers]\nkeys=root\n")
    handlers = list(logging.getLogger("scaler").handlers)
    with pytest.raises(ConfigurationError) as caught:
        set_up_logging("INFO", paths, config)
    assert caught.value.what.startswith(told)
    assert Path(caught.value.where).name == Path(config or paths[-1]).name
    assert logging.getLogger("scaler").handlers == handlers


def test_a_secret_is_in_no_log_whoever_logs_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_secrets", set())
    set_up_logging("INFO", ["-"])
    logs.hide_in_logs("open sesame")
    logs.hide_in_logs("e")
    logger = logging.getLogger("scaler.drivers.x")
    logger.info("connecting with %s", {"key": "open sesame"})
    try:
        raise ValueError("open sesame is no key")
    except ValueError:
        logger.exception("it failed")
    text = capsys.readouterr().out
    assert "sesame" not in text
    assert "connecting with {'key': '***'}" in text
    assert "ValueError: *** is no key" in text
