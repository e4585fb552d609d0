"""The cluster's key, join tokens and tickets (ARCHITECTURE.md, "Keys").

Nothing in here puts a secret into a text: not `repr`, not an error.
"""

import base64
import binascii
import contextlib
import os
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scaler.transport.errors import ClusterKeyError
from scaler.transport.x25519 import public_key

KEY_PREFIX = "scaler-cluster-key-1:"
TOKEN_PREFIX = "scaler1:"

# Roles of the hello (core_rs/wire, `Role`); ANY_ROLE stands in the ticket of a token for whole machines.
ROLES = {"client": 0, "node": 1, "manager": 2, "scheduler": 3, "objects": 4}
ANY_ROLE = 255

EXPORT_LINE = "export SCALER_KEY=$(scaler_keys export)"


@dataclass(frozen=True, repr=False)
class ClusterKey:
    """All secrets of a cluster: whoever has it can be its scheduler."""

    server_secret: bytes
    client_secret: bytes
    ticket_key: bytes

    def __repr__(self) -> str:
        return f"<cluster key of {self.cluster}>"

    @cached_property
    def server_public(self) -> bytes:
        return public_key(self.server_secret)

    @cached_property
    def cluster(self) -> str:
        return cluster_id(self.server_public)

    def ticket(self, role: str) -> bytes:
        """A ticket of our own making for one role, without an end."""
        return make_ticket(self.ticket_key, ROLES[role])

    def token(self, *, role: int = ANY_ROLE, group: str = "", expiry: int = 0) -> str:
        """A join token: what another machine needs to be a member. `expiry` in seconds since the epoch, 0 never."""
        ticket = make_ticket(self.ticket_key, role, group, expiry)
        return _token_text(self.server_public + self.client_secret + ticket)

    def text(self) -> str:
        """The content of a key file."""
        secrets = self.server_secret + self.client_secret + self.ticket_key
        return KEY_PREFIX + base64.b64encode(secrets).decode("ascii") + "\n"


@dataclass(frozen=True, repr=False)
class JoinToken:
    """What a member needs: enough to connect, not enough to be the scheduler."""

    server_public: bytes
    client_secret: bytes
    _ticket: bytes

    def __repr__(self) -> str:
        return f"<join token of {self.cluster}>"

    @cached_property
    def cluster(self) -> str:
        return cluster_id(self.server_public)

    def ticket(self, role: str) -> bytes:
        """The one ticket that it has, whatever the role."""
        return self._ticket

    def text(self) -> str:
        """As `parse_key` takes it."""
        return _token_text(self.server_public + self.client_secret + self._ticket)


Key = ClusterKey | JoinToken


def _token_text(body: bytes) -> str:
    return TOKEN_PREFIX + base64.urlsafe_b64encode(body).decode("ascii").rstrip("=")


def cluster_id(server_public: bytes) -> str:
    return _blake3(server_public).hex()[:16]


def make_ticket(ticket_key: bytes, role: int, group: str = "", expiry: int = 0) -> bytes:
    name = group.encode("utf-8")
    if len(name) > 255:
        raise ValueError("a group's name has at most 255 bytes")
    head = struct.pack("<BQB", role, expiry, len(name)) + name
    return head + _blake3(head, ticket_key)


def new_key() -> ClusterKey:
    return ClusterKey(os.urandom(32), os.urandom(32), os.urandom(32))


def parse_key(text: str, where: str) -> Key:
    """A cluster key or a join token. ClusterKeyError names `where` it came from, never what it was."""
    text = text.strip()
    if text.startswith(KEY_PREFIX):
        secrets = _decode(text[len(KEY_PREFIX) :], where)
        if len(secrets) != 96:
            raise _not_a_key(where)
        return ClusterKey(secrets[:32], secrets[32:64], secrets[64:])
    if text.startswith(TOKEN_PREFIX):
        body = _decode(text[len(TOKEN_PREFIX) :].replace("-", "+").replace("_", "/"), where)
        # role, expiry, an empty group's length, MAC
        if len(body) < 64 + 1 + 8 + 1 + 32:
            raise _not_a_key(where)
        return JoinToken(body[:32], body[32:64], body[64:])
    raise _not_a_key(where)


def _decode(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _not_a_key(where) from None


def _not_a_key(where: str) -> ClusterKeyError:
    return ClusterKeyError(
        "This is neither a cluster key nor a join token.",
        where,
        f"a join token begins with {TOKEN_PREFIX} and comes from: scaler_keys export",
    )


def default_key_file() -> Path:
    """`$SCALER_KEY_FILE`, else `cluster.key` in `$SCALER_CONFIG_DIR`, else in `~/.config/scaler`."""
    if chosen := os.environ.get("SCALER_KEY_FILE"):
        return Path(chosen).expanduser()
    return config_folder() / "cluster.key"


def key_source() -> str:
    """Where `find_key` looks first, for people."""
    if os.environ.get("SCALER_KEY"):
        return "the environment variable SCALER_KEY"
    return str(default_key_file())


def config_folder() -> Path:
    if chosen := os.environ.get("SCALER_CONFIG_DIR"):
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "scaler"


def insecure_by_environment() -> bool:
    return os.environ.get("SCALER_INSECURE", "").strip().lower() in {"1", "true", "yes", "on"}


def find_key(key: "Key | str | None" = None, key_file: str | os.PathLike[str] | None = None) -> Key | None:
    """The key to use, or None where there is none yet.

    `key` (a token's or key's text) comes before `key_file`, before `SCALER_KEY`, before the file of
    `default_key_file`. ClusterKeyError when what is named cannot be used.
    """
    if isinstance(key, str):
        return parse_key(key, "the key given")
    if key is not None:
        return key
    if key_file is not None:
        return _read_existing(Path(key_file).expanduser())
    if text := os.environ.get("SCALER_KEY"):
        return parse_key(text, "the environment variable SCALER_KEY")
    if os.environ.get("SCALER_KEY_FILE"):
        return _read_existing(default_key_file())
    return read_key_file(default_key_file())


def find_or_make_key(key: "Key | str | None" = None, key_file: str | os.PathLike[str] | None = None) -> Key:
    """Like `find_key`; makes the user's cluster key on first use, in the file named or the default one."""
    if key is None and (key_file is not None or not os.environ.get("SCALER_KEY")):
        path = Path(key_file).expanduser() if key_file is not None else default_key_file()
        return read_key_file(path) or make_key_file(path)
    found = find_key(key, key_file)
    assert found is not None, "a key that was named is found or raises"
    return found


def find_cluster_key(key: "Key | str | None" = None, key_file: str | os.PathLike[str] | None = None) -> ClusterKey:
    """For a scheduler or a storage: like `find_or_make_key`, where a join token will not do."""
    found = find_or_make_key(key, key_file)
    if isinstance(found, ClusterKey):
        return found
    raise ClusterKeyError(
        "A join token lets a machine join a cluster; it cannot run one.",
        "",
        "unset SCALER_KEY, or give the cluster's own key by SCALER_KEY_FILE or --key-file",
    )


def read_key_file(path: Path) -> Key | None:
    """The key in a file, None when there is no such file. ClusterKeyError when it cannot be read or trusted."""
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            content = file.read(4096)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ClusterKeyError(
            f"The key cannot be read: {error.strerror}.", str(path), "chmod 600 it, or set SCALER_KEY_FILE to another"
        ) from None
    if found.st_uid not in {os.geteuid(), 0}:
        raise ClusterKeyError("The key belongs to another user.", str(path), "use a key file of your own")
    if found.st_mode & 0o077:
        raise ClusterKeyError("The key can be read by other users.", str(path), f"chmod 600 {path}")
    return parse_key(content.decode("utf-8", "replace"), str(path))


def _read_existing(path: Path) -> Key:
    found = read_key_file(path)
    if found is None:
        raise ClusterKeyError("There is no key file.", str(path), f"make one: scaler_keys create --key-file {path}")
    return found


def make_key_file(path: Path) -> Key:
    """Makes a new key at `path` (mode 0600, its folder 0700) unless one is there, and returns what is there then.

    Written beside and linked into place: of two first starts at once one wins and both use its key, and nobody ever
    reads half a file.
    """
    draft = path.parent / f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(new_key().text())
                file.flush()
                os.fsync(descriptor)
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise ClusterKeyError(
            f"No cluster key can be made: {error.strerror}.",
            str(path),
            "set SCALER_KEY_FILE to a file that you may write, or --insecure to run without keys",
        ) from None
    return _read_existing(path)


def _blake3(data: bytes, key: bytes | None = None) -> bytes:
    from scaler import _core

    return _core.blake3(data, key)
