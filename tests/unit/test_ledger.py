"""A manager's ledger: what is recorded is on disk, whatever happens to the process or the file."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from scaler.managers.ledger import Entry, Ledger, LedgerError, read_entries, state_directory
from scaler.transport.errors import ConfigurationError

INTENDED = Entry("m-1", 2, [("gpu", 2), ("linux", -1)], "intended", "")
STARTED = INTENDED._replace(state="started", infrastructure="i-17")
OTHER = Entry("m-2", 1, [], "intended", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "m"


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Ledger]:
    ledger = Ledger(folder)
    try:
        yield ledger
    finally:
        ledger.close()


def test_what_is_recorded_is_there_for_the_next_one(folder: Path) -> None:
    with opened(folder) as ledger:
        assert ledger.entries() == []
        ledger.record([INTENDED, OTHER])
        ledger.record([STARTED])
        assert ledger.entries() == [STARTED, OTHER]
    with opened(folder) as ledger:
        assert ledger.entries() == [STARTED, OTHER]
        ledger.record([STARTED._replace(state="forgotten"), Entry("unknown", 1, [], "forgotten", "")])
        assert ledger.entries() == [OTHER]
    assert read_entries(folder) == [OTHER]
    assert read_entries(folder / "not") == []


def test_starts_are_counted(folder: Path) -> None:
    for generation in (1, 2, 3):
        with opened(folder) as ledger:
            assert ledger.generation == generation - 1, "a look is no start"
            ledger.begin()
            assert ledger.generation == generation


def test_its_folder_is_the_users_own(folder: Path) -> None:
    with opened(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_each_manager_of_each_cluster_has_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SCALER_STATE_DIR", str(tmp_path))
    found = {state_directory(cluster, name) for cluster in ("a", "b") for name in ("m", "../m", "m/n", "m n")}
    assert len(found) == 8
    assert all(each.parent.parent.parent == tmp_path for each in found)
    monkeypatch.delenv("SCALER_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "x"))
    assert state_directory("a", "m") == tmp_path / "x" / "scaler" / "managers" / "a" / "m"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "h"))
    assert state_directory("a", "m") == tmp_path / "h" / ".local" / "state" / "scaler" / "managers" / "a" / "m"


def test_a_second_process_of_the_manager_is_told_whose_it_is(folder: Path) -> None:
    with opened(folder), pytest.raises(ConfigurationError) as found:
        Ledger(folder)
    assert f"as process {os.getpid()}" in found.value.what
    assert "--worker-manager-id" in found.value.mend
    with opened(folder):
        pass


HOLD = """
import os, sys
from pathlib import Path
from scaler.managers.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
ledger.begin()
for number in range(10_000):
    ledger.record([(f"g-{number}", 1, [], "intended", "")])
    os.write(1, b"%d\\n" % number)
"""


def test_what_a_killed_process_has_recorded_is_there_and_its_lock_is_not(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, env=environment, bufsize=0
    )
    assert process.stdout is not None
    text = b""
    while text.count(b"\n") < 20:
        text += process.stdout.read(64) or b""
    with pytest.raises(ConfigurationError, match=f"as process {process.pid}"):
        Ledger(folder)
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    last = int((text + rest).split()[-1])
    with opened(folder) as ledger:
        names = [each.group for each in ledger.entries()]
        assert names[: last + 1] == [f"g-{number}" for number in range(last + 1)]
        assert len(names) <= last + 2
        assert ledger.generation == 1


def test_a_process_that_is_ending_is_waited_for(folder: Path) -> None:
    first = Ledger(folder)
    ending = threading.Timer(0.1, first.close)
    ending.start()
    with contextlib.closing(Ledger(folder, patience=60.0)) as second:
        assert second.entries() == []
    ending.join()


def _corrupt_middle(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 4096)


def _other_columns(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE groups; CREATE TABLE groups (a, b);")


def _other_form(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def _odd_values(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE groups SET capabilities = 'nonsense'")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"this is no database, and long enough to be none" * 100),
        lambda path: os.truncate(path, 5000),
        *(_corrupt_middle, _other_columns, _other_form, _odd_values),
    ],
    ids=["text", "cut", "overwritten", "columns", "form", "values"],
)
def test_a_corrupt_file_is_moved_aside_with_a_warning(
    damage: object, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(folder) as ledger:
        ledger.record([Entry(f"g-{number}", 1, [("x", 1)], "started", "i") for number in range(300)])
    damage(folder / "ledger.sqlite")  # type: ignore[operator]
    with opened(folder) as ledger:
        assert ledger.entries() == []
        assert ledger.generation == 0
        ledger.record([INTENDED])
        assert ledger.entries() == [INTENDED]
    assert "cannot be read and was moved to" in caplog.text
    assert len(list(folder.glob("ledger.sqlite.unreadable-*"))) == 1


def test_a_disk_without_room_is_an_error_and_nothing_is_recorded(folder: Path) -> None:
    """A limit on files' sizes stands for a full disk."""
    with opened(folder) as ledger:
        ledger.record([INTENDED])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
        try:
            with pytest.raises(LedgerError) as found:
                ledger.record([Entry(f"g-{number}", 1, [], "intended", "") for number in range(5_000)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)
        assert "cannot be written" in found.value.what
        assert "--state-directory" in found.value.mend
        assert ledger.entries() == [INTENDED]
        ledger.record([OTHER])
    with opened(folder) as ledger:
        assert ledger.entries() == [INTENDED, OTHER]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError) as found:
        Ledger(tmp_path / "file" / "m")
    assert "cannot be made: Not a directory" in found.value.what


def test_a_file_that_may_only_be_read_is_an_error_and_is_left_where_it_is(folder: Path) -> None:
    """As on a file system that is mounted read-only, which root may not write either."""
    with opened(folder) as ledger:
        ledger.record([INTENDED])
    path = folder / "ledger.sqlite"
    path.rename(folder / "kept")
    path.mkdir()
    with pytest.raises(LedgerError):
        Ledger(folder)
    assert path.is_dir()
