"""The runtime folder and sockets at a path: who may have them, and what is left of the dead."""

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from scaler.transport import runtime
from scaler.transport.errors import AddressInUseError, ConfigurationError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    chosen = tmp_path / "run"
    monkeypatch.setenv("SCALER_RUNTIME_DIR", str(chosen))
    return chosen


def test_folder_is_made_for_this_user_alone(folder: Path) -> None:
    assert runtime.runtime_folder() == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert runtime.socket_path("0123456789abcdef", 8516) == str(folder / "0123456789abcdef-8516.sock")
    assert runtime.socket_path("", 8516) == str(folder / "insecure-8516.sock")


def test_folder_follows_the_session_where_none_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCALER_RUNTIME_DIR")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime.runtime_folder() == tmp_path / "scaler"


def test_link_in_the_place_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="is a link or no folder"):
        runtime.runtime_folder()


def test_open_folder_is_refused_with_the_command_that_closes_it(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(ConfigurationError, match=f"chmod 700 {folder}"):
        runtime.runtime_folder()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_folder_of_another_user_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, -1)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        runtime.runtime_folder()


def test_long_folder_is_refused_before_the_kernel_cuts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALER_RUNTIME_DIR", str(tmp_path / ("x" * 100)))
    with pytest.raises(ConfigurationError, match="longer than 107"):
        runtime.socket_path("0123456789abcdef", 8516)


def test_socket_is_its_owners_alone(tmp_path: Path) -> None:
    listener = runtime.LocalListener(str(tmp_path / "s"))
    assert stat.S_IMODE(os.stat(tmp_path / "s").st_mode) == 0o600
    with pytest.raises(AddressInUseError, match="Another process listens"):
        runtime.LocalListener(str(tmp_path / "s"))
    listener.close()
    listener.close()
    assert list(tmp_path.iterdir()) == []
    runtime.LocalListener(str(tmp_path / "s")).close()


def test_socket_of_a_dead_owner_is_taken_over(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    code = (
        "import sys; from scaler.transport.runtime import LocalListener\n"
        f"listener = LocalListener({path!r}); print('there', flush=True); sys.stdin.read()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"there\n"
        with pytest.raises(AddressInUseError):
            runtime.LocalListener(path)
        owner.send_signal(signal.SIGKILL)
    assert os.path.exists(path)
    runtime.LocalListener(path).close()


def test_socket_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        with pytest.raises(AddressInUseError, match="Another program"):
            runtime.LocalListener(path)
        assert os.path.exists(path)


def test_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("precious")
    with pytest.raises(AddressInUseError, match="There is a file"):
        runtime.LocalListener(str(tmp_path / "s"))
    assert (tmp_path / "s").read_text() == "precious"
    assert [each.name for each in tmp_path.iterdir()] == ["s"]


def test_missing_folder_of_a_path_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="make the folder first"):
        runtime.LocalListener(str(tmp_path / "no" / "s"))
