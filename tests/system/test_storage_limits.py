"""Object storage at its limits: memory, quota, disk. Whoever puts too much is told, and nobody else notices."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from scaler import Client
from scaler.errors import ObjectStorageException
from scaler.transport.errors import ConfigurationError
from working import PATIENCE, works

if TYPE_CHECKING:
    from conftest import Starter
    from scaler.process import Part

MIB = 1 << 20
BENCHES = Path(__file__).parents[2] / "benches"


class Cluster:
    """A scheduler with one worker, whose object storage is a process of its own."""

    def __init__(self, start: Starter, **storage: Any) -> None:
        self.start = start
        self.settings = {"address": start.path("objects"), **storage}
        self.storage = self.start_storage()
        start.scheduler(object_storage=start.path("objects"))
        start.node(slots=1)

    def start_storage(self) -> Part:
        return self.start.part("scaler.storage", self.settings)

    def client(self) -> Client:
        return Client(self.start.path(), timeout_seconds=PATIENCE)


def test_an_object_larger_than_the_quota_is_told_to_its_putter_alone(start: Starter) -> None:
    cluster = Cluster(start, session_quota=2 * MIB)
    with cluster.client() as client, cluster.client() as other:
        kept = client.send_object(os.urandom(MIB))
        with pytest.raises(ObjectStorageException) as caught:
            client.send_object(bytes(3 * MIB))
        what, where, mend = str(caught.value).splitlines()
        assert f"one client may have {2 * MIB} bytes there" in what
        assert start.path("objects") in where
        assert "--session-quota" in mend
        with pytest.raises(ObjectStorageException, match=r"and this one has 10\d\d\d\d\d"):
            client.send_object(os.urandom(MIB + 1))
        assert client.submit(len, kept).result(PATIENCE) == MIB
        works(client)
        works(other)


def test_arguments_and_results_larger_than_the_quota_fail_their_tasks_alone(start: Starter) -> None:
    cluster = Cluster(start, session_quota=2 * MIB)
    with cluster.client() as client:
        failing = [client.submit(len, bytes(3 * MIB)), client.submit(bytes, 3 * MIB)]
        good = [client.submit(bytes, MIB + 1), client.map(abs, range(100))[7]]
        for future in failing:
            with pytest.raises(ObjectStorageException, match=r"one client may have(.|\n)*--session-quota"):
                future.result(PATIENCE)
        assert good[0].result(PATIENCE) == bytes(MIB + 1)
        assert good[1].result(PATIENCE) == 7
        # What was let go of counts no more.
        del good
        works(client)


def test_without_a_folder_what_memory_has_no_room_for_is_refused(start: Starter) -> None:
    cluster = Cluster(start, memory_limit=MIB)
    with cluster.client() as client:
        with pytest.raises(ObjectStorageException, match=r"bytes are in use(.|\n)*--directory"):
            client.send_object(bytes(2 * MIB))
        works(client)


def test_what_the_disk_limit_has_no_room_for_is_refused(start: Starter, tmp_path: Path) -> None:
    cluster = Cluster(start, memory_limit=MIB, directory=str(tmp_path), disk_limit=4 * MIB)
    with cluster.client() as client:
        kept = client.send_object(os.urandom(3 * MIB))
        with pytest.raises(ObjectStorageException, match=r"on its disk are in use(.|\n)*--disk-limit"):
            client.send_object(bytes(2 * MIB))
        assert client.submit(len, kept).result(PATIENCE) == 3 * MIB
        works(client)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB. Skips where nobody may mount one. Ask for it before what uses it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def holds_while_the_disk_is_full(cluster: Cluster, too_large: int) -> None:
    with cluster.client() as client, cluster.client() as other:
        data = os.urandom(3 * MIB)
        before = client.send_object(data)
        with pytest.raises(ObjectStorageException, match="could not be written to disk") as caught:
            client.send_object(bytes(too_large))
        assert "a larger disk" in str(caught.value)
        with pytest.raises(ObjectStorageException, match="could not be written to disk"):
            client.submit(len, bytes(too_large + 1)).result(PATIENCE)
        assert client.submit(bytes, before).result(PATIENCE) == data
        works(client)
        works(other)
        # There is room again for what fits.
        assert client.submit(len, client.send_object(bytes(4 * MIB))).result(PATIENCE) == 4 * MIB


@pytest.mark.parametrize("write_through", [False, True], ids=["spills", "writes through"])
def test_a_full_disk_is_told_to_whoever_puts_and_everyone_else_goes_on(
    small_disk: Path, start: Starter, write_through: bool
) -> None:
    cluster = Cluster(start, memory_limit=MIB, directory=str(small_disk), write_through=write_through)
    holds_while_the_disk_is_full(cluster, 20 * MIB)


@pytest.mark.parametrize("write_through", [False, True], ids=["spills", "writes through"])
def test_a_disk_that_takes_no_more_of_a_file_is_told_to_whoever_puts(
    start: Starter, tmp_path: Path, write_through: bool
) -> None:
    """As a full disk, where nothing may be mounted: no file may have more than 8 MiB."""
    cluster = Cluster(start, memory_limit=MIB, directory=str(tmp_path), write_through=write_through)
    psutil.Process(cluster.storage.pid).rlimit(psutil.RLIMIT_FSIZE, (8 * MIB, resource.RLIM_INFINITY))
    holds_while_the_disk_is_full(cluster, 20 * MIB)


def test_a_folder_that_cannot_be_used_is_an_error_at_the_start(start: Starter, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigurationError) as caught:
        start.part("scaler.storage", {"address": start.path("objects"), "directory": str(file)})
    assert "folder for objects cannot be used" in caught.value.what
    assert caught.value.where == str(file)
    with pytest.raises(ConfigurationError, match="needs a folder"):
        start.part("scaler.storage", {"address": start.path("objects"), "write_through": True})


def test_two_storages_do_not_write_through_to_one_folder(start: Starter, tmp_path: Path) -> None:
    settings = {"directory": str(tmp_path), "write_through": True}
    start.part("scaler.storage", {"address": start.path("one"), **settings})
    with pytest.raises(ConfigurationError, match="another object storage uses it") as caught:
        start.part("scaler.storage", {"address": start.path("other"), **settings})
    assert "--directory" in caught.value.mend


def spilled(*arguments: str) -> dict[str, int]:
    """The figures of `benches/storage_spill.py`, which compares every object's hash and looks at the memory."""
    command = [sys.executable, str(BENCHES / "storage_spill.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures: dict[str, int] = json.loads(done.stdout.splitlines()[0])
    assert figures["wrong"] == 0
    return figures


@pytest.mark.parametrize("arguments", [[], ["--write-through"]], ids=["spills", "writes through"])
def test_ten_times_its_memory_goes_through_a_storage(arguments: list[str], tmp_path: Path) -> None:
    figures = spilled("--size", "160MiB", "--memory-limit", "16MiB", "--directory", str(tmp_path), *arguments)
    # Its limit, 32 MiB on their way to the disk, and what few peers have under way: less than half of what there was.
    assert figures["memory_at_most"] - figures["memory_at_start"] < 80 * MIB
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("arguments", [[], ["--write-through"]], ids=["spills", "writes through"])
def test_ten_gibibytes_go_through_one_of_memory(arguments: list[str], tmp_path: Path) -> None:
    if psutil.disk_usage(str(tmp_path)).free < 12 << 30:
        pytest.skip("too little disk")
    figures = spilled("--size", "10GiB", "--memory-limit", "1GiB", "--directory", str(tmp_path), *arguments)
    assert figures["memory_at_most"] < 1.3 * (1 << 30)
