"""The folder of this user's sockets, and sockets at a path: who has it, and what is left of the dead."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
from pathlib import Path

from scaler.transport.addresses import LONGEST_PATH
from scaler.transport.errors import AddressInUseError, ConfigurationError

# Stands where the cluster's id would be, in the socket names of parts that run without keys.
INSECURE = "insecure"


def runtime_folder() -> Path:
    """This user's folder for sockets, made if it is missing (mode 0700).

    `$SCALER_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/scaler`, else `/tmp/scaler-<uid>`. ConfigurationError when it is a
    link, belongs to somebody else or is open to others: whoever may write there could stand in for a scheduler.
    """
    folder = _folder_by_environment()
    try:
        folder.mkdir(mode=0o700, parents=False, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ConfigurationError(
            f"The runtime folder cannot be made: {error.strerror}.", str(folder), "set SCALER_RUNTIME_DIR to a folder"
        ) from None
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(
            "The runtime folder is a link or no folder.", str(folder), "remove it, or set SCALER_RUNTIME_DIR"
        )
    if found.st_uid != os.geteuid():
        raise ConfigurationError(
            f"The runtime folder belongs to another user (id {found.st_uid}).",
            str(folder),
            "set SCALER_RUNTIME_DIR to a folder of your own",
        )
    if found.st_mode & 0o077:
        raise ConfigurationError("The runtime folder is open to other users.", str(folder), f"chmod 700 {folder}")
    return folder


def _folder_by_environment() -> Path:
    if chosen := os.environ.get("SCALER_RUNTIME_DIR"):
        return Path(chosen)
    session = os.environ.get("XDG_RUNTIME_DIR")
    if session and os.path.isdir(session) and os.access(session, os.W_OK):
        return Path(session) / "scaler"
    return Path(f"/tmp/scaler-{os.geteuid()}")


def socket_path(cluster: str, port: int) -> str:
    """Where the part of `cluster` (16 hex digits, "" without keys) that has tcp port `port` listens for local peers."""
    path = str(runtime_folder() / f"{cluster or INSECURE}-{port}.sock")
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ConfigurationError(
            f"The path of the local socket is longer than {LONGEST_PATH} bytes.",
            path,
            "set SCALER_RUNTIME_DIR to a folder with a shorter name",
        )
    return path


class LocalListener:
    """A listening Unix socket that is this process's alone while it lives.

    A lock beside it tells a living owner from a dead one: a socket file alone does not, and connecting to find out
    would disturb the owner. The kernel lets go of the lock when the owner dies, however it does.
    """

    def __init__(self, path: str) -> None:
        """AddressInUseError when a living process has the path; ConfigurationError when it cannot be had at all."""
        self.path = path
        self._lock_path = path + ".lock"
        self._lock = _take_lock(self._lock_path, path)
        try:
            _remove_stale(path)
            self.socket: socket.socket | None = _bind(path)
        except BaseException:
            self._release()
            raise

    def detach(self) -> int:
        """The listening descriptor, for its new owner. The path stays ours until `close`."""
        if self.socket is None:
            raise ValueError("the descriptor has an owner already")
        descriptor = self.socket.detach()
        self.socket = None
        return descriptor

    def close(self) -> None:
        """Removes the files. May be repeated."""
        if self._lock < 0:
            return
        if self.socket is not None:
            self.socket.close()
            self.socket = None
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self._release()

    def _release(self) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._lock_path)
        os.close(self._lock)
        self._lock = -1


def remove_left_over(path: str) -> None:
    """Removes the files of a listener that was killed, if there are any and nobody has taken them over."""
    with contextlib.suppress(ConfigurationError):
        LocalListener(path).close()


def _take_lock(lock_path: str, path: str) -> int:
    while True:
        try:
            descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _cannot_bind(path, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise AddressInUseError(
                "Another process listens at this address.", path, "end it, or choose another address"
            ) from None
        # The owner before us may have removed the file between our open and our lock: then we hold a lock on nothing.
        try:
            if os.path.samestat(os.fstat(descriptor), os.stat(lock_path)):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _remove_stale(path: str) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise AddressInUseError("There is a file in the place of the socket.", path, "choose another path")
    # A lock that was free says that none of ours listens here; another program might.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(path) in {0, errno.EAGAIN, errno.EINPROGRESS}:
            raise AddressInUseError("Another program listens at this address.", path, "choose another path")
    os.unlink(path)


def _bind(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Before the bind: so there is no moment at which others may connect.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(path)
        listener.listen(1024)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _cannot_bind(path, error) from None
    return listener


def _cannot_bind(path: str, error: OSError) -> ConfigurationError:
    mend = "make the folder first" if error.errno == errno.ENOENT else "choose a path that you may write to"
    return ConfigurationError(f"Cannot listen at a path: {error.strerror}.", path, mend)
