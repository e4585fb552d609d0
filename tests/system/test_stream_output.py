"""`Client(stream_output=True)`: what tasks write is printed by their client, and by nobody else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from gates import Gate
from scaler import Client

if TYPE_CHECKING:
    from conftest import Starter

PATIENCE = 60


@pytest.fixture
def streaming(cluster):
    with Client(cluster.get_address(), stream_output=True) as client:
        yield client


def speak(x):
    print("out", x)
    print("err", x, file=sys.stderr)
    print("rest of", x, end="")
    return x


def lines(text):
    return sorted(text.splitlines())


def test_a_tasks_lines_are_printed_before_its_result_is_there(streaming, capsys):
    for x in range(20):
        assert streaming.submit(speak, x).result(PATIENCE) == x
        assert capsys.readouterr() == (f"out {x}\nrest of {x}\n", f"err {x}\n")


def test_lines_of_a_maps_elements_are_whole_and_printed_once(streaming, capsys):
    assert streaming.map(speak, range(1000)).results(PATIENCE) == list(range(1000))
    out, err = capsys.readouterr()
    assert lines(out) == sorted([f"out {x}" for x in range(1000)] + [f"rest of {x}" for x in range(1000)])
    assert lines(err) == sorted(f"err {x}" for x in range(1000))


def test_lines_before_an_exception_are_printed(streaming, capsys):
    def fail():
        print("just before")
        raise ValueError("it")

    assert isinstance(streaming.submit(fail).exception(PATIENCE), ValueError)
    assert capsys.readouterr().out == "just before\n"


def test_lines_before_a_sudden_end_are_printed(streaming, capsys):
    def die():
        print("last")
        print("words", file=sys.stderr)
        os._exit(3)

    assert streaming.submit(die).exception(PATIENCE) is not None
    out, err = capsys.readouterr()
    # It is tried three times.
    assert (set(out.splitlines()), set(err.splitlines())) == ({"last"}, {"words"})


def test_a_task_that_goes_on_is_heard_meanwhile(streaming, capsys, tmp_path):
    gate = Gate(tmp_path)

    def hold(started, release):
        print("on its way")
        Gate.hold(started, release)

    future = streaming.submit(hold, *gate.names)
    gate.wait()
    wait_for(capsys, "on its way\n")
    gate.release()
    future.result(PATIENCE)
    assert capsys.readouterr() == ("", "")


def wait_for(capsys, text, stream="out"):
    """Until this was printed, and nothing else."""
    seen = ""
    deadline = time.monotonic() + PATIENCE
    while seen != text:
        assert time.monotonic() < deadline, seen
        seen += getattr(capsys.readouterr(), stream)
        time.sleep(0.005)


def test_what_child_processes_and_c_code_write_is_printed_too(streaming, capsys):
    def call():
        subprocess.run(["sh", "-c", "echo from a child; echo and its errors >&2"], check=True)
        os.write(1, b"raw\n")
        if (child := os.fork()) == 0:
            print("from a fork")
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
        return "done"

    future = streaming.submit(call)
    assert future.result(PATIENCE) == "done"
    # By another way than the result; when it is there they are on their way.
    seen = {"out": "", "err": ""}
    deadline = time.monotonic() + PATIENCE
    while (lines(seen["out"]), lines(seen["err"])) != (["from a child", "from a fork", "raw"], ["and its errors"]):
        assert time.monotonic() < deadline, seen
        out, err = capsys.readouterr()
        seen["out"] += out
        seen["err"] += err
        time.sleep(0.005)


def test_who_did_not_ask_gets_nothing_and_nodes_print_it_as_before(start: Starter, capfd) -> None:
    start.scheduler()
    node = start.node(slots=2)
    with Client(start.path(), stream_output=True) as streaming, Client(start.path()) as silent:
        assert silent.map(speak, range(50)).results(PATIENCE) == list(range(50))
        assert streaming.map(speak, range(50, 100)).results(PATIENCE) == list(range(50, 100))
    node.end()
    shown = capfd.readouterr().out.splitlines()
    labelled = [line for line in shown if line.startswith("[task ")]
    assert sorted(line.split("] ")[1] for line in labelled) == sorted(
        [f"out {x}" for x in range(50)] + [f"rest of {x}" for x in range(50)]
    )
    assert sorted(set(shown) - set(labelled)) == sorted(
        [f"out {x}" for x in range(50, 100)] + [f"rest of {x}" for x in range(50, 100)]
    )


def test_a_node_that_joins_later_knows(start: Starter, capfd) -> None:
    start.scheduler()
    with Client(start.path(), stream_output=True) as client:
        future = client.submit(speak, 1)
        node = start.node(slots=1)
        assert future.result(PATIENCE) == 1
        node.end()
        assert "out 1\n" in capfd.readouterr().out


def test_a_scheduler_that_comes_back_is_asked_again(start: Starter, capfd) -> None:
    scheduler = start.scheduler()
    start.node(slots=1)
    with Client(start.path(), stream_output=True) as client:
        assert client.submit(speak, 1).result(PATIENCE) == 1
        start.kill(scheduler)
        start.scheduler()
        capfd.readouterr()
        assert client.submit(speak, 2).result(PATIENCE) == 2
        assert "out 2\n" in capfd.readouterr().out
        assert "[task" not in capfd.readouterr().out


def print_until(path):
    while not os.path.exists(path):
        print("x" * 1000)


def test_a_task_that_prints_for_ever_harms_nobody(start: Starter, capsys, tmp_path) -> None:
    scheduler = start.scheduler()
    start.node(slots=2)
    stop = tmp_path / "stop"
    with Client(start.path(), stream_output=True) as loud, Client(start.path()) as other:
        assert other.map(abs, range(-1000, 0)).results(PATIENCE) == list(range(1000, 0, -1))
        before = psutil.Process(scheduler.pid).memory_info().rss
        shouting = loud.submit(print_until, str(stop))
        seen = 0
        # As long as it takes until some was left out.
        deadline = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < deadline
            assert other.map(abs, range(-1000, 0)).results(PATIENCE) == list(range(1000, 0, -1))
            out, err = capsys.readouterr()
            seen += len(out)
            if err:
                break
        stop.touch()
        shouting.result(PATIENCE)
        assert psutil.Process(scheduler.pid).memory_info().rss - before < 32 << 20
    assert re.fullmatch(r"(scaler: \d+ lines that tasks wrote were left out here: too many came at once\n)+", err)
    assert seen > 100_000


READS_NOTHING = """
    import sys, time
    from scaler import Client

    def shout(path):
        import os
        while not os.path.exists(path):
            print("x" * 1000)

    client = Client(sys.argv[1], stream_output=True)
    client.submit(shout, sys.argv[2])
    with client._conversation.lock:
        open(sys.argv[3], "w").close()  # a named pipe: the test goes on
        sys.stdin.read()
"""


def test_a_client_that_does_not_read_costs_the_scheduler_little(start: Starter, tmp_path: Path) -> None:
    scheduler = start.scheduler()
    start.node(slots=2)
    script, stop, ready = tmp_path / "script.py", tmp_path / "stop", tmp_path / "ready"
    script.write_text(textwrap.dedent(READS_NOTHING))
    os.mkfifo(ready)
    command = [sys.executable, str(script), start.path(), str(stop), str(ready)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as deaf:
        ready.read_bytes()
        with Client(start.path()) as other:
            before = psutil.Process(scheduler.pid).memory_info().rss
            for _ in range(50):
                assert other.map(time.sleep, [0.01] * 10).results(PATIENCE) == [None] * 10
            assert psutil.Process(scheduler.pid).memory_info().rss - before < 32 << 20
        stop.touch()
        deaf.kill()


def test_a_program_is_told_of_its_tasks_lines_and_ends(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from scaler import Client

            def speak(x):
                print("task", x)
                print("error", x, file=sys.stderr)

            with Client(stream_output=True) as client:
                for x in range(3):
                    client.submit(speak, x).result(60)
                    print("main", x)
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout == "".join(f"task {x}\nmain {x}\n" for x in range(3))
    assert done.stderr == "".join(f"error {x}\n" for x in range(3))


def test_a_fork_of_the_client_streams_as_well(streaming, capsys):
    with streaming.fork() as again:
        assert again.submit(speak, 5).result(PATIENCE) == 5
    assert capsys.readouterr().out == "out 5\nrest of 5\n"
