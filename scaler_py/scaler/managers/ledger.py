"""What a manager has asked an infrastructure for, on disk before it asks.

One SQLite file and one lock in a folder of the manager's own. Each record is in the file for good when `record`
returns: a process that is killed at any moment is followed by one that knows what may be there. What is there is known
by the driver's heartbeat alone; so a file that cannot be read is moved aside and is no reason not to start.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import sqlite3
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from scaler.transport.errors import ConfigurationError, ThreeLineError

log = logging.getLogger("scaler.managers")

_FILE = "ledger.sqlite"
_LOCK = "lock"
_FORM = 1
# Between two looks at whether another process has ended: nobody says so.
_LOOK_SECONDS = 0.05
FORGOTTEN = "forgotten"

_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS groups (
    name TEXT PRIMARY KEY,
    slots INTEGER NOT NULL,
    capabilities TEXT NOT NULL,
    state TEXT NOT NULL,
    infrastructure TEXT NOT NULL
);
"""
_SELECT = "SELECT name, slots, capabilities, state, infrastructure FROM groups ORDER BY rowid"
_UPSERT = """
INSERT INTO groups VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
    slots = excluded.slots, capabilities = excluded.capabilities, state = excluded.state,
    infrastructure = excluded.infrastructure
"""


class LedgerError(ThreeLineError, OSError):
    """The ledger cannot be read or written. Nothing may be asked for then."""


class Entry(NamedTuple):
    """A group, as the core's requests and settings have it. state: "intended", "started", "ending" or "forgotten"."""

    group: str
    slots: int
    capabilities: list[tuple[str, int]]
    state: str
    infrastructure: str


def state_directory(cluster: str, manager: str) -> Path:
    """Where a manager's ledger is unless told otherwise: `$SCALER_STATE_DIR`, else `$XDG_STATE_HOME/scaler`, else
    `~/.local/state/scaler`, and in there by cluster and manager."""
    folder = Path(os.environ.get("SCALER_STATE_DIR") or _state_home() / "scaler").expanduser()
    return folder / "managers" / cluster / urllib.parse.quote(manager, safe="")


def _state_home() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")


class Ledger:
    """Locked from the start to `close`, or the process's end. generation: how often this manager was started."""

    def __init__(self, folder: Path, patience: float = 0.0) -> None:
        """patience: seconds that another process which has it may still take to end.

        ConfigurationError: another process has it. LedgerError: it cannot be written."""
        self.folder = folder
        self.path = folder / _FILE
        self._lock = threading.Lock()
        with self._guarded("make"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._locked = _lock(folder, patience)
        try:
            self._connection = self._open()
            with self._guarded("read"):
                self.generation = self._counted()
        except BaseException:
            os.close(self._locked)
            raise

    def begin(self) -> None:
        """Counts a start."""
        with self._lock, self._guarded("write"):
            with self._transaction() as connection:
                connection.execute(
                    "INSERT INTO about VALUES ('generation', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"
                )
            self.generation = self._counted()

    def entries(self) -> list[Entry]:
        """All groups that are not forgotten, in the order in which they were recorded first."""
        with self._lock, self._guarded("read"):
            rows = self._connection.execute(_SELECT).fetchall()
        return [Entry(name, slots, _capabilities(text), state, place) for name, slots, text, state, place in rows]

    def record(self, entries: Iterable[tuple[str, int, Iterable[tuple[str, int]], str, str]]) -> None:
        """All of them, or, after a LedgerError, none. They are on the disk when this returns."""
        with self._lock, self._guarded("write"), self._transaction() as connection:
            for group, slots, capabilities, state, infrastructure in entries:
                if state == FORGOTTEN:
                    connection.execute("DELETE FROM groups WHERE name = ?", (group,))
                    continue
                text = json.dumps([list(each) for each in capabilities])
                connection.execute(_UPSERT, (group, slots, text, state, infrastructure))

    def close(self) -> None:
        with self._lock:
            self._connection.close()
            os.close(self._locked)

    def _open(self) -> sqlite3.Connection:
        try:
            return _connect(self.path)
        except sqlite3.DatabaseError as error:
            if not _is_corrupt(error):
                raise self._error("opened", error) from None
        aside = _move_aside(self.path)
        log.warning(
            "the ledger %s cannot be read and was moved to %s: what is there is learned from the infrastructure",
            *(self.path, aside),
        )
        with self._guarded("make"):
            return _connect(self.path)

    def _counted(self) -> int:
        found = self._connection.execute("SELECT value FROM about WHERE name = 'generation'").fetchone()
        return 0 if found is None else int(found[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            # A full disk may have ended it already.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, ThreeLineError):
                raise
            past = {"make": "made", "write": "written", "read": "read"}[what]
            raise self._error(past, error) from None

    def _error(self, what: str, error: Exception) -> LedgerError:
        text = (error.strerror if isinstance(error, OSError) else "") or str(error)
        return LedgerError(
            f"The manager's ledger cannot be {what}: {text}.",
            str(self.path),
            "make room there, or name another folder with --state-directory; nothing is started without it",
        )


def read_entries(folder: Path) -> list[Entry]:
    """Those of a ledger that nobody need have locked; none where it cannot be read. For a look, not for decisions."""
    try:
        connection = sqlite3.connect(f"{(folder / _FILE).as_uri()}?mode=ro", uri=True)
        with contextlib.closing(connection):
            rows = connection.execute(_SELECT).fetchall()
    except sqlite3.Error:
        return []
    return [Entry(name, slots, _capabilities(text), state, place) for name, slots, text, state, place in rows]


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # A rollback journal and FULL: what is committed is on the disk, by fsync of file, journal and folder.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_TABLES)
        (form,) = connection.execute("PRAGMA user_version").fetchone()
        if form not in (0, _FORM):
            raise sqlite3.DatabaseError(f"file is not a database of form {_FORM}")
        connection.execute(f"PRAGMA user_version = {_FORM}")
        if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("malformed")
        for _, slots, text, _, _ in connection.execute(_SELECT):
            _capabilities(text)
            int(slots)
    except (ValueError, TypeError, sqlite3.Error) as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise
        raise sqlite3.DatabaseError(f"malformed: {error}") from None
    return connection


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    """Rather than full, locked, read-only or not to be opened, which are OperationalErrors."""
    return not isinstance(error, sqlite3.OperationalError) or "malformed" in str(error) or "no such col" in str(error)


def _move_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.unreadable-{int(time.time())}")
    os.replace(path, aside)
    with contextlib.suppress(FileNotFoundError):
        os.replace(path.with_name(f"{path.name}-journal"), aside.with_name(f"{aside.name}-journal"))
    return aside


def _capabilities(text: str) -> list[tuple[str, int]]:
    return [(str(name), int(amount)) for name, amount in json.loads(text)]


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock(folder: Path, patience: float) -> int:
    """The kernel lets go of it with the process, and no child has it."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience
    told = False
    try:
        while not _is_locked(descriptor):
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "?"
            if time.monotonic() >= deadline:
                raise ConfigurationError(
                    f"This worker manager runs already, as process {owner}.",
                    str(folder),
                    "give this one a name of its own: --worker-manager-id NAME; or end the other one",
                )
            if not told:
                log.info("process %s is this worker manager; should it be ending, that is waited for", owner)
                told = True
            time.sleep(_LOOK_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
