"""What is not seen everywhere yet is asked for by one call, not by all that want it."""

from __future__ import annotations

import pytest
from scaler.managers.api import TemporaryError
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
