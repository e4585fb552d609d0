"""Calls that are made again by themselves."""

import pytest
from scaler.managers.api import TemporaryError, Throttled
from scaler_plugin_ecs.errors import Refused, UnknownOutcome
from scaler_plugin_ecs.patience import patiently


class Asking:
    """Fails so, and then has an answer."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def test_what_passes_is_asked_again_later_each_time() -> None:
    pauses: list[float] = []
    asking = Asking(Throttled("slow"), TemporaryError("later"), UnknownOutcome("lost"), Throttled("slow", 30.0))
    assert patiently(asking, pauses.append) == "answer"
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30.0


def test_what_does_not_pass_is_raised_at_once() -> None:
    asking = Asking(Refused("ecs:StopTask", "ClientException", "no"))
    with pytest.raises(Refused):
        patiently(asking, lambda _: None)
    assert asking.calls == 1


def test_patience_has_an_end() -> None:
    asking = Asking(*[Throttled("slow") for _ in range(100)])
    with pytest.raises(Throttled):
        patiently(asking, lambda _: None)
    assert 1 < asking.calls < 20


def test_call_that_met_nobody_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 12.0])
    monkeypatch.setattr("scaler_plugin_ecs.patience.time.monotonic", lambda: next(times))
    asking = Asking(TemporaryError("no answer"))
    with pytest.raises(TemporaryError):
        patiently(asking, lambda _: None)
    assert asking.calls == 1
