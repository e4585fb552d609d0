"""The thread beside those who wait: what it does by itself, for both kinds of links."""

from __future__ import annotations

import threading
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from scaler.client import attendant
from scaler.client.attendant import Attendant
from scaler.client.turns import Turns
from scaler.errors import KeyRefusedError, ScalerError

PATIENCE = 20.0


class Source:
    """Nothing comes until somebody says so."""

    def __init__(self) -> None:
        self.came = threading.Event()

    def wait(self, timeout: float | None) -> bool:
        found = self.came.wait(timeout)
        self.came.clear()
        return found

    def wake(self) -> None:
        self.came.set()


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Endpoint:
    """What each attempt to connect comes to: a descriptor, or an error."""

    def __init__(self) -> None:
        self.attempts: deque[int | Exception] = deque()

    def dial(self, timeout: float) -> Any:
        found = self.attempts.popleft() if self.attempts else ConnectionRefusedError()
        if isinstance(found, Exception):
            raise found
        return SimpleNamespace(fd=found)


class Probe(Attendant):
    """Tells a test what it was asked to do."""

    def __init__(self) -> None:
        self.source = Source()
        self.dialed = Endpoint()
        self.done: deque[Any] = deque()
        self.over = self.counts_on_it = False
        self.waits = True
        self.notices: deque[str] = deque()
        super().__init__(Turns(self.source, self._read, 0.01), self.dialed, 60.0, "probe")  # type: ignore[arg-type]
        self._happened = threading.Condition(self._turns.lock)

    def _did(self, what: Any) -> None:
        self.done.append(what)
        self._happened.notify_all()

    def expect(self, what: Any) -> None:
        with self._turns.lock:
            assert self._happened.wait_for(lambda: what in self.done, PATIENCE), self.done

    def _read(self) -> None:
        self._did("read")

    def is_over(self) -> bool:
        return self.over

    def has_to_tell(self) -> bool:
        return bool(self.notices)

    def tell(self) -> None:
        notice = self.notices.popleft()
        if notice == "bad":
            raise RuntimeError(notice)
        with self._turns.lock:
            self._did(notice)

    def must_read(self) -> bool:
        return self.counts_on_it and not self.is_attended()

    def is_waited_for(self) -> bool:
        return self.waits

    def give_up(self) -> None:
        self._did("gave up")

    def attach(self, fd: int) -> None:
        self._did(fd)

    def refused(self, error: ScalerError) -> None:
        self._did(error)
        self.over = True

    def last(self) -> None:
        self._did("over")

    def failed(self, error: BaseException) -> bool:
        self._did(error)
        return False


@pytest.fixture
def probe():
    probe = Probe()
    probe.start()
    yield probe
    with probe._turns.lock:
        probe.over = True
        probe._wanted.notify()
    probe.join()


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(attendant, "time", clock)
    return clock


def test_it_reads_when_somebody_counts_on_what_comes(probe):
    with probe._turns.lock:
        probe.counts_on_it = True
        probe.call()
    probe.source.wake()
    probe.expect("read")


def test_what_is_to_be_told_is_told_without_the_lock(probe):
    with probe._turns.lock:
        probe.notices += ["one", "two"]
        probe.call()
    probe.expect("two")
    assert probe.done.index("one") < probe.done.index("two")


def test_a_lost_peer_is_looked_for_until_it_is_there(probe):
    with probe._turns.lock:
        probe.dialed.attempts += [ConnectionRefusedError(), ConnectionRefusedError(), 77]
        probe.lost()
    probe.expect(77)
    with probe._turns.lock:
        assert not probe._turns.barred


@pytest.mark.parametrize("error", [KeyRefusedError("a wrong key"), ScalerError("no key")])
def test_who_is_not_wanted_hears_it_at_once(probe, error):
    with probe._turns.lock:
        probe.dialed.attempts.append(error)
        probe.lost()
    probe.expect(error)
    probe.expect("over")


def test_it_gives_up_when_the_peer_is_away_for_too_long(clock):
    probe = Probe()
    with probe._turns.lock:
        probe.lost()
        clock.now += 59
        assert not probe._is_overdue()
        clock.now += 2
    probe.start()
    probe.expect("gave up")
    with probe._turns.lock:
        probe.over = True
        probe._wanted.notify()
    probe.join()


def test_time_for_which_nobody_waited_does_not_count(clock):
    probe = Probe()
    probe.waits = False
    probe.lost()
    clock.now += 1000
    probe.start()
    with probe._turns.lock:
        probe.notices.append("once around")
        probe._wanted.notify()
    probe.expect("once around")
    with probe._turns.lock:
        probe.waits = True
        assert not probe._is_overdue()
        probe.dialed.attempts.append(5)
    probe.expect(5)
    assert "gave up" not in probe.done
    with probe._turns.lock:
        probe.over = True
        probe._wanted.notify()
    probe.join()


def test_what_kills_the_thread_is_said(probe):
    with probe._turns.lock:
        probe.notices.append("bad")
        probe.call()
    probe._thread.join(PATIENCE)
    assert [str(error) for error in probe.done if isinstance(error, RuntimeError)] == ["bad"]
