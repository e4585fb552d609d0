"""`scaler FILE`: what it starts, keeps alive through kills, gives up, and leaves behind: nothing."""

import os
import re
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from commands import PATIENCE, Run
from scaler import Client
from stacks import MANAGER, SCHEDULER, STORAGE, Stack, all_gone
from working import works

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def file(home: Path) -> Path:
    return home / "config.toml"


@pytest.fixture
def start(run: Run, home: Path, file: Path) -> Callable[..., Stack]:
    """Starts a stack of some tables, and waits for a text that it prints."""

    def start(*tables: str, until: str = "2 workers serve") -> Stack:
        # Short: a socket's path has at most 107 bytes.
        (home / "run").mkdir(mode=0o700)
        address = f"ipc://{home}/run/s"
        file.write_text("".join(tables).format(scheduler=address, objects=f"ipc://{home}/run/o"))
        stack = Stack(run("stack", str(file)), address)
        stack.command.read_until(until)
        return stack

    return start


def test_all_parts_serve_a_client(start: Callable[..., Stack]) -> None:
    stack = start(STORAGE, SCHEDULER, MANAGER)
    with stack.client() as client:
        works(client)
        client.submit(print, "from a task").result(PATIENCE)
    output = stack.command.read_until("from a task")
    lines = [line.partition(" | ")[0].rstrip() for line in output.splitlines()]
    assert set(lines) == {"object_storage", "scheduler", "native"}, output


def test_a_scheduler_keeps_objects_where_the_file_has_no_storage(start: Callable[..., Stack]) -> None:
    with start(SCHEDULER, MANAGER).client() as client:
        works(client)


def test_managers_alone_serve_the_scheduler_that_they_name(
    start: Callable[..., Stack], run: Run, home: Path, file: Path
) -> None:
    scheduler = run("scheduler", "tcp://127.0.0.1:0", "--resync-seconds", "0")
    address = scheduler.read_until("object storage at").split("listens at ")[1].split(",")[0]
    file.write_text(MANAGER + f'scheduler_address = "{address}"\n')
    stack = run("stack", str(file))
    stack.read_until("2 workers serve")
    with Client(address, timeout_seconds=PATIENCE) as client:
        works(client)
    assert stack.end()[0] == 0
    assert scheduler.end()[0] == 0


def note_and_spin(call: tuple[str, int, bytes]) -> int:
    """Adds a byte to a file, and takes half a millisecond."""
    path, number, _ = call
    with open(path, "ab") as file:
        file.write(b".")
    until = time.perf_counter() + 0.0005
    while time.perf_counter() < until:
        pass
    return number


def notes(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


@pytest.mark.parametrize(
    ("module", "size"),
    [("scaler.scheduler", 1), ("scaler.storage", 100_000), ("scaler.managers", 1), ("scaler.node", 1)],
    ids=["scheduler", "storage", "manager", "agent"],
)
def test_a_map_survives_a_killed_part(module: str, size: int, start: Callable[..., Stack], home: Path) -> None:
    stack = start(STORAGE, SCHEDULER, MANAGER)
    count = 2000 if size == 1 else 200
    path = str(home / "notes")
    with stack.client() as client:
        futures = client.map(note_and_spin, [(path, number, bytes(size)) for number in range(count)])
        while notes(path) < count // 10:
            os.sched_yield()
        stack.part(module).kill()
        assert futures.results(3 * PATIENCE) == list(range(count))
        assert futures.done_count == count
        assert len(set(map(id, futures.as_completed()))) == count
        works(client)
    with all_gone(stack, home):
        code, output = stack.command.end()
    assert code == 0, output
    assert "SIGKILL" in output


def hold_on(path: str) -> None:
    """Says that it runs, and goes on for ever."""
    with open(path, "w"):
        pass
    while True:
        signal.pause()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_all_of_it_under_a_running_task(number: int, start: Callable[..., Stack], home: Path) -> None:
    stack = start(STORAGE, SCHEDULER, MANAGER)
    os.mkfifo(home / "runs")
    with stack.client() as client:
        client.submit(hold_on, str(home / "runs"))
        # Opens when the task does.
        with open(home / "runs"):
            pass
        with all_gone(stack, home):
            code, output = stack.command.end(number)
        client.disconnect()
    assert code == 0, output
    assert "Traceback" not in output


def test_a_signal_ends_a_part_that_is_still_starting(run: Run, home: Path, file: Path) -> None:
    """Nobody is at the address that the manager looks for."""
    file.write_text(MANAGER + f'scheduler_address = "ipc://{home}/nobody"\n')
    stack = Stack(run("stack", str(file)), "")
    manager = stack.part("scaler.managers")
    code, output = stack.command.end(signal.SIGINT)
    assert code == 0, output
    assert "error" not in output
    manager.wait(PATIENCE)


def test_a_second_interrupt_leaves_at_once(start: Callable[..., Stack], home: Path) -> None:
    """Its manager stands still: so it is not over before the second one comes."""
    stack = start(SCHEDULER, MANAGER)
    manager = stack.part("scaler.managers")
    with all_gone(stack, home):
        manager.suspend()
        stack.command.process.send_signal(signal.SIGINT)
        stack.command.read_until("Ctrl-C leaves at once")
        code, _ = stack.command.end(signal.SIGINT)
    assert code == 130


@pytest.mark.parametrize("modules", [["scaler.scheduler"], ["scaler.node", "scaler.managers", "scaler.scheduler"]])
def test_parts_that_hang_are_killed_at_the_end(modules: Sequence[str], start: Callable[..., Stack], home: Path) -> None:
    stack = start(SCHEDULER, MANAGER)
    with all_gone(stack, home):
        for module in modules:
            stack.part(module).suspend()
        code, output = stack.command.end()
    assert code == 0, output


def test_all_parts_end_with_a_stack_that_is_killed(start: Callable[..., Stack], home: Path) -> None:
    stack = start(STORAGE, SCHEDULER, MANAGER)
    with all_gone(stack, home):
        stack.command.end(signal.SIGKILL)


def test_a_client_that_shuts_the_scheduler_down_ends_all_of_it(start: Callable[..., Stack], home: Path) -> None:
    stack = start(STORAGE, SCHEDULER, MANAGER)
    with all_gone(stack, home):
        stack.client().shutdown()
        code, output = stack.command.finish()
    assert code == 0, output


def test_a_part_that_dies_five_times_in_a_minute_is_given_up(start: Callable[..., Stack], home: Path) -> None:
    stack = start(STORAGE, SCHEDULER, MANAGER)
    with all_gone(stack, home):
        for deaths in range(1, 6):
            # The next one listens: so the one before is gone.
            while stack.command.output.decode().count("object_storage | listens at") < deaths:
                assert stack.command.read_more(), stack.command.output.decode()
            stack.part("scaler.storage").kill()
        code, output = stack.command.finish()
    assert code == 1
    assert "error: object_storage died 5 times within 60 s" in output
    assert re.findall(r"object_storage died: .*; again in (.*) s", output) == ["0.25", "0.5", "1", "2"]
    assert "SIGKILL" in output


def test_a_part_that_cannot_start_again_is_given_up_with_its_own_error(start: Callable[..., Stack], home: Path) -> None:
    stack = start(STORAGE, SCHEDULER, MANAGER)
    with all_gone(stack, home):
        # Its socket makes way for a file, which the next one finds in its place.
        (home / "run" / "s").unlink()
        (home / "run" / "s").write_text("in the way")
        stack.part("scaler.scheduler").kill()
        code, output = stack.command.finish()
        (home / "run" / "s").unlink()
    assert code == 1
    error = output[output.index("error: ") :].splitlines()
    assert error[0].startswith("error: scheduler died 5 times within 60 s, at last like this: There is a file")
    assert [line.split(":")[0].strip() for line in error[1:3]] == ["where", "to do"]


def test_a_part_that_does_not_start_ends_what_did(start: Callable[..., Stack], home: Path) -> None:
    (home / "config").write_text("in the way of the key")
    scheduler = SCHEDULER.replace("{scheduler}", "tcp://127.0.0.1:0")
    stack = start(STORAGE, scheduler, MANAGER + 'scheduler_address = "ipc://nowhere"', until="error: ")
    code, output = stack.command.finish()
    assert code == 1
    assert "scheduler did not start: " in output
    assert list((home / "run").iterdir()) == []


def test_a_log_that_cannot_be_written_is_said(start: Callable[..., Stack], home: Path) -> None:
    stack = start(STORAGE, SCHEDULER + f'logging_paths = "{home}/no/a.log"\n', MANAGER, until="error: ")
    code, output = stack.command.finish()
    assert code == 1
    assert "error: scheduler did not start: The log cannot be written: No such file or directory." in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ([], 2, "usage: scaler FILE"),
        (["--help"], 0, "usage: scaler FILE"),
        (["--config", "a"], 2, "There is no option --config"),
        (["a", "b"], 2, "There is no place for 'b'"),
        (["/no/such/file"], 2, "The file cannot be read: No such file or directory"),
    ],
)
def test_what_is_typed(arguments: Sequence[str], code: int, told: str, run: Run) -> None:
    found, output = run("stack", *arguments).finish()
    assert found == code
    assert told in output
    assert "Traceback" not in output
