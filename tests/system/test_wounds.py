"""What users of other systems of this kind ran into, by number: a table of it, and tests of what no other test holds.

The numbers in between belong to what starts and ends machines, and come with the drivers.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from rows import Later, Rows, check
from scaler import Client, _core
from scaler.process import Part
from strangers import connect_to_path, hello, random_number, receive
from working import PATIENCE, works

if TYPE_CHECKING:
    from conftest import Starter

pytestmark = pytest.mark.timeout(180)

MIB = 1 << 20
HERE = "tests/system/test_wounds.py::"
FAULTS = "tests/faults/"

FLEET = "core_rs/engine/src/scheduler/tests/wounds.rs::"
DYNAMIC = "tests/system/test_dynamic_manager.py::"
FARGATE = "tests/ecs/test_wounds.py::"

ROWS: Rows = {
    "1 scales up and down at once": [
        FLEET + "wound_01_what_is_as_it_should_be_is_left_alone",
        "tests/system/test_scaling.py::test_wound_1_a_load_that_comes_and_goes_starts_each_worker_once",
    ],
    "2 demand is counted twice while nodes boot": [FLEET + "wound_02_what_starts_is_not_started_once_more"],
    "3 stopping one worker kills its siblings": [FLEET + "wound_03_only_whole_groups_are_ended"],
    "4 what just got a task is stopped": [
        FLEET + "wound_04_what_just_got_a_task_is_not_ended",
        DYNAMIC + "test_the_worker_of_a_task_that_still_runs_is_the_last_to_go",
        FARGATE + "test_wound_4_a_busy_task_is_not_stopped",
    ],
    "5 units that never registered are abandoned": [
        FLEET + "wound_05_what_never_connects_is_ended_and_replaced_with_a_hint",
        FARGATE + "test_wound_5_a_task_that_never_connects_is_stopped_and_replaced_and_said",
    ],
    "6 a failed or timed-out create leaks": [
        FLEET + "wound_06_what_failed_to_start_is_ended_all_the_same",
        "tests/unit/test_manager_host.py::test_a_full_disk_holds_records_back_in_order_until_there_is_room",
        FAULTS + "test_manager_kills.py::test_a_manager_that_is_killed_while_it_scales_leaves_just_what_is_wanted",
        FARGATE + "test_wound_6_a_create_whose_answer_is_lost_leaks_nothing",
        "tests/ecs/test_trouble.py::test_a_tenth_of_all_calls_fail_and_the_manager_is_killed_ten_times",
    ],
    "7 the manager dies and the bill runs on": [
        DYNAMIC + "test_the_groups_of_a_manager_that_is_gone_for_good_end",
        DYNAMIC + "test_agents_end_by_themselves_when_manager_and_scheduler_are_gone",
        DYNAMIC + "test_cleanup_ends_what_a_killed_manager_has_left",
        FARGATE + "test_wound_7_tasks_end_by_themselves_when_manager_and_scheduler_are_gone",
    ],
    "8 the lifetime is set too late": [
        "tests/unit/test_launching.py::test_every_option_of_workers_arrives_by_the_command",
        FARGATE + "test_wound_8_the_lifetime_travels_in_the_creating_call",
    ],
    "9 workers cannot start, and nobody says so": [
        FLEET + "wound_09_failed_starts_are_tried_again_later_and_waiting_tasks_say_why",
        FLEET + "wound_09_groups_that_leave_as_soon_as_they_came_are_failed_starts",
        FLEET + "wound_09_trouble_of_a_manager_stands_on_the_waiting_tasks",
        "tests/unit/test_manager_host.py::test_workers_that_fail_are_told_once_with_the_reason",
        FARGATE + "test_wound_9_an_image_that_cannot_be_pulled_is_said_and_tried_again",
    ],
    "10 state machines deadlock, both sides disagree who has a task": [
        "core_rs/sim/tests/seeds.rs::fresh_histories_keep_all_promises",
        "core_rs/sim/tests/planted.rs::a_skipped_give_back_is_found",
        FAULTS + "test_stack_kills.py::test_each_part_is_killed_once",
    ],
    "11 who holds the interpreter lock is declared dead": [
        HERE + "test_wound_11_a_task_that_holds_the_interpreter_lock_is_not_declared_dead",
        HERE + "test_wound_11_a_client_that_holds_the_interpreter_lock_is_not_declared_dead",
        FLEET + "wound_11_a_manager_in_a_slow_call_is_not_taken_for_dead",
        "tests/unit/test_manager_host.py::test_calls_run_at_once_and_a_slow_one_holds_nobody_up",
    ],
    "12 a death blames hundreds of queued tasks": [
        FAULTS + "test_agent_and_scheduler_deaths.py::test_a_killed_agents_only_started_elements_count_an_attempt",
        FAULTS + "test_agent_and_scheduler_deaths.py::test_of_all_that_died_with_them_only_what_ran_counts_an_attempt",
        FAULTS + "test_executor_deaths.py::test_two_hundred_kills_name_the_right_element",
        "core_rs/sim/tests/planted.rs::a_counted_attempt_that_never_started_is_found",
    ],
    "13 spot loss burns retries": [
        "core_rs/engine/src/scheduler/tests/dying.rs::a_loss_that_was_not_the_elements_fault_is_no_attempt",
        "core_rs/engine/src/node/tests/chunks.rs::a_machine_that_goes_drains_and_exits",
        "tests/system/test_agent.py::test_drain_finishes_what_runs_and_gives_the_rest_back",
        "core_rs/engine/src/node/tests/chunks.rs::what_a_machine_that_goes_has_no_time_to_finish_goes_back_and_that_is_no_attempt",
        "tests/system/test_agent.py::test_wound_13_what_a_machine_has_no_time_to_finish_runs_elsewhere_and_that_is_no_attempt",
        FARGATE + "test_wound_13_an_interrupted_spot_task_drains_and_burns_no_attempt",
        FARGATE + "test_wound_13_where_there_is_no_spot_capacity_on_demand_is_taken",
    ],
    "14 why is it pending?": [
        HERE + "test_wound_14_a_pending_task_says_why",
        FLEET + "wound_14_a_task_that_waits_for_workers_says_what_they_do",
        DYNAMIC + "test_without_a_policy_a_task_waits_and_says_how_to_switch_scaling_on",
        HERE + "test_wound_14_a_task_that_waits_for_its_turn_to_be_sent_says_so",
        "core_rs/engine/src/scheduler/tests/explaining.rs::a_queued_task_knows_how_many_come_before_it",
        "core_rs/engine/src/scheduler/tests/explaining.rs::the_python_that_is_missing_is_named",
    ],
    "15 workers are bought for tasks that wait on others": [
        FLEET + "wound_15_nothing_is_bought_for_tasks_that_wait_on_others"
    ],
    "16 a demand that nobody can ever serve hangs": [
        FLEET + "wound_16_a_demand_that_nobody_can_serve_is_told_with_what_lacks",
        HERE + "test_wound_16_a_demand_that_nobody_serves_is_told_at_once_and_logged_once",
        "core_rs/engine/src/scheduler/tests/explaining.rs::what_cannot_be_placed_is_logged_once_a_class",
    ],
    "17 the scheduler's memory grows": [
        HERE + "test_wound_17_nothing_of_nodes_and_clients_that_left_stays_in_the_scheduler",
        FAULTS + "test_back_pressure.py::test_tasks_that_nobody_runs_yet_are_accepted_up_to_the_limit",
        FAULTS + "test_back_pressure.py::test_a_client_that_stops_reading_slows_nobody_and_fills_no_memory",
        "core_rs/engine/tests/scheduler_memory.rs::a_queued_task_costs_at_most_300_bytes_and_an_element_of_a_map_8",
    ],
    "18 one stale message kills the scheduler": [
        "tests/system/test_bad_input_peers.py::test_member_that_talks_nonsense",
        "core_rs/engine/src/scheduler/tests/dying.rs::a_node_that_speaks_of_what_it_does_not_have_is_ended",
        "core_rs/sim/tests/seeds.rs::fresh_histories_keep_all_promises",
    ],
    "19 big arguments go through the scheduler": [
        HERE + "test_wound_19_large_arguments_and_results_do_not_go_through_the_scheduler",
        HERE + "test_wound_19_an_argument_may_be_larger_than_what_may_wait_for_a_reader",
        "tests/unit/test_client_objects.py::test_large_argument_travels_through_storage",
        "tests/unit/test_client_objects.py::test_equal_large_arguments_are_stored_once",
    ],
    "20 a full disk or store hangs": [
        "tests/unit/test_client_objects.py::test_task_whose_arguments_storage_does_not_take_fails",
        "tests/system/test_storage_limits.py::test_what_the_disk_limit_has_no_room_for_is_refused",
        "tests/system/test_storage_limits.py::test_a_full_disk_is_told_to_whoever_puts_and_everyone_else_goes_on",
    ],
    "21 version skew crashes": [
        "tests/system/test_bad_input_peers.py::test_client_of_another_major_protocol",
        HERE + "test_wound_21_a_node_of_another_protocol_is_refused_with_a_sentence",
        "core_rs/engine/src/scheduler/tests/placing.rs::a_function_pickled_by_value_goes_to_its_python_only",
    ],
    "22 local code is missing, stale, or loaded where it should not": [
        HERE + "test_wound_22_nobody_but_the_executor_unpickles",
        "tests/system/test_cluster.py::test_runs_tasks_of_a_module_that_only_we_can_import",
        "tests/unit/test_client_functions.py::test_rebound_helper_and_its_globals_count",
        "tests/system/test_bad_input.py::test_argument_that_cannot_be_unpickled",
        "tests/system/test_serializer.py::test_one_that_the_worker_cannot_import",
        Later("bundles by content hash come with the drivers, which have machines without the code"),
    ],
    "23 running tasks cannot be cancelled, exit in a task hangs the client": [
        "tests/system/test_client_end_to_end.py::test_cancel_of_a_running_task",
        FAULTS + "test_executor_deaths.py::test_code_that_does_not_return_to_the_interpreter_is_cancelled_all_the_same",
        "tests/system/test_bad_input.py::test_task_that_calls_sys_exit",
        "tests/system/test_bad_input.py::test_task_whose_process_ends",
    ],
    "24 nested tasks deadlock or breed hundreds of workers": [
        "tests/system/test_nested.py::test_fib_of_12_ends_with_one_slot",
        "tests/system/test_nested.py::test_a_thousand_roots_have_no_more_executors_than_slots_and_waiting_ones",
    ],
    "25 insecure by default": [
        "tests/system/test_transport.py::test_server_without_its_handler_lets_nobody_in",
        "tests/system/test_transport.py::test_peer_without_a_key_is_told_what_to_set",
        "tests/system/test_cli_commands.py::test_scheduler_that_can_make_no_key_does_not_start",
        "tests/system/test_cluster.py::test_takes_a_tcp_address_with_a_key_made_on_first_use",
    ],
    "27 no cap on what it costs": [Later("prices come with the drivers that know them")],
    "29 rate exceeded, everything is described, too many permissions, cleanup fails on what is pending": [
        FARGATE + "test_wound_29_too_many_requests_slow_a_start_down_and_nothing_more",
        FARGATE + "test_wound_29_a_start_asks_for_what_it_names_alone",
        FARGATE + "test_wound_29_cleanup_ends_tasks_that_are_pending",
        "plugins/ecs/tests/test_permissions.py::test_printed_policy_is_enough_and_nothing_of_it_is_without_need",
    ],
    "30 options that do nothing": [
        "tests/unit/test_config.py::test_options_without_meaning_are_answered_and_have_no_effect",
        "tests/unit/test_interface_rows.py::test_row",
    ],
    "30 map(f, []) raises": ["tests/unit/test_client_maps.py::test_map_of_nothing_is_empty"],
    "30 kwargs are dropped": [
        "tests/system/test_client_end_to_end.py::test_submit_map_and_starmap",
        "tests/system/test_seen_before.py::test_keyword_arguments_that_do_not_fit_are_an_error_of_the_call",
    ],
    "30 one unplaceable task holds up all": [
        "tests/system/test_seen_before.py::test_one_unplaceable_task_holds_up_nobody"
    ],
    "30 a killer task is sent out for ever": [FAULTS + "test_executor_deaths.py::test_a_deadly_element_fails_alone"],
    "30 array payloads over 4 KB cannot be read": [Later("comes with the drivers")],
    "30 jobs run on after the manager": [
        "tests/system/test_seen_before.py::test_workers_end_with_a_manager_that_is_killed",
        "tests/system/test_cli_commands.py::test_interrupted_manager_takes_its_workers_with_it",
        FARGATE + "test_tasks_end_with_their_manager",
        Later("of jobs of other infrastructures: comes with the drivers"),
    ],
    "30 get of a missing object blocks for ever": [
        "tests/system/test_executor_tasks.py::test_a_missing_object_is_said",
        "tests/unit/test_client_objects.py::test_reference_that_was_cleared_is_refused_wherever_it_is_used",
        "tests/unit/test_client_objects.py::test_missing_result_says_so",
    ],
    "30 an upload per small argument": ["tests/unit/test_client_objects.py::test_small_argument_travels_inline"],
}


def test_every_wound_is_held() -> None:
    check(ROWS)
    assert {int(row.split()[0]) for row in ROWS} == {*range(1, 26), 27, 29, 30}


def note_and_hold_the_lock(path: str, seconds: int) -> int:
    """Sleeps in C without letting another thread of this process run."""
    with open(path, "a") as file:
        file.write("started\n")
    return ctypes.PyDLL(None).sleep(seconds)


def test_wound_11_a_task_that_holds_the_interpreter_lock_is_not_declared_dead(start: Starter, tmp_path: Path) -> None:
    """For many times as long as a node may be silent."""
    start.scheduler(worker_timeout=0.5)
    start.node(slots=1, heartbeat=0.1)
    log = tmp_path / "starts"
    with Client(start.path(), timeout_seconds=PATIENCE) as client:
        assert client.submit(note_and_hold_the_lock, str(log), 3).result(PATIENCE) == 0
    assert log.read_text() == "started\n"


def test_wound_11_a_client_that_holds_the_interpreter_lock_is_not_declared_dead(start: Starter, tmp_path: Path) -> None:
    start.scheduler(client_timeout=0.5)
    start.node(slots=1)
    log = tmp_path / "starts"
    with Client(start.path(), timeout_seconds=PATIENCE, heartbeat_interval_seconds=0.1) as client:
        # Behind each other: most of them are still to come when this process is back.
        futures = client.map(note_and_hold_the_lock, [str(log)] * 5, [1] * 5)
        ctypes.PyDLL(None).sleep(3)
        assert futures.results(PATIENCE) == [0] * 5
    assert log.read_text() == "started\n" * 5


def test_wound_14_a_pending_task_says_why(start: Starter) -> None:
    start.scheduler()
    with Client(start.path(), timeout_seconds=PATIENCE) as client:
        future = client.submit_verbose(pow, (2, 8), {}, {"gpu": 2})
        assert "no worker" in client.explain(future) or "no node" in client.explain(future)
        node = start.node(slots=1, capabilities={"gpu": 1})
        wait_until_it_says(client, future, "gpu")
        start.node(slots=1, capabilities={"gpu": 2})
        assert future.result(PATIENCE) == 256
        assert client.explain(future).endswith("is done")
        assert node.alive


def test_wound_14_a_task_that_waits_for_its_turn_to_be_sent_says_so(
    start: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question passes it: that takes no credit, and the scheduler stands still until it is there."""
    scheduler = start.scheduler()
    with Client(start.path(), timeout_seconds=PATIENCE) as client, ThreadPoolExecutor(1) as thread:
        questions, is_asked = client._conversation.questions, threading.Event()
        asked = questions.asked

        def ask_and_say(number: int) -> Any:
            answer = asked(number)
            is_asked.set()
            return answer

        monkeypatch.setattr(questions, "asked", ask_and_say)
        os.kill(scheduler.pid, signal.SIGSTOP)
        try:
            futures = [client.submit_verbose(pow, (2, 8), {}, {"gpu": 2}) for _ in range(100)]
            told = thread.submit(client.explain, futures[-1])
            assert is_asked.wait(PATIENCE)
        finally:
            os.kill(scheduler.pid, signal.SIGCONT)
        assert "done" not in told.result(PATIENCE)


def wait_until_it_says(client: Client, future: Any, text: str) -> None:
    while text not in (said := client.explain(future)):
        assert not future.done(), said


def test_wound_16_a_demand_that_nobody_serves_is_told_at_once_and_logged_once(start: Starter, capfd: Any) -> None:
    start.scheduler()
    start.node(slots=1, capabilities={"gpu": 1})
    with Client(start.path(), timeout_seconds=PATIENCE) as client:
        works(client)
        told = client.explain(client.submit_verbose(abs, (-1,), {}, {"gpu": 2, "tpu": -1}))
        assert "gpu" in told or "tpu" in told
        client.map(abs, range(100), capabilities={"gpu": 2, "tpu": -1})
        said = ""
        while " wait: " not in said:
            works(client)
            said += capfd.readouterr().err
        works(client)
        client.clear()
    said += capfd.readouterr().err
    assert said.count(" wait: ") == 1, said


def resident(part: Part) -> int:
    return int(psutil.Process(part.pid).memory_info().rss)


def come_and_go(path: str, count: int) -> None:
    """Nodes and clients that are welcomed, and leave."""
    for number in range(count):
        with connect_to_path(path) as member:
            member.sendall(hello(random_number(), number % 2))
            _, _, _, _, ((kind, *_),) = receive(member)
            assert kind == 1, "it is welcome"


def test_wound_17_nothing_of_nodes_and_clients_that_left_stays_in_the_scheduler(start: Starter) -> None:
    """Nor of tasks, functions and objects that are done with."""
    scheduler = start.scheduler(worker_timeout=0.1, client_timeout=0.1)
    start.node(slots=2, heartbeat=0.05)
    path = start.path().removeprefix("ipc://")

    def use(rounds: int) -> None:
        for number in range(rounds):
            come_and_go(path, 500)
            with Client(start.path(), timeout_seconds=PATIENCE) as client:
                functions = [lambda x, n=n: x + n for n in range(50)]
                futures = [client.submit(function, number) for function in functions]
                assert [future.result(PATIENCE) for future in futures] == [number + n for n in range(50)]
                assert sum(client.map(abs, range(20_000)).results(PATIENCE)) == 199_990_000
                reference = client.send_object(bytes(200_000))
                assert client.submit(len, reference).result(PATIENCE) == 200_000

    use(3)
    before = resident(scheduler)
    use(6)
    grown = resident(scheduler) - before
    assert grown < 4 * MIB, f"{grown / MIB:.1f} MiB more after 3,000 members, 300 functions and 120,000 tasks"


def highest_memory(part: Part) -> int:
    """Bytes that it had resident at most."""
    lines = Path(f"/proc/{part.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def test_wound_19_large_arguments_and_results_do_not_go_through_the_scheduler(start: Starter) -> None:
    start.part("scaler.storage", {"address": start.path("objects")})
    scheduler = start.scheduler(object_storage=start.path("objects"))
    start.node(slots=1)
    with Client(start.path(), timeout_seconds=PATIENCE) as client:
        works(client)
        before = highest_memory(scheduler)
        large = os.urandom(48 * MIB)
        assert client.submit(bytes, large).result(PATIENCE) == large
        assert client.map(len, [large[:MIB] + bytes([i]) for i in range(50)]).results(PATIENCE) == [MIB + 1] * 50
        assert highest_memory(scheduler) - before < 16 * MIB


def test_wound_19_an_argument_may_be_larger_than_what_may_wait_for_a_reader(client: Client) -> None:
    assert client.submit(len, bytes(200 * MIB)).result(PATIENCE) == 200 * MIB


def test_wound_21_a_node_of_another_protocol_is_refused_with_a_sentence(start: Starter) -> None:
    start.scheduler()
    start.node(slots=1)
    with Client(start.path(), timeout_seconds=PATIENCE) as client:
        for role in (0, 1, 2):
            with connect_to_path(start.path().removeprefix("ipc://")) as member:
                member.sendall(hello(random_number(), role, protocol=_core.PROTOCOL + 1))
                _, _, _, _, ((_, _, text),) = receive(member)
                assert f"you speak protocol {_core.PROTOCOL + 1}" in text
                assert "install the same version" in text
                assert receive(member) == []
        works(client)


class Betrayer:
    """Notes who unpickles it."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return note_process, (self.path,)


def note_process(path: str) -> str:
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\n")
    return path


def pass_on(path: str) -> tuple[int, Betrayer]:
    return os.getpid(), Betrayer(path)


def test_wound_22_nobody_but_the_executor_unpickles(start: Starter, tmp_path: Path) -> None:
    """Arguments, small and large, of tasks and maps; and results are unpickled here alone, once asked for."""
    start.part("scaler.storage", {"address": start.path("objects")})
    start.scheduler(object_storage=start.path("objects"))
    start.node(slots=1)
    log = tmp_path / "log"
    path = str(log)
    with Client(start.path(), timeout_seconds=PATIENCE) as client:
        executor = client.submit(os.getpid).result(PATIENCE)
        client.submit(repr, Betrayer(path)).result(PATIENCE)
        client.submit(len, [Betrayer(path), bytes(200_000)]).result(PATIENCE)
        client.map(repr, [Betrayer(path)] * 3).results(PATIENCE)
        client.submit(repr, client.send_object(Betrayer(path))).result(PATIENCE)
        assert set(log.read_text().split()) == {str(executor)}
        log.unlink()
        future = client.submit(pass_on, path)
        while not future.done():
            time.sleep(0)
        assert not log.exists()
        assert future.result(PATIENCE) == (executor, path)
        assert log.read_text().split() == [str(os.getpid())]
