"""An executor as a process: how it starts, is interrupted, prints, and ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_agent import FakeAgent
from gates import Gate
from scaler.node.output import Lines


@pytest.fixture
def agent() -> Iterator[FakeAgent]:
    agent = FakeAgent(path=sys.path)
    try:
        assert agent.ready() == ""
        yield agent
    finally:
        agent.close()


def started(agents: list[FakeAgent], **settings: Any) -> FakeAgent:
    agents.append(FakeAgent(path=sys.path, **settings))
    return agents[-1]


@pytest.fixture
def agents() -> Iterator[list[FakeAgent]]:
    agents: list[FakeAgent] = []
    yield agents
    for each in agents:
        each.close()


def test_stop_ends_it_in_peace(agent: FakeAgent) -> None:
    agent.stop()
    assert agent.wait() == 0
    assert agent.output() == (b"", b"")


def test_the_agents_end_ends_it(agent: FakeAgent) -> None:
    agent.socket.shutdown(2)
    assert agent.wait() == 0


def test_the_agents_end_under_a_task_ends_it_in_peace(agent: FakeAgent, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    agent.function(Gate.hold)
    agent.calls(gate.names)
    gate.wait()
    agent.socket.shutdown(2)
    gate.release()
    assert agent.wait() == 0
    assert agent.output() == (b"", b"")


def test_it_leads_a_session_of_its_own(agent: FakeAgent) -> None:
    assert os.getsid(agent.pid) == os.getpgid(agent.pid) == agent.pid


def loop_until(path: str) -> None:
    with open(path, "w"):
        pass
    while True:
        time.sleep(0.001)


def wait_for_reader(path: str) -> None:
    """Returns when a task has opened the pipe."""
    with open(path):
        pass


def test_cancel_hits_the_running_element_alone(agent: FakeAgent, tmp_path: Any) -> None:
    fifo = str(tmp_path / "started")
    os.mkfifo(fifo)
    agent.function(loop_or_double)
    chunk = agent.plain([1, fifo, 3])
    wait_for_reader(fifo)
    assert agent.position == (chunk, 1)
    agent.cancel(chunk, 1)
    found, end = agent.outcomes(chunk)
    assert (found, end) == ([("value", 2), ("cancelled", None), ("value", 6)], 3)


def loop_or_double(x: Any) -> Any:
    return loop_until(x) if isinstance(x, str) else x * 2


def test_an_interrupt_that_means_another_element_does_nothing(agent: FakeAgent, tmp_path: Any) -> None:
    fifo = str(tmp_path / "gate")
    os.mkfifo(fifo)
    agent.function(read_all)
    chunk = agent.plain([fifo])
    with open(fifo, "w") as gate:
        agent.cancel(chunk, 7)
        agent.cancel(chunk + 1, 0)
        gate.write("whole")
    assert agent.outcomes(chunk) == ([("value", "whole")], 1)


def test_an_interrupt_between_tasks_does_nothing(agent: FakeAgent) -> None:
    agent.function(read_all)
    for _ in range(20):
        os.kill(agent.pid, signal.SIGINT)
    chunk = agent.plain(["/dev/null"])
    assert agent.values(chunk) == [""]
    agent.cancel(chunk, 0)
    assert agent.values(agent.plain(["/dev/null"])) == [""]


def read_all(path: str) -> str:
    with open(path) as file:
        return file.read()


def swallow(path: str) -> str:
    try:
        loop_until(path)
    except KeyboardInterrupt:
        raise ValueError("in place of it") from None
    return "never"


def test_a_cancelled_task_may_clean_up_and_is_cancelled_whatever_it_raises(agent: FakeAgent, tmp_path: Any) -> None:
    fifo = str(tmp_path / "started")
    os.mkfifo(fifo)
    agent.function(swallow)
    chunk = agent.plain([fifo])
    wait_for_reader(fifo)
    agent.cancel(chunk, 0)
    assert agent.outcomes(chunk) == ([("cancelled", None)], 1)


def die(how: str) -> None:
    if how == "exit":
        os._exit(7)
    if how == "segfault":
        import ctypes

        ctypes.string_at(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("how", "status"), [("exit", 7), ("segfault", -signal.SIGSEGV), ("kill", -signal.SIGKILL)])
def test_the_line_names_the_element_that_killed_it(agent: FakeAgent, how: str, status: int) -> None:
    agent.function(die)
    chunk = agent.plain(["", "", how, ""])
    assert agent.wait() == status
    assert agent.position == (chunk, 2)


def test_the_line_names_the_element_whose_arguments_killed_it(agent: FakeAgent) -> None:
    agent.function(read_all)
    good, bad = b"\x80\x05\x8c\x09/dev/null.", b"\x80\x05\x8c\x02os\x8c\x05_exit\x93K\x09\x85R."
    chunk = agent.packed([good, bad, good], style=1)
    assert agent.wait() == 9
    assert agent.position == (chunk, 1)


def test_a_function_that_kills_it_while_being_unpickled_has_an_owner(agent: FakeAgent) -> None:
    agent.pickled_function(b"\x80\x05\x8c\x02os\x8c\x05_exit\x93K\x09\x85R.")
    chunk = agent.plain([1, 2])
    assert agent.wait() == 9
    assert agent.position == (chunk, 0)


class Slow:
    """A function whose unpickling takes as long as somebody holds it up, and its call too. Three named pipes."""

    def __init__(self, *pipes: str) -> None:
        self.pipes = pipes

    def __reduce__(self) -> tuple[Any, ...]:
        return load_slowly, self.pipes

    def __call__(self, _: int) -> None:
        Path(self.pipes[1]).write_text("")
        Path(self.pipes[2]).read_text()


def load_slowly(*pipes: str) -> Slow:
    Path(pipes[0]).write_text("")
    return Slow(*pipes)


def test_the_clock_of_an_element_starts_anew_when_its_function_was_loaded(agent: FakeAgent, tmp_path: Path) -> None:
    pipes = [str(tmp_path / name) for name in ("loading", "running", "go")]
    for pipe in pipes:
        os.mkfifo(pipe)
    agent.function(Slow(*pipes))
    chunk = agent.plain([1])
    while agent.position != (chunk, 0):
        os.sched_yield()
    loading_since = agent.started_us
    with open(pipes[0]), open(pipes[1]):
        assert agent.position == (chunk, 0)
        assert agent.started_us > loading_since
    Path(pipes[2]).write_text("")
    assert agent.values(chunk) == [None]


def speak(x: int) -> None:
    print("line", x)
    print("more of", x, end="")
    if x == 2:
        print("error", file=sys.stderr)
    if x == 3:
        subprocess.run(["echo", "from a child"], check=True)


def test_output_carries_the_task_that_wrote_it(agent: FakeAgent) -> None:
    agent.function(speak)
    assert agent.values(agent.plain([1, 2, 3])) == [None] * 3
    agent.stop()
    agent.wait()
    out, err = agent.output()
    lines = Lines()
    shown = (lines.feed(out, (agent.session, 999)) + lines.end()).decode().splitlines()
    assert "[task 11223344:100] line 1" in shown
    assert "[task 11223344:101] line 2" in shown
    assert "[task 11223344:102] line 3" in shown
    assert "[task 11223344:999] from a child" in shown
    assert shown.index("[task 11223344:100] more of 1") < shown.index("[task 11223344:101] line 2")
    assert Lines().feed(err, None) == b"[task 11223344:101] error\n"


def test_standard_streams_are_what_libraries_expect(agent: FakeAgent) -> None:
    agent.function(streams)
    assert agent.values(agent.plain([0])) == [(1, 2, "utf-8", False, True)]


def streams(_: int) -> tuple[int, int, str, bool, bool]:
    sys.stdout.buffer.write(b"raw\n")
    sys.stdout.flush()
    return sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.encoding, sys.stdin.isatty(), sys.stdin.read() == ""


def vandalise(_: int) -> str:
    sys.stdout = None  # type: ignore[assignment]
    os.closerange(3, 50)
    return "still here"


def test_closing_what_is_not_ones_own_does_no_harm(agent: FakeAgent) -> None:
    agent.function(vandalise)
    assert agent.values(agent.plain([1])) == ["still here"]
    assert agent.values(agent.plain([2])) == ["still here"]


def fork_and_return(_: int) -> int:
    return os.fork()


def test_a_child_forked_by_a_task_never_speaks_for_it(agent: FakeAgent) -> None:
    agent.function(fork_and_return)
    (child,) = agent.values(agent.plain([1]))
    assert child > 0, "the parent's answer"
    agent.function(abs, b"g" * 16)
    assert agent.values(agent.plain([-1], function=b"g" * 16)) == [1]


def main_names(_: int) -> list[str]:
    import __main__

    return [name for name in vars(__main__) if not name.startswith("__")]


def test_main_is_empty(agent: FakeAgent) -> None:
    agent.function(main_names)
    assert agent.values(agent.plain([1])) == [[]]


def environment(_: int) -> tuple[str | None, str | None]:
    return os.environ.get("SCALER_KEY"), os.environ.get("SCALER_IN_TASK")


def test_it_holds_no_key(agents: list[FakeAgent], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALER_KEY", "secret")
    agent = started(agents)
    assert agent.ready() == ""
    agent.function(environment)
    assert agent.values(agent.plain([1])) == [(None, "1")]


LOADED: list[Any] = []


def load(*args: Any, **kwargs: Any) -> None:
    LOADED.append((args, kwargs))


def loaded(_: int) -> list[Any]:
    return LOADED


def fail_to_load() -> None:
    raise RuntimeError("no licence")


def test_preload_runs_once_before_the_first_task(agents: list[FakeAgent]) -> None:
    agent = started(agents, preload="test_executor_process:load(1, [2, 3], mode='fast')")
    assert agent.ready() == ""
    agent.function(loaded)
    assert agent.values(agent.plain([1, 2])) == [[((1, [2, 3]), {"mode": "fast"})]] * 2


@pytest.mark.parametrize(
    ("preload", "text"),
    [
        ("test_executor_process:fail_to_load", "RuntimeError: no licence"),
        ("not_there:f", "ModuleNotFoundError"),
        ("test_executor_process:nothing", "AttributeError"),
        ("what?", "pkg.mod:func"),
    ],
)
def test_preload_that_fails_is_told(agents: list[FakeAgent], preload: str, text: str) -> None:
    agent = started(agents, preload=preload)
    error = agent.ready()
    assert text in error
    assert preload in error
    assert agent.wait() == 1


def collected(_: int) -> list[int]:
    import gc

    return [generation["collections"] for generation in gc.get_stats()]


def test_it_collects_garbage_at_intervals(agents: list[FakeAgent]) -> None:
    agent = started(agents, collect_interval=1e-9, trim_threshold=1)
    assert agent.ready() == ""
    agent.function(collected)
    (before,) = agent.values(agent.plain([1]))
    (after,) = agent.values(agent.plain([1]))
    assert after[2] > before[2]


def test_more_executors_than_low_descriptors(agents: list[FakeAgent]) -> None:
    """The numbers that an executor's descriptors get may be taken in the agent by others'."""
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(200)]
    try:
        for _ in range(3):
            agent = started(agents)
            assert agent.ready() == ""
            agent.function(abs)
            assert agent.values(agent.plain([-1])) == [1]
    finally:
        for each in held:
            os.close(each)
