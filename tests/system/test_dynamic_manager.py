"""Workers by need: a scheduler with a policy, a manager in another process, agents that come and go."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import fake_plugins
import pytest
from commands import PATIENCE, Run
from dynamic import all_end, ends_of, kill, scaled
from scaler import Client
from stacks import Stack, all_gone

pytestmark = pytest.mark.timeout(240)


def note_and_nap(path: str, seconds: float, number: int) -> int:
    """Leaves a line when it begins and one when it ends: a task that was killed begins again."""
    with open(path, "a") as file:
        file.write(f"begin {number}\n")
    time.sleep(seconds)
    with open(path, "a") as file:
        file.write(f"end {number}\n")
    return number


def tell_and_wait(began: str, go_on: str) -> int:
    """Ends when somebody has opened both pipes."""
    with open(began, "w"):
        pass
    with open(go_on):
        pass
    return os.getppid()


def double(number: int) -> int:
    return 2 * number


def test_workers_come_with_tasks_and_go_with_them_and_none_is_killed(run: Run, home: Path) -> None:
    """0 → 8 → 0, twice."""
    cluster = scaled(run, "-sdc", "0.5")
    manager = cluster.manager()
    assert cluster.agents() == []
    paths = [str(home / "notes")] * 160
    with cluster.client() as client:
        for wave in (1, 2):
            futures = client.map(note_and_nap, paths, [0.05] * 160, range(160))
            cluster.wait_for("with 1 slots joined", 8 * wave)
            assert futures.results(2 * PATIENCE) == list(range(160))
            cluster.wait_for(" left", 8 * wave)
            cluster.wait_for_agents(0)
    lines = Path(paths[0]).read_text().splitlines()
    assert sorted(lines) == sorted(2 * [f"{word} {n}" for n in range(160) for word in ("begin", "end")])
    code, output = manager.end()
    assert (code, "Traceback" in output) == (0, False), output


def test_the_worker_of_a_task_that_still_runs_is_the_last_to_go(run: Run, home: Path) -> None:
    cluster = scaled(run, "-sdc", "0.2")
    cluster.manager(most=4)
    pipes = [str(home / name) for name in ("began", "go-on")]
    for each in pipes:
        os.mkfifo(each)
    with cluster.client() as client:
        slow = client.submit(tell_and_wait, *pipes)
        with open(pipes[0]):
            pass
        client.map(note_and_nap, [str(home / "notes")] * 80, [0.05] * 80, range(80)).results(2 * PATIENCE)
        cluster.wait_for(" left", 3)
        (left,) = cluster.wait_for_agents(1)
        with open(pipes[1], "w"):
            pass
        assert slow.result(PATIENCE) == left.pid
        cluster.wait_for_agents(0)


def test_without_a_policy_a_task_waits_and_says_how_to_switch_scaling_on(run: Run) -> None:
    cluster = scaled(run, policy="allocate=even_load; scaling=no")
    cluster.manager()
    with cluster.client() as client:
        future = client.submit(double, 21)
        cluster.scheduler.read_until('-pc "allocate=even_load; scaling=vanilla"')
        assert '-pc "allocate=even_load; scaling=vanilla"' in client.explain(future)
        assert not future.done()
        assert cluster.agents() == []
        # Workers by hand do it all the same.
        run("cluster", cluster.address, "-n", "1").read_until("1 workers of")
        assert future.result(PATIENCE) == 42


def test_capabilities_of_a_manager_are_those_of_its_workers(run: Run) -> None:
    cluster = scaled(run, policy="allocate=capability; scaling=capability")
    cluster.manager("-pwc", "gpu=2,linux", most=2)
    with cluster.client() as client:
        future = client.submit_verbose(double, (21,), {}, capabilities={"gpu": 2})
        assert future.result(2 * PATIENCE) == 42
        assert len(cluster.agents()) == 1


def test_a_second_manager_of_one_name_is_told_so(run: Run, home: Path) -> None:
    cluster = scaled(run)
    first = cluster.manager("--mode", "fixed", most=1, until="1 workers serve")
    code, output = cluster.manager(until="").finish()
    assert code == 2, output
    assert f"This worker manager runs already, as process {first.process.pid}." in output
    assert "--worker-manager-id" in output
    # With another folder only the scheduler knows.
    code, output = cluster.manager("--state-directory", str(home / "elsewhere"), until="").finish()
    assert code == 2, output
    assert "Another worker manager is called 'baremetal_native'." in output
    assert "--worker-manager-id" in output
    assert len(cluster.agents()) == 1, "the first one's worker is untouched"
    with cluster.client() as client:
        assert client.submit(double, 21).result(PATIENCE) == 42
    assert first.end()[0] == 0


def test_two_managers_of_two_names_serve_side_by_side(run: Run) -> None:
    cluster = scaled(run)
    for name in ("one", "two"):
        cluster.manager("-wmi", name, "--mode", "fixed", most=1, until="1 workers serve")
    assert {each.manager for each in cluster.wait_for_agents(2)} == {"one", "two"}


def test_a_manager_that_is_killed_and_comes_back_goes_on_with_its_workers(run: Run) -> None:
    cluster = scaled(run)
    first = cluster.manager("--mode", "fixed", most=2, until="2 workers serve")
    with cluster.client() as client:
        assert client.submit(double, 21).result(PATIENCE) == 42
        (agent,) = cluster.agents()
        kill(first)
        second = cluster.manager("--mode", "fixed", most=2, until="2 workers serve")
        assert client.map(double, range(100)).results(PATIENCE) == [2 * n for n in range(100)]
        assert cluster.agents() == [agent]
        # What says that a process is an agent, its tasks' processes do not inherit.
        assert [client.submit(os.environ.get, name).result(PATIENCE) for name in ("SCALER_UNIT", "SCALER_KEY")] == [
            None
        ] * 2
    ends = ends_of([agent])
    code, output = second.end(signal.SIGINT)
    assert code == 0, output
    all_end(ends)


def test_the_groups_of_a_manager_that_is_gone_for_good_end(run: Run) -> None:
    cluster = scaled(run)
    manager = cluster.manager("--mode", "fixed", "-dts", "2", most=2, until="2 workers serve")
    ends = ends_of(cluster.agents())
    kill(manager)
    all_end(ends)
    cluster.scheduler.read_until("is gone (it was silent for 2 s)")


def test_agents_end_by_themselves_when_manager_and_scheduler_are_gone(run: Run) -> None:
    cluster = scaled(run)
    manager = cluster.manager("--mode", "fixed", "-dts", "2", most=2, until="2 workers serve")
    ends = ends_of(cluster.agents())
    for each in (manager, cluster.scheduler):
        kill(each)
    all_end(ends)


def test_a_manager_without_a_scheduler_ends_its_workers_and_fails_after_the_lease(run: Run) -> None:
    cluster = scaled(run)
    manager = cluster.manager("--mode", "fixed", "-dts", "2", most=1, until="1 workers serve")
    ends = ends_of(cluster.agents())
    kill(cluster.scheduler)
    code, output = manager.finish()
    assert code == 1, output
    assert "no scheduler for 2 s" in output
    all_end(ends)


def test_cleanup_ends_what_a_killed_manager_has_left(run: Run) -> None:
    cluster = scaled(run)
    manager = cluster.manager("--mode", "fixed", most=1, until="1 workers serve")
    (agent,) = cluster.agents()
    ends = ends_of([agent])
    code, output = run("worker_manager", "baremetal_native", "cleanup").finish()
    assert code == 2, output
    assert f"as process {manager.process.pid}" in output
    kill(manager)
    code, output = run("worker_manager", "native", "cleanup", "--dry-run").finish()
    assert (code, output) == (0, f"unit {agent.group} ({agent.pid}): would be ended\n")
    assert cluster.agents() == [agent]
    code, output = run("worker_manager", "native", "cleanup").finish()
    assert (code, output) == (0, f"unit {agent.group} ({agent.pid}): ended\n")
    all_end(ends)


def test_a_second_interrupt_leaves_at_once_and_says_how_to_end_the_rest(run: Run, home: Path) -> None:
    cluster = scaled(run)
    manager = cluster.manager("--mode", "fixed", most=1, until="1 workers serve")
    (agent,) = cluster.agents()
    ends = ends_of([agent])
    # It stands still: so it is not over before the second one comes.
    os.kill(agent.pid, signal.SIGSTOP)
    manager.process.send_signal(signal.SIGINT)
    manager.read_until("the workers finish what they run")
    manager.process.send_signal(signal.SIGINT)
    manager.read_until(f"{agent.group} may be left; to end what is: scaler_worker_manager baremetal_native cleanup")
    assert manager.process.wait(PATIENCE) == 130
    os.kill(agent.pid, signal.SIGKILL)
    all_end(ends)


def test_a_dynamic_manager_in_a_file_scales_without_a_policy_and_says_so(run: Run, home: Path) -> None:
    (home / "run").mkdir(mode=0o700)
    address = f"ipc://{home}/run/s"
    (home / "config.toml").write_text(
        f'[scheduler]\nbind_address = "{address}"\nresync_seconds = 0.2\nscale_down_cooldown_seconds = 0.5\n'
        '[[worker_manager]]\ntype = "baremetal_native"\nmax_task_concurrency = 3\nheartbeat_interval_seconds = 0.2\n'
    )
    stack = run("stack", str(home / "config.toml"))
    output = stack.read_until("up to 3 workers serve")
    assert "scaling=vanilla" in output
    with Client(address, timeout_seconds=PATIENCE) as client:
        notes = [str(home / "notes")] * 60
        assert client.map(note_and_nap, notes, [0.05] * 60, range(60)).results(2 * PATIENCE) == list(range(60))
        while stack.output.decode().count(" left") < 3:
            assert stack.read_more(PATIENCE), stack.output.decode()
    code, output = stack.end(signal.SIGINT)
    assert code == 0, output
    assert "Traceback" not in output


HANGS = fake_plugins.WHOLE.replace(
    "def heartbeat(context):\n    return []",
    """\
def offer(context):
    from scaler.managers.api import Offer
    return Offer(deadline_seconds=0.3, shutdown_seconds=0.0)


def heartbeat(context):
    import os, time
    if not os.path.exists(FLAG):
        open(FLAG, "w").close()
        time.sleep(3600)
    return []""",
)


@pytest.mark.slow
def test_a_hook_that_hangs_starts_the_manager_of_a_stack_anew_and_nobody_notices(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_plugins.install(home / "site", "hangs", f"FLAG = {str(home / 'flag')!r}\n" + HANGS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(home / "site"), os.environ["PYTHONPATH"]]))
    (home / "run").mkdir(mode=0o700)
    (home / "config.toml").write_text(
        f'[scheduler]\nbind_address = "ipc://{home}/run/s"\n'
        '[[worker_manager]]\ntype = "hangs"\nheartbeat_interval_seconds = 0.2\n'
    )
    stack = Stack(run("stack", str(home / "config.toml")), "")
    stack.command.read_until("as tasks need them")
    manager = stack.part("scaler.managers").pid
    stack.command.read_until("starting anew: ")
    # The scheduler sees it come back.
    while stack.command.output.decode().count("joined from") < 2:
        assert stack.command.read_more(PATIENCE), stack.command.output.decode()
    assert stack.part("scaler.managers").pid == manager
    with all_gone(stack, home):
        code, output = stack.command.end(signal.SIGINT)
    assert code == 0, output
    assert "died" not in output


@pytest.mark.slow
def test_a_hook_that_hangs_starts_the_manager_anew_in_place(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_plugins.install(home / "site", "hangs", f"FLAG = {str(home / 'flag')!r}\n" + HANGS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(home / "site"), os.environ["PYTHONPATH"]]))
    cluster = scaled(run)
    manager = run("worker_manager", "hangs", cluster.address, "-his", "0.2", "--size", "7")
    manager.read_until("as tasks need them")
    output = manager.read_until("starting anew: ")
    assert "heartbeat" in output.partition("starting anew: ")[2]
    while manager.output.decode().count("as tasks need them") < 2:
        assert manager.read_more(PATIENCE), manager.output.decode()
    command = Path(f"/proc/{manager.process.pid}/cmdline").read_bytes().decode().split("\0")
    assert command[-3:] == ["--size", "7", ""]
    code, output = manager.end()
    assert code == 0, output
