"""Large objects on one host are files in memory: who holds them, what dies, and what is left then."""

from __future__ import annotations

import os
import re
import resource
import signal
import time
from concurrent.futures import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from processes import children
from scaler import Client
from scaler.client import objects
from scaler.errors import WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Starter

PATIENCE = 60
MIB = 1 << 20


class Cluster:
    """A scheduler with two workers, whose object storage is a process of its own."""

    def __init__(self, start: Starter, slots: int = 2, **storage: Any) -> None:
        self.storage = start.part("scaler.storage", {"address": start.path("objects"), **storage})
        self.scheduler = start.scheduler(object_storage=start.path("objects"), client_timeout=1.0)
        self.node = start.node(slots=slots)
        self._address = start.path()

    def client(self) -> Client:
        return Client(self._address, timeout_seconds=PATIENCE)

    @property
    def executors(self) -> list[int]:
        return children(self.node.pid)

    def files(self) -> int:
        """Descriptors and mappings of such files. Nodes and executors keep some MiB for the tasks that come next, and
        what is left in this process any test looks for."""
        pids = [self.storage.pid, self.scheduler.pid]
        return sum(len(descriptors(pid)) + len(mappings(pid)) for pid in pids)

    def is_rid_of_files(self) -> bool:
        return until(lambda: self.files() == 0)


@pytest.fixture
def cluster(start: Starter, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    # Objects go with the last task that needs them.
    monkeypatch.setattr(objects, "MOST_KEPT", 0)
    return Cluster(start)


def descriptors(pid: int | str) -> list[str]:
    folder, found = Path(f"/proc/{pid}/fd"), []
    try:
        for entry in os.listdir(folder):
            target = os.readlink(folder / entry)
            found += [target] if "scaler-object" in target else []
    except OSError:
        pass  # the process, or the descriptor, has gone
    return found


def mappings(pid: int | str) -> list[str]:
    try:
        return re.findall(r".*scaler-object.*", Path(f"/proc/{pid}/maps").read_text())
    except OSError:
        return []


def until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def array(seed: int, size: int = 2 * MIB) -> Any:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def add_in_place(values: Any) -> Any:
    values += 1
    return values


def mapped_here(values: Any) -> tuple[int, bool]:
    return len(mappings("self")), bool(values.flags.writeable)


def test_values_come_back_as_they_were_and_may_be_written(cluster: Cluster) -> None:
    sent = array(1)
    with cluster.client() as client:
        first, second = client.submit(add_in_place, sent), client.submit(add_in_place, sent)
        got, other = first.result(PATIENCE), second.result(PATIENCE)
        assert (got == sent + 1).all()
        assert (other == sent + 1).all(), "what the task before wrote"
        got += 1
        assert (other == sent + 1).all()
        assert client.submit(mapped_here, sent).result(PATIENCE)[1]
        data = os.urandom(3 * MIB)
        assert client.submit(bytes, data).result(PATIENCE) == data
        together = {"a": array(2), "b": [data, array(3).astype(np.float64)]}
        back = client.submit(dict, together).result(PATIENCE)
        assert (back["a"] == together["a"]).all()
        assert back["b"][0] == data
        assert (back["b"][1] == together["b"][1]).all()
        twice = client.submit(lambda one, two: one is two, data, data).result(PATIENCE)
        assert twice, "one object is one object"


@pytest.mark.parametrize("size", [256 << 10, (256 << 10) + 1, 4 * MIB, 4 * MIB + 1, 9 * MIB + 4097])
def test_any_size_comes_back(cluster: Cluster, size: int) -> None:
    with cluster.client() as client:
        data = os.urandom(size)
        assert client.submit(bytes, data).result(PATIENCE) == data
        text = data.hex()
        assert client.submit(str, text).result(PATIENCE) == text
        assert client.map(bytes, [data, data[1:], b""]).results(PATIENCE) == [data, data[1:], b""]


def test_objects_of_one_host_are_files_that_nobody_copies(cluster: Cluster) -> None:
    sent = array(1)
    with cluster.client() as client:
        reference = client.send_object(sent)
        assert len(descriptors(cluster.storage.pid)) == 1
        assert client.submit(mapped_here, reference).result(PATIENCE)[0] > 0
        future = client.submit(array, 5)
        future.result(PATIENCE)
        assert len(descriptors(cluster.storage.pid)) == 2
        del reference, future
        assert cluster.is_rid_of_files()


def test_one_object_for_many_tasks_is_in_memory_once(cluster: Cluster) -> None:
    size = 64 * MIB
    with cluster.client() as client:
        client.map(array, [(1, 4)] * 10).results(PATIENCE)
        sent = array(1, size)
        before = memory(cluster)
        reference = client.send_object(sent)
        most = 0
        totals = client.map(np.sum, [reference] * 100)
        assert totals.results(PATIENCE) == [int(sent.sum())] * 100
        most = memory(cluster) - before
        assert 0.9 * size < most < 1.5 * size
        del reference, totals
        assert cluster.is_rid_of_files()


def echo(*values: Any) -> Any:
    return values[0] if len(values) == 1 else values


def files_of(pid: int) -> set[str]:
    """The numbers of such files that a process has mapped."""
    return {line.split()[4] for line in mappings(pid)}


def test_a_result_that_is_an_argument_is_in_its_file(cluster: Cluster) -> None:
    data, more, values = os.urandom(9 * MIB), os.urandom(3 * MIB), array(1, 5 * MIB)
    with cluster.client() as client:
        for sent in (data, values):
            future = client.submit(echo, sent)
            got = client.submit(len, future).result(PATIENCE)
            assert got == len(sent)
            assert len(files_of(cluster.storage.pid)) == 1
            assert (np.frombuffer(future.result(PATIENCE), np.uint8) == np.frombuffer(sent, np.uint8)).all()
            del future
            assert cluster.is_rid_of_files()
        mine, yours, theirs = client.submit(echo, data, more, values).result(PATIENCE)
        assert mine is data, "what was sent is here"
        assert yours is more
        theirs += 1
        assert (theirs == array(1, 5 * MIB) + 1).all()
        assert (values == array(1, 5 * MIB)).all()
        del mine, yours, theirs
        assert cluster.is_rid_of_files()


def cut(one: Any, other: Any) -> Any:
    return one[5:], other[::-1], other[: len(other) - 5]


def test_a_result_of_parts_of_arguments(cluster: Cluster) -> None:
    one, other = array(1, 6 * MIB), array(2, 3 * MIB)
    with cluster.client() as client:
        for _ in range(3):
            first, second, third = client.submit(cut, one, other).result(PATIENCE)
            assert (first == one[5:]).all()
            assert (second == other[::-1]).all()
            assert (third == other[:-5]).all()
            for part in (first, second, third):
                part[:] = 0
        del first, second, third, part
        assert cluster.is_rid_of_files()


def write_and_give(values: Any, reference: Any) -> Any:
    before = values.copy()
    values[0] ^= 255
    return values, before, reference


def test_who_writes_into_an_object_that_others_have_changes_his_own(cluster: Cluster) -> None:
    sent, shared = array(1, 3 * MIB), array(2, 3 * MIB)
    with cluster.client() as client:
        reference = client.send_object(shared)
        futures = [client.submit(write_and_give, sent, reference) for _ in range(6)]
        for future in futures:
            values, before, given = future.result(PATIENCE)
            assert values[0] == sent[0] ^ 255
            assert (values[1:] == sent[1:]).all()
            assert (before == sent).all()
            assert (given == shared).all()
            given += 1
        del reference, futures, future, values, before, given
        assert cluster.is_rid_of_files()


def test_a_result_in_its_argument_s_file_outlives_all_but_the_storage(cluster: Cluster) -> None:
    data, values = os.urandom(9 * MIB), array(1, 9 * MIB)
    with cluster.client() as client:
        futures = [client.submit(echo, sent) for sent in (data, values)]
        futures += [client.submit(echo, data, values)]
        assert wait(futures, PATIENCE).not_done == set()
        for pid in cluster.executors:
            os.kill(pid, signal.SIGKILL)
        os.kill(cluster.node.pid, signal.SIGKILL)
        assert futures[0].result(PATIENCE) == data
        assert (futures[1].result(PATIENCE) == values).all()
        first, second = futures[2].result(PATIENCE)
        assert first == data
        assert (second == values).all()


def die_once(path: str, *values: Any) -> Any:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return values
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_an_executor_that_dies_with_its_result_leaves_the_argument_whole(cluster: Cluster, tmp_path: Path) -> None:
    data, values = os.urandom(9 * MIB), array(1, 9 * MIB)
    with cluster.client() as client:
        first, second = client.submit(die_once, str(tmp_path / "died"), data, values).result(PATIENCE)
        assert first == data
        assert (second == values).all()
        del first, second
        assert cluster.is_rid_of_files()


def memory(cluster: Cluster) -> int:
    """Of this process and the cluster's, what they share counted once."""
    pids = [os.getpid(), cluster.storage.pid, cluster.scheduler.pid, cluster.node.pid, *cluster.executors]
    total = 0
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += 1024 * int(re.search(r"^Pss: +(\d+)", text, re.MULTILINE)[1])  # type: ignore[index]
    return total


def die_with(values: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_nothing_is_left_of_an_executor_that_dies_with_an_object(cluster: Cluster) -> None:
    sent = array(1, 9 * MIB)
    with cluster.client() as client:
        with pytest.raises(WorkerDiedError):
            client.submit(die_with, sent).result(PATIENCE)
        assert (client.submit(add_in_place, sent).result(PATIENCE) == sent + 1).all()
        assert cluster.is_rid_of_files()


def test_nothing_is_left_of_a_client_that_dies(cluster: Cluster, start: Starter) -> None:
    child = os.fork()
    if not child:
        try:
            client = cluster.client()
            reference = client.send_object(array(1, 9 * MIB))
            client.map(add_in_place, [array(seed, 5 * MIB) for seed in range(4)])
            assert reference is not None
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert cluster.is_rid_of_files()


def test_a_child_of_a_fork_writes_into_no_file_of_its_parent(cluster: Cluster) -> None:
    with cluster.client() as client:
        client.submit(len, os.urandom(5 * MIB)).result(PATIENCE)
        assert cluster.is_rid_of_files()
        ours = array(1, 5 * MIB)
        child = os.fork()
        if not child:
            status = 1
            try:
                with cluster.client() as other:
                    for seed in range(3):
                        theirs = array(seed, 5 * MIB)
                        assert (other.submit(add_in_place, theirs).result(PATIENCE) == theirs + 1).all()
                status = 0
            finally:
                os._exit(status)
        for _ in range(3):
            assert (client.submit(add_in_place, ours).result(PATIENCE) == ours + 1).all()
        assert os.waitpid(child, 0)[1] == 0


def test_a_process_that_may_have_few_descriptors_has_bytes_instead(start: Starter) -> None:
    cluster = Cluster(start)
    for pid in (cluster.storage.pid, cluster.node.pid):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, 64))
    with cluster.client() as client:
        sent = [array(seed, 300_000) for seed in range(100)]
        references = [client.send_object(each) for each in sent]
        assert len(descriptors(cluster.storage.pid)) <= 16
        back = client.map(echo, references).results(PATIENCE)
        assert all((one == other).all() for one, other in zip(back, sent, strict=True))
        got = client.map(add_in_place, references).results(PATIENCE)
        assert all((one == other + 1).all() for one, other in zip(got, sent, strict=True))


def test_results_in_files_of_their_arguments_go_to_disk_too(start: Starter, tmp_path: Path) -> None:
    cluster = Cluster(start, memory_limit=4 * MIB, directory=str(tmp_path / "objects"))
    with cluster.client() as client:
        sent = [array(seed, 3 * MIB + seed) for seed in range(4)]
        futures = [client.submit(echo, each, each[1:]) for each in sent]
        for future, each in zip(futures, sent, strict=True):
            whole, rest = future.result(PATIENCE)
            assert (whole == each).all()
            assert (rest == each[1:]).all()


def test_what_goes_to_disk_comes_back(start: Starter, tmp_path: Path) -> None:
    cluster = Cluster(start, memory_limit=4 * MIB, directory=str(tmp_path / "objects"))
    with cluster.client() as client:
        sent = [array(seed, 3 * MIB) for seed in range(4)]
        references = [client.send_object(each) for each in sent]
        assert len(descriptors(cluster.storage.pid)) == 1, "the others are on disk"
        got = client.map(add_in_place, references).results(PATIENCE)
        assert all((one == other + 1).all() for one, other in zip(got, sent, strict=True))
