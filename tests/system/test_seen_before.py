"""What users of opengris-scaler ran into: a table of it, and tests of those rows that no other test holds."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import PATIENCE, Command, Run
from rows import Later, Rows, check
from scaler import Client
from scaler.errors import ObjectStorageException, ProcessorDiedError
from stacks import MANAGER, SCHEDULER, STORAGE, Stack, all_gone
from working import works

if TYPE_CHECKING:
    from conftest import Starter

pytestmark = pytest.mark.timeout(180)

DRIVERS = Later("comes with the drivers")
HERE = "tests/system/test_seen_before.py::"
DYNAMIC = "tests/system/test_dynamic_manager.py::"
FARGATE = "tests/ecs/test_fargate_wounds.py::"

ROWS: Rows = {
    "-mt, -ot, -tts do nothing": [
        "tests/unit/test_config.py::test_options_without_meaning_are_answered_and_have_no_effect",
        "tests/system/test_agent.py::test_a_nodes_task_timeout_ends_a_task",
    ],
    "-mtc -1 ends the manager with exit code 0": [
        "tests/unit/test_cli.py::test_manager_says_what_to_do",
        "tests/unit/test_interface_rows.py::test_no_number_of_workers_is_the_drivers_own",
    ],
    "ECS: the container's command holds an option that is unknown there": [
        FARGATE + "test_every_option_of_workers_is_understood_in_the_container"
    ],
    "dead units stay counted, failed starts are not tried again": [
        "core_rs/engine/src/scheduler/tests/wounds.rs::wound_09_failed_starts_are_tried_again_later_and_waiting_tasks_say_why",
        "core_rs/engine/src/scheduler/tests/wounds.rs::wound_06_what_failed_to_start_is_ended_all_the_same",
        "tests/system/test_native_agents.py::test_one_that_is_killed_is_seen_with_the_signal_until_it_is_let_go",
        FARGATE + "test_a_task_that_dies_is_replaced_and_does_not_count",
        "tests/system/test_cli_commands.py::test_killed_agent_is_replaced_and_tasks_go_on",
    ],
    "ECS: shutdown stops another task than was meant": [FARGATE + "test_wound_4_a_busy_task_is_not_stopped"],
    "what a manager started goes on when it has ended": [
        "tests/system/test_cli_commands.py::test_interrupted_manager_takes_its_workers_with_it",
        HERE + "test_workers_end_with_a_manager_that_is_killed",
        DYNAMIC + "test_the_groups_of_a_manager_that_is_gone_for_good_end",
        DYNAMIC + "test_agents_end_by_themselves_when_manager_and_scheduler_are_gone",
        DYNAMIC + "test_cleanup_ends_what_a_killed_manager_has_left",
        FARGATE + "test_tasks_end_with_their_manager",
        FARGATE + "test_wound_7_tasks_end_by_themselves_when_manager_and_scheduler_are_gone",
    ],
    "ECS: options that an existing task definition overrides": [
        FARGATE + "test_options_are_not_ignored_where_somebody_elses_task_definition_differs",
        FARGATE + "test_our_own_task_definition_gets_a_new_revision_for_new_options",
    ],
    "ECS: default requirements lack the framework": [
        FARGATE + "test_units_get_this_software_or_a_line_says_that_they_must_have_it"
    ],
    "a storage bound to loopback is advertised as such": [
        "tests/unit/test_addresses.py::test_advertised_wildcard_or_loopback_means_the_host_that_was_reached",
        "tests/system/test_cli_commands.py::test_wildcard_scheduler_and_its_storage_are_reached_by_another_address",
        HERE + "test_a_storage_that_listens_on_loopback_alone_is_said_where_it_is_missed",
    ],
    "scale-down stops the oldest unit, though busy": [
        DYNAMIC + "test_the_worker_of_a_task_that_still_runs_is_the_last_to_go",
        DYNAMIC + "test_workers_come_with_tasks_and_go_with_them_and_none_is_killed",
        "core_rs/engine/src/scheduler/tests/wounds.rs::wound_04_what_just_got_a_task_is_not_ended",
    ],
    "Batch: results, arrays, the inline rule, what is printed, retries": [DRIVERS],
    "map(f, []) raises": ["tests/unit/test_client_maps.py::test_map_of_nothing_is_empty"],
    "an exception in map disconnects the client": [HERE + "test_an_exception_in_a_map_leaves_the_client_connected"],
    "kwargs are lost, builtins refused": [
        "tests/system/test_client_end_to_end.py::test_submit_map_and_starmap",
        "tests/unit/test_client_submit.py::test_callables_without_a_signature_are_fine",
        HERE + "test_keyword_arguments_that_do_not_fit_are_an_error_of_the_call",
    ],
    "a task that kills its worker is sent on for ever": [
        "tests/faults/test_executor_deaths.py::test_a_deadly_element_fails_alone",
        HERE + "test_a_task_that_kills_its_worker_fails_though_there_is_only_one",
    ],
    "sys.exit or KeyboardInterrupt in a task": [
        "tests/system/test_bad_input.py::test_task_that_calls_sys_exit",
        "tests/system/test_bad_input.py::test_task_that_raises_keyboard_interrupt",
    ],
    "preload fails and tasks hang": [
        "tests/system/test_agent.py::test_preload_that_fails_fails_the_tasks_with_its_reason",
    ],
    "one unplaceable task holds up all behind it": [
        HERE + "test_one_unplaceable_task_holds_up_nobody",
        "core_rs/engine/src/scheduler/tests/placing.rs::one_class_that_cannot_be_placed_blocks_no_other",
    ],
    "an unreachable scheduler is said late, as something else": [
        "tests/system/test_bad_input_addresses.py::test_no_scheduler_there",
        "tests/unit/test_client_submit.py::test_nobody_there_is_said_in_time",
    ],
    "a refused shutdown closes the client": [
        "tests/unit/test_client_submit.py::test_shutdown_that_is_refused_changes_nothing",
        "tests/system/test_cluster.py::test_is_protected_unless_told_otherwise",
    ],
    "unknown TOML keys and tables are ignored": [
        "tests/unit/test_config.py::test_wrong_file_is_said_with_file_line_and_key",
        "tests/unit/test_stack_plan.py::test_what_cannot_be_used_is_three_lines",
    ],
    "scaler FILE: one manager that ends takes all with it": [
        HERE + "test_a_manager_that_ends_takes_nothing_with_it",
        "tests/system/test_stack.py::test_a_map_survives_a_killed_part",
    ],
    "-wmi twice: the second manager idles": [
        "tests/unit/test_stack_plan.py::test_what_cannot_be_used_is_three_lines",
        DYNAMIC + "test_a_second_manager_of_one_name_is_told_so",
    ],
    "amounts of capabilities are not counted": [
        HERE + "test_amounts_of_capabilities_count",
        "core_rs/engine/src/scheduler/tests/placing.rs::names_and_amounts_are_honoured",
    ],
    "vanilla overshoots with several managers": [
        "core_rs/engine/src/scaling/tests/several.rs::wound_overshoot_several_managers_share_one_need"
    ],
    "exceptions of a script's own classes lose their type": [
        "tests/system/test_bad_input.py::test_exception_of_main",
        "tests/system/test_client_end_to_end.py::test_script_needs_no_main_guard_and_gets_its_own_classes_back",
    ],
    "workers do not obey the logging options": [HERE + "test_workers_obey_the_logging_options"],
    "scaler_worker_manager --help is an error": [HERE + "test_help_of_the_manager_lists_the_drivers"],
    "no authentication": [
        "tests/system/test_transport.py::test_server_without_its_handler_lets_nobody_in",
        "tests/system/test_transport.py::test_honest_traffic_goes_on_beside_strangers_of_all_kinds",
        "tests/system/test_keys_between_processes.py::test_without_a_key_clients_and_workers_are_told_what_to_set",
        "tests/system/test_keys_between_processes.py::test_with_another_clusters_key_they_are_told_so",
    ],
}


def test_every_row_is_held() -> None:
    check(ROWS)


@pytest.fixture
def address(run: Run) -> str:
    """Of a running scheduler with a storage of its own."""
    return listening(run("scheduler", "tcp://127.0.0.1:0", "--resync-seconds", "0"))


def listening(scheduler: Command) -> str:
    return scheduler.read_until("object storage at").split("listens at ")[1].split(",")[0]


def manage(run: Run, address: str, *arguments: str) -> Command:
    return run(
        "worker_manager",
        "native",
        address,
        "--mode",
        "fixed",
        "--shutdown-timeout-seconds",
        "1",
        "-his",
        "0.2",
        *arguments,
    )


def test_workers_end_with_a_manager_that_is_killed(run: Run, address: str) -> None:
    """And whoever waits for them has others soon."""
    doomed = manage(run, address, "-mtc", "1", "-dts", "2")
    doomed.read_until("1 workers serve")
    with Client(address, timeout_seconds=PATIENCE) as client:
        agent = os.pidfd_open(client.submit(os.getppid).result(PATIENCE))
        doomed.end(signal.SIGKILL)
        try:
            assert select.select([agent], [], [], PATIENCE)[0], "it still runs"
        finally:
            os.close(agent)
        waiting = client.submit(pow, 2, 8)
        manage(run, address, "-mtc", "1").read_until("1 workers serve")
        assert waiting.result(PATIENCE) == 256


def test_a_storage_that_listens_on_loopback_alone_is_said_where_it_is_missed(
    run: Run, home: Path, own_host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To those who come by another address. What is small needs no storage, and goes on."""
    storage = run("object_storage_server", "tcp://127.0.0.1:0")
    told = storage.read_until("object storage listens at").split("listens at ")[1].split()[0]
    scheduler = run("scheduler", "tcp://0.0.0.0:0", "--resync-seconds", "0", "--object-storage-address", told)
    here = listening(scheduler)
    manage(run, here.replace("0.0.0.0", "127.0.0.1"), "-mtc", "1").read_until("1 workers serve")
    token, _ = run("keys", "export").process.communicate()
    elsewhere = home / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    monkeypatch.setenv("SCALER_RUNTIME_DIR", str(elsewhere))
    there = here.replace("0.0.0.0", own_host)
    with Client(there, timeout_seconds=3, key=token.decode().strip()) as client:
        assert client.submit(pow, 2, 8).result(PATIENCE) == 256
        with pytest.raises(ObjectStorageException) as caught:
            client.submit(len, os.urandom(1 << 20)).result(PATIENCE)
        assert client.submit(pow, 2, 8).result(PATIENCE) == 256
    port = told.rpartition(":")[2]
    assert f"where: tcp://{own_host}:{port}" in str(caught.value)
    assert "--advertised-object-storage-address" in str(caught.value)


def divide(a: int, b: int) -> float:
    return a / b


def test_an_exception_in_a_map_leaves_the_client_connected(client: Client) -> None:
    for futures in (client.map(divide, [1, 2, 3], [1, 0, 3]), client.starmap(divide, [(1, 1), (2, 0), (3, 3)])):
        with pytest.raises(ZeroDivisionError):
            futures.results(PATIENCE)
        assert (futures[0].result(PATIENCE), futures[2].result(PATIENCE)) == (1, 1)
    works(client)


def positions_and_names(a: int, b: int = 2, /, *, c: int = 0) -> tuple[int, int, int]:
    return a, b, c


def test_keyword_arguments_that_do_not_fit_are_an_error_of_the_call(client: Client) -> None:
    """Python's own: none is dropped, none becomes another."""
    assert client.submit(positions_and_names, 1, c=5).result(PATIENCE) == (1, 2, 5)
    for call in ({"b": 3}, {"d": 4}):
        with pytest.raises(TypeError, match="positions_and_names"):
            client.submit(positions_and_names, 1, **call).result(PATIENCE)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        client.submit(positions_and_names).result(PATIENCE)


def test_a_task_that_kills_its_worker_fails_though_there_is_only_one(start: Starter) -> None:
    start.scheduler()
    start.node(slots=1)
    with Client(start.path(), timeout_seconds=PATIENCE) as client:
        deadly = client.submit(os._exit, 9)
        behind = client.submit(pow, 2, 8)
        with pytest.raises(ProcessorDiedError, match="in 3 attempts"):
            deadly.result(PATIENCE)
        assert behind.result(PATIENCE) == 256


def test_one_unplaceable_task_holds_up_nobody(client: Client) -> None:
    waiting = client.submit_verbose(abs, (-1,), {}, {"gpu": -1})
    unplaceable = client.map(abs, range(1000), capabilities={"tpu": 4})
    works(client)
    assert not waiting.done()
    assert unplaceable.done_count == 0
    client.clear()


def test_a_manager_that_ends_takes_nothing_with_it(run: Run, home: Path) -> None:
    (home / "run").mkdir(mode=0o700)
    address = f"ipc://{home}/run/s"
    other = MANAGER.replace('"native"', '"other"')
    tables = (STORAGE + SCHEDULER + MANAGER + other).format(scheduler=address, objects=f"ipc://{home}/run/o")
    (home / "config.toml").write_text(tables)
    stack = Stack(run("stack", str(home / "config.toml")), address)
    stack.command.read_until("other          | 2 workers serve")
    with all_gone(stack, home):
        with stack.client() as client:
            works(client)
            manager = stack.part("scaler.managers")
            manager.terminate()
            manager.wait(PATIENCE)
            works(client)
        code, output = stack.command.end()
    assert code == 0, output
    assert "died" not in output


def test_amounts_of_capabilities_count(start: Starter) -> None:
    start.scheduler()
    start.node(slots=1, capabilities={"gpu": 1, "linux": -1}, name="small")
    with Client(start.path(), timeout_seconds=PATIENCE) as client:
        for enough in ({"gpu": 1}, {"gpu": -1}, {"linux": -1, "gpu": 1}):
            assert client.submit_verbose(pow, (2, 8), {}, enough).result(PATIENCE) == 256
        waiting = client.submit_verbose(pow, (2, 8), {}, {"gpu": 2})
        assert "gpu" in client.explain(waiting)
        start.node(slots=1, capabilities={"gpu": 4}, name="large")
        assert waiting.result(PATIENCE) == 256


def test_workers_obey_the_logging_options(run: Run, address: str, home: Path) -> None:
    """What the agent and the tasks say goes where the manager's options say, and what is below the level nowhere."""
    file = home / "workers.log"
    manager = manage(run, address, "-mtc", "1", "--logging-level", "WARNING", "--logging-paths", str(file))
    manager.read_until("1 workers serve")
    with Client(address, timeout_seconds=PATIENCE) as client:
        agent = client.submit(os.getppid).result(PATIENCE)
        os.kill(agent, signal.SIGKILL)
        assert client.submit(os.getppid).result(PATIENCE) != agent
    code, output = manager.end(signal.SIGINT)
    assert code == 0, output
    assert set(output.splitlines()) == {f"1 workers serve {address}"}
    logged = file.read_text()
    assert "SIGKILL" in logged
    assert "INFO" not in logged


def test_help_of_the_manager_lists_the_drivers(run: Run) -> None:
    code, output = run("worker_manager", "--help").finish()
    assert code == 0
    assert "baremetal_native" in output
