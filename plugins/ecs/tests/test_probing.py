"""What is not seen everywhere yet is asked for by one call, not by all that want it."""

from __future__ import annotations

import sys
import threading

import pytest
from scaler.managers.api import TemporaryError
from scaler_plugin_ecs.errors import UnknownOutcome
from scaler_plugin_ecs.probing import Probe


class Role:
    """Seen from the third call on."""

    def __init__(self, probe: Probe) -> None:
        self.calls = 0
        self._probe = probe

    def __call__(self) -> str:
        self.calls += 1
        if self.calls < 3:
            self._probe.too_early("not seen yet")
            raise TemporaryError("not seen yet")
        return "task"


def asked(probe: Probe, role: Role) -> str:
    try:
        return probe.ask("definition:1", role)
    except TemporaryError as error:
        return str(error)


def test_twenty_that_come_too_early_are_one_call() -> None:
    now = 0.0
    probe = Probe(clock=lambda: now)
    role = Role(probe)
    assert [asked(probe, role) for _ in range(20)] == ["not seen yet"] * 20
    assert role.calls == 1
    now = 0.25
    assert [asked(probe, role) for _ in range(20)] == ["not seen yet"] * 20
    assert role.calls == 2
    now = 0.5
    assert asked(probe, role) == "not seen yet"
    assert role.calls == 2, "the pause grows"
    now = 0.75
    assert [asked(probe, role) for _ in range(20)] == ["task"] * 20


def test_another_definition_is_tried_anew() -> None:
    probe = Probe(clock=lambda: 0.0)
    assert probe.ask("definition:1", lambda: "task") == "task"
    assert probe.ask("definition:2", lambda: "task") == "task"


def test_other_errors_keep_nobody_back() -> None:
    probe = Probe(clock=lambda: 0.0)

    def refused() -> str:
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):  # noqa: PT011
            probe.ask("definition:1", refused)
    assert probe.ask("definition:1", lambda: "task") == "task"


def test_those_who_waited_for_a_call_without_an_answer_do_not_wait_for_their_own() -> None:
    probe = Probe(clock=lambda: 0.0)
    began, go_on = threading.Event(), threading.Event()
    calls: list[str] = []

    def silent(name: str) -> str:
        calls.append(name)
        began.set()
        go_on.wait()
        raise UnknownOutcome("no answer", late=True)

    errors: list[Exception] = []

    def ask(name: str) -> None:
        try:
            probe.ask("definition:1", lambda: silent(name))
        except Exception as error:
            errors.append(error)

    first = threading.Thread(target=ask, args=("first",))
    first.start()
    began.wait()
    others = [threading.Thread(target=ask, args=(f"other {each}",)) for each in range(3)]
    for each in others:
        each.start()
    # They wait at the gate, and nowhere else.
    while any(each.is_alive() for each in others) and sum(_waits(each) for each in others) < len(others):
        pass
    go_on.set()
    for each in (first, *others):
        each.join()
    assert calls == ["first"]
    assert sorted(type(each).__name__ for each in errors) == ["TemporaryError"] * 3 + ["UnknownOutcome"]


def _waits(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name == "ask" and frame.f_code.co_filename.endswith("probing.py")
