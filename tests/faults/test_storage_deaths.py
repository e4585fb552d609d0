"""An object storage that is killed and comes back, with its files or without."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scaler import Client
from scaler.client import objects
from scaler.errors import MissingObjects, ObjectStorageException

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Starter
    from scaler.process import Part

PATIENCE = 100
MIB = 1 << 20


class Cluster:
    """A scheduler with two workers, whose object storage is a process of its own that can be killed."""

    def __init__(self, start: Starter, **storage: Any) -> None:
        self.start = start
        self._settings = {"address": start.path("objects"), **storage}
        self.storage = self._start_storage()
        self.scheduler = start.scheduler(object_storage=start.path("objects"))
        start.node(slots=2)

    def _start_storage(self) -> Part:
        return self.start.part("scaler.storage", self._settings)

    def kill_storage(self) -> None:
        self.start.kill(self.storage)

    def revive_storage(self) -> None:
        self.storage = self._start_storage()

    def replace_storage(self) -> None:
        self.kill_storage()
        self.revive_storage()

    def client(self) -> Client:
        return Client(self.start.path(), timeout_seconds=PATIENCE)


@pytest.fixture
def passing(start: Starter) -> Cluster:
    """What its storage has, dies with it."""
    return Cluster(start)


@pytest.fixture
def lasting(start: Starter, tmp_path: Path) -> Cluster:
    """Its storage writes through."""
    return Cluster(start, directory=str(tmp_path / "objects"), write_through=True, memory_limit=4 * MIB)


def test_a_reference_whose_bytes_the_client_has_is_put_again(passing: Cluster) -> None:
    data = os.urandom(5 * MIB)
    with passing.client() as client:
        reference = client.send_object(data)
        passing.replace_storage()
        assert client.submit(bytes, reference).result(PATIENCE) == data
        # Also one that was sent while there was none.
        passing.kill_storage()
        future = client.submit(bytes, data[::-1])
        passing.revive_storage()
        assert future.result(PATIENCE) == data[::-1]
        assert client.submit(bytes, reference).result(PATIENCE) == data


@pytest.mark.slow  # a node waits 10 s for what a client may yet put again
def test_a_reference_whose_bytes_nobody_has_is_a_missing_object(
    passing: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "MOST_KEPT", 0)
    with passing.client() as client:
        # No worker has it either.
        reference = client.send_object(os.urandom(MIB))
        passing.replace_storage()
        with pytest.raises(MissingObjects, match=r"to do: send the object again"):
            client.submit(len, reference).result(PATIENCE)
        assert client.submit(abs, -1).result(PATIENCE) == 1


def test_a_result_that_only_the_storage_had_is_a_missing_object(passing: Cluster) -> None:
    with passing.client() as client:
        future = client.submit(bytes, 3 * MIB)
        wait_done(future)
        passing.replace_storage()
        with pytest.raises(MissingObjects, match="not in object storage any more"):
            future.result(PATIENCE)
        assert client.submit(bytes, 3 * MIB).result(PATIENCE) == bytes(3 * MIB)


def test_what_needs_a_storage_that_stays_away_fails(start: Starter) -> None:
    start.scheduler(object_storage=start.path("objects"))
    storage = start.part("scaler.storage", {"address": start.path("objects")})
    start.node(slots=1, storage_timeout=0.5)
    with Client(start.path(), timeout_seconds=2) as client:
        reference = client.send_object(os.urandom(MIB))
        start.kill(storage)
        futures = [client.submit(len, reference), client.submit(bytes, MIB), client.submit(len, bytes(MIB))]
        for future in futures:
            with pytest.raises(ObjectStorageException, match=r"object storage for 0 s|cannot be reached"):
                future.result(PATIENCE)
        assert client.submit(abs, -1).result(PATIENCE) == 1
        start.part("scaler.storage", {"address": start.path("objects")})
        assert client.submit(bytes, MIB).result(PATIENCE) == bytes(MIB)
        assert client.submit(len, bytes(MIB + 1)).result(PATIENCE) == MIB + 1


def wait_done(future: Any) -> bool:
    while not future.done():
        os.sched_yield()
    return True


def test_written_through_results_and_references_are_there_again(
    lasting: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "MOST_KEPT", 0)
    data = [os.urandom(size) for size in (100_000, 3 * MIB, 9 * MIB + 1)]
    with lasting.client() as client:
        references = [client.send_object(each) for each in data]
        results = [client.submit(bytes, reference) for reference in references]
        assert all(wait_done(future) for future in results)
        lasting.replace_storage()
        assert [future.result(PATIENCE) for future in results] == data
        assert [client.submit(bytes, reference).result(PATIENCE) for reference in references] == data
        lasting.replace_storage()
        assert [client.submit(bytes, reference).result(PATIENCE) for reference in references] == data


@pytest.mark.parametrize("kills", range(3))
def test_killed_at_any_moment_it_gives_every_byte_as_it_was(kills: int, lasting: Cluster) -> None:
    """Puts, gets and results are under way each time."""
    data = [os.urandom(200_000 + i) for i in range(60)]
    with lasting.client() as client:
        mapped = client.map(slowly, data)
        for count in range(5, 6 + kills * 15, 15):
            while mapped.done_count < count:
                os.sched_yield()
            lasting.replace_storage()
        assert mapped.results(PATIENCE) == [each[::-1] for each in data]


def slowly(data: bytes) -> bytes:
    time.sleep(0.005)
    return data[::-1]


def spoil(change: Callable[[Path], None], folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != "lock":
            change(path)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(MIB)
        byte = file.read(1)[0]
        file.seek(MIB)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("change", [cut, flip, Path.unlink])
@pytest.mark.parametrize("between", [True, False], ids=["between two storages", "while it runs"])
def test_bytes_that_the_disk_lost_are_a_missing_object_and_never_others(
    change: Callable[[Path], None], between: bool, start: Starter, tmp_path: Path
) -> None:
    lasting = Cluster(start, directory=str(tmp_path), write_through=True, memory_limit=1)
    with lasting.client() as client:
        future = client.submit(bytes, 3 * MIB)
        wait_done(future)
        if between:
            lasting.kill_storage()
        spoil(change, tmp_path / "objects")
        if between:
            lasting.revive_storage()
        with pytest.raises(MissingObjects):
            future.result(PATIENCE)
        assert client.submit(bytes, 3 * MIB).result(PATIENCE) == bytes(3 * MIB)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]


def test_files_go_with_their_session(lasting: Cluster, tmp_path: Path) -> None:
    with lasting.client() as client:
        client.send_object(os.urandom(MIB))
        assert files(tmp_path)
        # It ends while there is no storage: the next one is told.
        lasting.kill_storage()
    lasting.revive_storage()
    while files(tmp_path):
        os.sched_yield()


def test_files_that_were_spilled_by_a_killed_storage_go_with_the_next(start: Starter, tmp_path: Path) -> None:
    cluster = Cluster(start, directory=str(tmp_path), memory_limit=1)
    with cluster.client() as client:
        client.send_object(os.urandom(MIB))
        left = files(tmp_path)
        assert left
        cluster.replace_storage()
        assert not any(path.exists() for path in left)
        client.send_object(os.urandom(2 * MIB))
        assert files(tmp_path)
    start.end()
    assert list(tmp_path.iterdir()) == []
