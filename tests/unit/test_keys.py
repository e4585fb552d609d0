"""Keys, tokens and tickets: formats, where they are found, and that no secret gets into a text."""

import base64
import os
import stat
import struct
import threading
from pathlib import Path

import pytest
import zmq
from scaler import _core
from scaler.transport import keys, x25519
from scaler.transport.errors import ClusterKeyError
from zmq.utils import z85


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SCALER_KEY", "SCALER_KEY_FILE", "SCALER_INSECURE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SCALER_CONFIG_DIR", str(tmp_path / "config"))


def test_public_key_is_the_one_that_zmq_derives() -> None:
    for _ in range(20):
        secret = os.urandom(32)
        assert x25519.public_key(secret) == z85.decode(zmq.curve_public(z85.encode(secret)))


def test_secret_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        x25519.public_key(bytes(31))


def test_first_use_makes_a_private_file_in_a_private_folder() -> None:
    key = keys.find_or_make_key()
    path = keys.default_key_file()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert keys.find_or_make_key() == key
    assert [each.name for each in path.parent.iterdir()] == ["cluster.key"]


def test_key_file_has_the_documented_form() -> None:
    key = keys.find_cluster_key()
    text = keys.default_key_file().read_text()
    assert text.startswith("scaler-cluster-key-1:")
    assert base64.b64decode(text.split(":")[1]) == key.server_secret + key.client_secret + key.ticket_key


def test_first_starts_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "shared" / "cluster.key"
    barrier = threading.Barrier(16)
    made: list[keys.Key] = []

    def first_start() -> None:
        barrier.wait()
        made.append(keys.make_key_file(path))

    starts = [threading.Thread(target=first_start) for _ in range(16)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert len(made) == 16
    assert len(set(made)) == 1
    assert [each.name for each in path.parent.iterdir()] == ["cluster.key"]


def test_cluster_is_the_hash_of_the_servers_public_key() -> None:
    key = keys.new_key()
    assert key.cluster == _core.blake3(key.server_public).hex()[:16]


def test_token_gives_a_member_what_it_needs_and_no_more() -> None:
    key = keys.new_key()
    token = keys.parse_key(key.token(), "here")
    assert isinstance(token, keys.JoinToken)
    assert (token.server_public, token.client_secret, token.cluster) == (
        key.server_public,
        key.client_secret,
        key.cluster,
    )
    text = base64.urlsafe_b64decode(key.token().removeprefix("scaler1:") + "==")
    assert key.server_secret not in text
    assert key.ticket_key not in text


def test_ticket_is_authenticated_by_the_ticket_key() -> None:
    key = keys.new_key()
    ticket = keys.make_ticket(key.ticket_key, keys.ROLES["node"], "group-ä", 1234)
    head, mac = ticket[:-32], ticket[-32:]
    name = "group-ä".encode()
    assert head == struct.pack("<BQB", 1, 1234, len(name)) + name
    assert mac == _core.blake3(head, key.ticket_key)
    assert key.ticket("client")[0] == 0
    token = keys.parse_key(key.token(), "here")
    assert token.ticket("client") == token.ticket("node")
    assert token.ticket("client")[0] == keys.ANY_ROLE


def test_named_sources_come_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default, named, chosen, variable = (keys.new_key() for _ in range(4))
    keys.default_key_file().parent.mkdir()
    for path, key in {keys.default_key_file(): default, tmp_path / "named": named, tmp_path / "chosen": chosen}.items():
        path.write_text(key.text())
        path.chmod(0o600)
    assert keys.find_key() == default
    monkeypatch.setenv("SCALER_KEY_FILE", str(tmp_path / "named"))
    assert keys.find_key() == named
    monkeypatch.setenv("SCALER_KEY", variable.token())
    assert keys.find_key() == keys.parse_key(variable.token(), "")
    assert keys.find_key(None, tmp_path / "chosen") == chosen
    assert keys.find_key(default.token(), tmp_path / "chosen") == keys.parse_key(default.token(), "")
    assert keys.find_key(default) is default


def test_no_key_is_no_error_until_a_file_was_named(tmp_path: Path) -> None:
    assert keys.find_key() is None
    with pytest.raises(ClusterKeyError, match="There is no key file"):
        keys.find_key(None, tmp_path / "missing")


@pytest.mark.parametrize(
    "content", ["", "garbage", "scaler-cluster-key-1:!!!", "scaler-cluster-key-1:QUJD", "scaler1:QUJD"]
)
def test_garbage_is_no_key_and_is_not_repeated(content: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ClusterKeyError) as caught:
        keys.find_key(None, path)
    assert str(path) in str(caught.value)
    assert not content or content not in caught.value.what + caught.value.mend


def test_open_key_file_is_refused_with_the_command_that_closes_it() -> None:
    keys.find_or_make_key()
    path = keys.default_key_file()
    path.chmod(0o644)
    with pytest.raises(ClusterKeyError, match=f"chmod 600 {path}"):
        keys.find_key()


def test_folder_in_the_place_of_the_key_is_said(tmp_path: Path) -> None:
    with pytest.raises(ClusterKeyError, match="cannot be read"):
        keys.find_key(None, tmp_path)


def test_key_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterKeyError, match="No cluster key can be made"):
        keys.make_key_file(tmp_path / "file" / "cluster.key")


def test_join_token_cannot_run_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALER_KEY", keys.new_key().token())
    with pytest.raises(ClusterKeyError, match="cannot run one"):
        keys.find_cluster_key()


def test_no_secret_in_any_text() -> None:
    key = keys.new_key()
    token = keys.parse_key(key.token(), "here")
    for secret in (key.server_secret, key.client_secret, key.ticket_key):
        for text in (repr(key), repr(token), str(key)):
            assert secret.hex() not in text
            assert repr(secret)[2:-1] not in text
            assert base64.b64encode(secret).decode()[:-2] not in text


@pytest.mark.parametrize(("value", "insecure"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_insecure_is_asked_for_by_name(value: str, insecure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALER_INSECURE", value)
    assert keys.insecure_by_environment() is insecure
