"""`scaler FILE` and its objects: what a killed storage had is there again, and no file is left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from commands import PATIENCE, Run
from scaler.client import objects
from test_stack import MANAGER, SCHEDULER, STORAGE, Stack
from working import works

MIB = 1 << 20


def start(run: Run, home: Path, *tables: str) -> Stack:
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    address = f"ipc://{home}/run/s"
    file = home / "config.toml"
    file.write_text("".join(tables).format(scheduler=address, objects=f"ipc://{home}/run/o", home=home))
    stack = Stack(run("stack", str(file)), address)
    stack.command.read_until("2 workers serve")
    return stack


def folders(home: Path) -> list[Path]:
    return sorted(home.glob("scaler-objects-*"))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]


@pytest.mark.parametrize(
    ("tables", "module"),
    [((STORAGE, SCHEDULER, MANAGER), "scaler.storage"), ((SCHEDULER, MANAGER), "scaler.scheduler")],
    ids=["a storage of its own", "a scheduler's storage"],
)
def test_a_killed_storage_finds_its_objects_again(
    tables: tuple[str, ...], module: str, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has neither the argument's bytes nor the result's."""
    monkeypatch.setattr(objects, "MOST_KEPT", 0)
    stack = start(run, home, *tables)
    data = os.urandom(5 * MIB)
    with stack.client() as client:
        reference = client.send_object(data)
        future = client.submit(bytes, reference)
        while not future.done():
            os.sched_yield()
        assert files(*folders(home))
        stack.part(module).kill()
        stack.command.read_until("again in")
        assert future.result(PATIENCE) == data
        assert client.submit(len, reference).result(PATIENCE) == 5 * MIB
        works(client)
    code, output = stack.command.end()
    assert code == 0, output
    assert folders(home) == []


def test_the_folder_of_a_stack_that_was_killed_goes_with_the_next(run: Run, home: Path) -> None:
    killed = start(run, home, STORAGE, SCHEDULER, MANAGER)
    with killed.client() as client:
        client.send_object(os.urandom(MIB))
        parts = killed.processes()
        killed.command.end(signal.SIGKILL)
        for part in parts:
            part.wait(PATIENCE)
        (left,) = folders(home)
        assert files(left)
        strange = home / "scaler-objects-of-somebody"
        strange.write_text("a file")
        stack = start(run, home, STORAGE, SCHEDULER, MANAGER)
        assert left not in folders(home)
        (living,) = (folder for folder in folders(home) if folder != strange)
        # Another one leaves the folder of this one alone.
        other = run("stack", str(home / "other.toml"))
        (home / "other.toml").write_text("")
        other.finish()
        assert living.exists()
        works(client)
    assert stack.command.end()[0] == 0
    assert folders(home) == [strange]


def test_a_folder_of_the_users_keeps_objects_for_the_next_stack(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client lives on; the stack is ended and started again."""
    monkeypatch.setattr(objects, "MOST_KEPT", 0)
    storage = STORAGE + 'directory = "{home}/mine"\nmemory_limit = "1MiB"\n'
    stack = start(run, home, storage, SCHEDULER, MANAGER)
    data = os.urandom(3 * MIB)
    with stack.client() as client:
        reference = client.send_object(data)
        assert folders(home) == []
        stack.command.end(signal.SIGKILL)
        stack = start(run, home, storage, SCHEDULER, MANAGER)
        assert client.submit(bytes, reference).result(PATIENCE) == data
    while files(home / "mine"):
        os.sched_yield()
    assert stack.command.end()[0] == 0


def test_write_through_can_be_switched_off(run: Run, home: Path) -> None:
    stack = start(run, home, STORAGE + 'write_through = "off"\n', SCHEDULER, MANAGER)
    with stack.client() as client:
        client.send_object(os.urandom(MIB))
        works(client)
        assert folders(home) == []
    assert stack.command.end()[0] == 0
