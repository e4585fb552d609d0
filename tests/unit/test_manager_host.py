"""The host of a driver against a scripted core: hooks are called as it says and answered as they end."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from scaler.managers.api import (
    ConfigurationError,
    Context,
    CredentialsExpired,
    Launch,
    Owner,
    Resource,
    Scope,
    TemporaryError,
    Throttled,
    Unit,
    UnitState,
    WorkerGroup,
)
from scaler.managers.calling import OpenContexts
from scaler.managers.host import HURRIED_SECONDS, Manager
from scaler.managers.ledger import LedgerError
from scaler.part import StartAnew
from scaler.transport.errors import ThreeLineError

PATIENCE = 20.0

pytestmark = pytest.mark.timeout(60)


class Core:
    """Stands in for the loop: the test asks, and reads what is answered."""

    def __init__(self) -> None:
        self.requests: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self.answers: queue.Queue[tuple[Any, ...]] = queue.Queue()

    def ask(self, *request: Any) -> None:
        self.requests.put(request)

    def answer(self) -> tuple[Any, ...]:
        return self.answers.get(timeout=PATIENCE)

    def manager_units(self, call: int, units: Sequence[tuple[str, str, str, str]]) -> None:
        self.answers.put(("units", call, list(units)))

    def manager_done(self, call: int) -> None:
        self.answers.put(("done", call))

    def manager_failed(self, call: int, kind: str, text: str, retry_after: float) -> None:
        self.answers.put(("failed", call, kind, text, retry_after))

    def manager_recorded(self, number: int) -> None:
        self.answers.put(("recorded", number))

    def manager_leave(self) -> None:
        self.answers.put(("leave",))

    def stop(self) -> None:
        self.requests.put(None)

    def serve(self, handlers: dict[str, Callable[..., None]], every: float | None, tidy: Callable[[], object]) -> None:
        while (request := self.requests.get()) is not None:
            if request == ("tidy",):
                tidy()
            else:
                handlers[request[0]](*request[1:])


class Signals:
    """Stands in for `scaler.part.Ending`: the test is the signal."""

    def watch(
        self, on_stop: Callable[[], None], on_drain: Callable[[], None], seconds: float, on_leave: Callable[[], None]
    ) -> None:
        self.stop, self.drain, self.seconds, self.leave = on_stop, on_drain, seconds, on_leave


class Hook:
    """A driver whose hooks do what the test says, and notes what they are called with."""

    def __init__(self) -> None:
        self.called: list[tuple[Any, ...]] = []
        self.results: dict[str, Any] = {}
        self.opened = 0

    def _call(self, name: str, *arguments: Any) -> Any:
        self.called.append((name, *arguments))
        result = self.results.get(name)
        if isinstance(result, BaseException):
            raise result
        return result() if callable(result) else result

    def open(self, context: Context) -> None:
        self.opened += 1
        context.state = self.opened
        self._call("open")

    def start(self, context: Context, requests: Sequence[WorkerGroup]) -> Any:
        return self._call("start", context.state, [group.id for group in requests])

    def heartbeat(self, context: Context) -> Any:
        return self._call("heartbeat", context.state)

    def shutdown(self, context: Context, ids: Sequence[str]) -> Any:
        return self._call("shutdown", context.state, ids, context.shutdown_seconds)

    def cleanup(self, context: Context, scope: Scope, dry_run: bool) -> Any:
        return self._call("cleanup", context.state, scope, dry_run)


class Disk:
    """A ledger; `full` makes it refuse."""

    def __init__(self) -> None:
        self.full = False
        self.written: list[Any] = []

    def record(self, entries: Any) -> None:
        if self.full:
            raise LedgerError("The manager's ledger cannot be written: disk full.", "there", "make room")
        self.written.extend(entries)


class Rig:
    def __init__(self, fixed: bool = False) -> None:
        self.core, self.signals, self.hook, self.disk = Core(), Signals(), Hook(), Disk()
        self.dialled: list[int] = []
        self.ready: queue.Queue[None] = queue.Queue()
        self.result: queue.Queue[int | BaseException] = queue.Queue()
        owner = Owner("c" * 16, "m")
        log = logging.getLogger("test")
        contexts = OpenContexts(
            lambda: Context(owner, None, log, shutdown_seconds=9.0), lambda context: self.hook.open(context)
        )
        self.manager = Manager(
            loop=self.core,
            link=self,
            ledger=self.disk,
            hook=self.hook,
            contexts=contexts,
            make_request=lambda wanted: WorkerGroup(wanted[0], wanted[1], dict(wanted[2]), Launch({})),
            on_ready=lambda: self.ready.put(None),
            fixed=fixed,
            cleanup_command="scaler_worker_manager x cleanup",
            scheduler="tcp://s:1",
            name="m",
        )
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def connect(self, attempt: int) -> None:
        self.dialled.append(attempt)

    def _run(self) -> None:
        try:
            self.result.put(self.manager.run(self.signals, self.core, 12.0))  # type: ignore[arg-type]
        except BaseException as error:
            self.result.put(error)

    def heartbeat(self, *units: Unit, call: int = 1) -> tuple[Any, ...]:
        self.hook.results["heartbeat"] = list(units)
        self.core.ask("heartbeat", call)
        return self.core.answer()

    def end(self) -> int | BaseException:
        self.core.stop()
        return self.result.get(timeout=PATIENCE)


@pytest.fixture
def make() -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []

    def make(**given: Any) -> Rig:
        made.append(Rig(**given))
        return made[-1]

    yield make
    for each in made:
        each.core.stop()
        each.thread.join(PATIENCE)
        assert not each.thread.is_alive()


@pytest.fixture
def rig(make: Callable[..., Rig]) -> Rig:
    return make()


def unit(name: str, state: UnitState = UnitState.RUNNING, detail: str = "") -> Unit:
    return Unit(name, f"i-{name}", state, detail)


def test_groups_are_started_and_their_units_are_the_answer(rig: Rig) -> None:
    rig.hook.results["start"] = [unit("a"), unit("b", UnitState.FAILED, "no room")]
    rig.core.ask("start", 7, [("a", 2, [("gpu", 1)]), ("b", 1, [])])
    rows = [("a", "i-a", "running", ""), ("b", "i-b", "failed", "no room")]
    assert rig.core.answer() == ("units", 7, rows)
    assert rig.hook.called[-1] == ("start", 1, ["a", "b"])


def test_units_that_nobody_asked_for_are_no_answer_of_a_start(rig: Rig) -> None:
    rig.hook.results["start"] = [unit("a"), unit("other")]
    rig.core.ask("start", 7, [("a", 2, [])])
    assert rig.core.answer() == ("units", 7, [("a", "i-a", "running", "")])


def test_a_heartbeat_tells_all_units(rig: Rig) -> None:
    assert rig.heartbeat(unit("a"), unit("b", UnitState.GONE)) == (
        *("units", 1),
        [("a", "i-a", "running", ""), ("b", "i-b", "gone", "")],
    )


def test_units_are_ended_and_what_the_driver_made_is_deleted(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "scaler")
    rig.core.ask("shutdown", 3, ["a", "b"])
    assert rig.core.answer() == ("done", 3)
    rig.hook.results["cleanup"] = [Resource("key", "k-1", "deleted")]
    rig.core.ask("cleanup", 4)
    assert rig.core.answer() == ("done", 4)
    assert rig.hook.called[-2:] == [("shutdown", 1, ["a", "b"], 9.0), ("cleanup", 1, Scope.RUN, False)]
    assert "key k-1: deleted" in caplog.text


@pytest.mark.parametrize(
    ("error", "kind", "text", "retry_after"),
    [
        (Throttled("slow down", 2.5), "throttled", "slow down", 2.5),
        (Throttled("slow down"), "throttled", "slow down", 0.0),
        (Throttled("slow down", -1.0), "throttled", "slow down", 0.0),
        (Throttled("slow down", float("inf")), "throttled", "slow down", 86_400.0),
        (Throttled("slow down", float("nan")), "throttled", "slow down", 0.0),
        (CredentialsExpired("who are you"), "credentials", "who are you", 0.0),
        (TemporaryError("no\n capacity"), "temporary", "no capacity", 0.0),
        (ConfigurationError("No subnet.", "", "name one"), "permanent", "No subnet. (name one)", 0.0),
        (RuntimeError("odd"), "unknown", "{hook}: RuntimeError: odd", 0.0),
        (SystemExit(3), "unknown", "{hook}: SystemExit: 3", 0.0),
    ],
)
@pytest.mark.parametrize("hook", ["start", "heartbeat", "shutdown", "cleanup"])
def test_what_a_hook_raises_is_the_answer(
    hook: str, error: BaseException, kind: str, text: str, retry_after: float, rig: Rig
) -> None:
    rig.hook.results[hook] = error
    rig.core.ask(hook, 5, *{"start": [[("a", 1, [])]], "shutdown": [["a"]]}.get(hook, []))
    assert rig.core.answer() == ("failed", 5, kind, text.format(hook=hook), retry_after)


@pytest.mark.parametrize(
    "result", [3, "a", ["a"], [None], Unit, [Unit("a", "", "running")], [Unit(3, "", UnitState.GONE)]]
)  # type: ignore[arg-type]
@pytest.mark.parametrize("hook", ["start", "heartbeat"])
def test_what_is_no_list_of_units_tells_nothing(hook: str, result: Any, rig: Rig) -> None:
    rig.hook.results[hook] = lambda: result
    rig.core.ask(hook, 5, *{"start": [[("a", 1, [])]]}.get(hook, []))
    _, call, kind, text, _ = rig.core.answer()
    assert (call, kind) == (5, "unknown")
    assert "no list of Unit" in text


def test_calls_run_at_once_and_a_slow_one_holds_nobody_up(rig: Rig) -> None:
    go_on = threading.Event()

    def slow() -> list[Unit]:
        go_on.wait(PATIENCE)
        return [unit("a")]

    rig.hook.results["start"] = slow
    rig.core.ask("start", 1, [("a", 1, [])])
    assert rig.heartbeat(call=2) == ("units", 2, [])
    go_on.set()
    assert rig.core.answer() == ("units", 1, [("a", "i-a", "running", "")])


def test_expired_credentials_open_a_new_context_once_for_all_calls_that_meet_them(rig: Rig) -> None:
    together = threading.Barrier(3)

    def expired() -> None:
        together.wait(PATIENCE)
        raise CredentialsExpired("expired")

    rig.hook.results["start"] = expired
    for call in range(3):
        rig.core.ask("start", call, [(f"g{call}", 1, [])])
    assert {rig.core.answer()[2] for _ in range(3)} == {"credentials"}
    assert rig.hook.opened == 2
    rig.hook.results["start"] = []
    rig.core.ask("start", 9, [("a", 1, [])])
    assert rig.core.answer() == ("units", 9, [])
    assert rig.hook.called[-1] == ("start", 2, ["a"])


def test_a_context_that_cannot_be_opened_anew_leaves_the_old_one(rig: Rig) -> None:
    rig.hook.results["heartbeat"] = CredentialsExpired("expired")
    rig.hook.results["open"] = RuntimeError("no network")
    rig.core.ask("heartbeat", 1)
    assert rig.core.answer() == ("failed", 1, "credentials", "expired; and no new ones: no network", 0.0)
    assert rig.heartbeat(call=2) == ("units", 2, [])
    assert rig.hook.called[-1] == ("heartbeat", 1)


def test_what_is_recorded_is_written_first(rig: Rig) -> None:
    entry = ("a", 1, [], "intended", "")
    rig.core.ask("record", 1, [entry])
    assert rig.core.answer() == ("recorded", 1)
    assert rig.disk.written == [entry]


def test_a_full_disk_holds_records_back_in_order_until_there_is_room(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.disk.full = True
    for number in (1, 2):
        rig.core.ask("record", number, [("a", number, [], "intended", "")])
    assert rig.heartbeat() == ("units", 1, []), "nothing is said to be recorded"
    rig.core.ask("tidy")
    assert rig.heartbeat(call=2) == ("units", 2, [])
    rig.disk.full = False
    rig.core.ask("tidy")
    assert [rig.core.answer(), rig.core.answer()] == [("recorded", 1), ("recorded", 2)]
    assert [slots for _, slots, *_ in rig.disk.written] == [1, 2]
    assert "disk full" in caplog.text


def test_it_dials_when_it_is_told_to_and_says_once_that_it_serves(rig: Rig) -> None:
    rig.core.ask("connect", "scheduler", 0)
    rig.core.ask("connect", "scheduler", 1)
    for _ in range(2):
        rig.core.ask("welcome", "scheduler", "c", "tcp://o:1")
    rig.heartbeat()
    assert rig.dialled == [0, 1]
    assert rig.ready.qsize() == 1


def test_a_fixed_manager_says_that_it_serves_when_its_workers_are_up(make: Callable[..., Rig]) -> None:
    rig = make(fixed=True)
    rig.core.ask("welcome", "scheduler", "c", "")
    rig.heartbeat(unit("a", UnitState.PENDING))
    assert rig.ready.empty()
    rig.heartbeat(unit("a"))
    rig.heartbeat(unit("a"))
    assert rig.ready.qsize() == 1


def test_workers_that_fail_are_told_once_with_the_reason(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        rig.heartbeat(unit("a", UnitState.FAILED, "out of memory"), unit("b"))
    assert caplog.text.count("the workers of a have ended: out of memory") == 1


def test_drain_gives_running_tasks_the_time_that_was_asked_for(rig: Rig) -> None:
    rig.heartbeat()
    rig.signals.drain()
    assert rig.core.answer() == ("leave",)
    rig.core.ask("shutdown", 1, ["a"])
    assert rig.core.answer() == ("done", 1)
    assert rig.hook.called[-1] == ("shutdown", 1, ["a"], 9.0)
    assert rig.signals.seconds == 12.0


def test_interrupt_gives_running_tasks_little_time_also_after_a_drain(rig: Rig) -> None:
    rig.heartbeat()
    rig.signals.drain()
    rig.signals.stop()
    assert rig.core.answer() == ("leave",)
    rig.core.ask("shutdown", 1, ["a"])
    assert rig.core.answer() == ("done", 1), "it is told to leave once"
    assert rig.hook.called[-1] == ("shutdown", 1, ["a"], HURRIED_SECONDS)


def test_the_end_says_what_it_waits_for(
    rig: Rig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "scaler")
    monkeypatch.setattr("scaler.managers.host._TOLD_EVERY", -1.0)
    rig.heartbeat(*(unit(f"g{number}") for number in range(8)), unit("dead", UnitState.GONE))
    rig.signals.drain()
    rig.core.answer()
    rig.core.ask("tidy")
    rig.heartbeat()
    assert "waiting for g0, g1, g2, g3, g4 and 3 more to end; Ctrl-C leaves at once" in caplog.text


def test_an_interrupt_that_leaves_at_once_prints_the_command_that_cleans_up(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.heartbeat(unit("a"))
    rig.signals.leave()
    assert capsys.readouterr().out == "a may be left; to end what is: scaler_worker_manager x cleanup\n"


def test_the_core_says_that_it_is_over(make: Callable[..., Rig]) -> None:
    for failed, status in ((False, 0), (True, 1)):
        rig = make()
        rig.core.ask("exit", failed, "no scheduler for 300 s")
        assert rig.result.get(timeout=PATIENCE) == status


def test_another_manager_of_its_name_is_a_mistake_with_a_mend(rig: Rig) -> None:
    rig.core.ask("refused", "scheduler", 3, "duplicate")
    error = rig.result.get(timeout=PATIENCE)
    assert isinstance(error, ConfigurationError)
    assert "Another worker manager is called 'm'" in error.what
    assert "--worker-manager-id" in error.mend


def test_a_scheduler_that_does_not_want_it_ends_it(rig: Rig) -> None:
    rig.core.ask("refused", "scheduler", 1, "the ticket has expired")
    error = rig.result.get(timeout=PATIENCE)
    assert isinstance(error, ThreeLineError)
    assert not isinstance(error, ConfigurationError)
    assert "the ticket has expired" in str(error)


def test_a_cluster_that_ends_ends_it_in_peace(rig: Rig) -> None:
    rig.core.ask("refused", "scheduler", 5, "the scheduler ends")
    rig.core.ask("exit", False, "the scheduler ends")
    assert rig.result.get(timeout=PATIENCE) == 0


def test_a_hook_that_hangs_starts_the_process_anew(rig: Rig) -> None:
    rig.core.ask("restart", "start hangs")
    error = rig.result.get(timeout=PATIENCE)
    assert isinstance(error, StartAnew)
    assert str(error) == "start hangs"
