"""Calls of a driver's hooks: each in a thread of its own, its outcome as the core takes it.

How long a call may take is the core's to know: here it is answered whenever it comes back, and never more than once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from scaler.managers.api import (
    ConfigurationError,
    Context,
    CredentialsExpired,
    Job,
    Resource,
    Scope,
    TemporaryError,
    Throttled,
    Unit,
    UnitState,
    WorkerGroup,
)

log = logging.getLogger("scaler.managers")

# Whatever an infrastructure says, in seconds.
_LONGEST_WAIT = 86_400.0

# (group, the infrastructure's name for it, state, detail)
UnitRow = tuple[str, str, str, str]


# Is told of a call that has failed: (call, kind, text, seconds to wait at least).
Failed = Callable[[int, str, str, float], None]


class Answers(Protocol):
    """What is needed of `scaler._core.Loop`."""

    def manager_units(self, call: int, units: list[UnitRow]) -> None: ...
    def manager_done(self, call: int) -> None: ...
    def manager_failed(self, call: int, kind: str, text: str, retry_after: float) -> None: ...


class OpenContexts:
    """The context that hooks are called with. A new one takes its place when credentials have expired."""

    def __init__(self, make: Callable[[], Context], opened: Callable[[Context], object]) -> None:
        """make: a context that was not opened. opened: calls the driver's `open`; what that raises is raised here."""
        self._make = make
        self._open = opened
        self._lock = threading.Lock()
        self.current = make()
        opened(self.current)

    def renew(self, old: Context) -> None:
        """Unless another call has done so meanwhile. What `open` raises: the old one stays."""
        with self._lock:
            if self.current is not old:
                return
            context = self._make()
            context.shutdown_seconds = old.shutdown_seconds
            self._open(context)
            self.current = context

    def hurry(self, seconds: float) -> None:
        """`shutdown` gives tasks no longer than that from now on, also where it waits already."""
        with self._lock:
            self.current.shutdown_seconds = min(seconds, self.current.shutdown_seconds)


class Watcher(Protocol):
    """Hears from any thread what hooks tell of units, before the core does."""

    def started(self, units: Sequence[Unit]) -> None: ...
    def seen(self, units: Sequence[Unit]) -> None:
        """All that there are."""


class Calls:
    def __init__(self, hook: Any, contexts: OpenContexts, answers: Answers, watcher: Watcher) -> None:
        self._hook = hook
        self._contexts = contexts
        self._answers = answers
        self._watcher = watcher

    def start(self, call: int, requests: Sequence[WorkerGroup | Job]) -> None:
        def start(context: Context) -> None:
            units = units_of("start", self._hook.start(context=context, requests=requests))
            asked = {each.id for each in requests}
            units = [each for each in units if each.id in asked]
            self._watcher.started(units)
            self._tell_units(call, units)

        self._begin("start", call, start)

    def heartbeat(self, call: int) -> None:
        def heartbeat(context: Context) -> None:
            units = units_of("heartbeat", self._hook.heartbeat(context=context))
            self._watcher.seen(units)
            self._tell_units(call, units)

        self._begin("heartbeat", call, heartbeat)

    def shutdown(self, call: int, groups: Sequence[str]) -> None:
        def shutdown(context: Context) -> None:
            self._hook.shutdown(context=context, ids=list(groups))
            self._answers.manager_done(call)

        self._begin("shutdown", call, shutdown)

    def cleanup(self, call: int) -> None:
        def cleanup(context: Context) -> None:
            found = self._hook.cleanup(context=context, scope=Scope.RUN, dry_run=False)
            for each in resources(found):
                log.info("%s %s: %s", each.kind, each.id, each.outcome)
            self._answers.manager_done(call)

        self._begin("cleanup", call, cleanup)

    def collect(
        self,
        call: int,
        ids: Sequence[str],
        told: Callable[[Mapping[str, bytes]], None],
        failed: Failed,
    ) -> None:
        def collect(context: Context) -> None:
            told(outcomes_of(self._hook.collect(context=context, ids=list(ids))))

        self._begin("collect", call, collect, failed)

    def _tell_units(self, call: int, units: Sequence[Unit]) -> None:
        rows = [(each.id, each.infrastructure_id, each.state.value, each.detail) for each in units]
        self._answers.manager_units(call, rows)

    def _begin(self, name: str, call: int, work: Callable[[Context], None], failed: Failed | None = None) -> None:
        arguments = (name, call, work, failed or self._answers.manager_failed)
        threading.Thread(target=self._run, args=arguments, name=f"{name} {call}", daemon=True).start()

    def _run(self, name: str, call: int, work: Callable[[Context], None], failed: Failed) -> None:
        context = self._contexts.current
        try:
            work(context)
        except BaseException as error:
            if isinstance(error, CredentialsExpired):
                error = self._renewed(context, error)
            failed(call, *failure(name, error))

    def _renewed(self, context: Context, error: CredentialsExpired) -> BaseException:
        """What is to be said of the call: it failed for its credentials, or for what keeps us from newer ones."""
        try:
            self._contexts.renew(context)
        except BaseException as obstacle:
            log.error("the credentials have expired (%s), and new ones cannot be had: %s", error, obstacle)
            return CredentialsExpired(f"{error}; and no new ones: {_text(obstacle)}")
        log.info("the credentials have expired: the driver was opened anew")
        return error


def failure(name: str, error: BaseException) -> tuple[str, str, float]:
    """(kind, text, seconds to wait at least) of what a hook has raised, as the core takes it."""
    match error:
        case Throttled():
            return "throttled", _text(error), min(max(0.0, error.retry_after or 0.0), _LONGEST_WAIT)
        case CredentialsExpired():
            return "credentials", _text(error), 0.0
        case TemporaryError():
            return "temporary", _text(error), 0.0
        case ConfigurationError():
            return "permanent", error.what + (f" ({error.mend})" if error.mend else ""), 0.0
    log.warning("the driver's %s has raised %s", name, _text(error), exc_info=error)
    return "unknown", f"{name}: {type(error).__name__}: {_text(error)}", 0.0


def resources(found: Any) -> list[Resource]:
    """What `cleanup` has returned. TypeError: something else."""
    if found is None:
        return []
    listed = found if isinstance(found, (list, tuple)) else [found]
    if not all(isinstance(each, Resource) for each in listed):
        raise TypeError(f"the driver's cleanup returns {found!r:.200}, which is no list of Resource")
    return list(listed)


def units_of(name: str, found: Any) -> list[Unit]:
    """What `start` or `heartbeat` has returned. TypeError: something else, of which nothing can be known."""
    listed: Sequence[Any] = found if isinstance(found, (list, tuple)) else [found]
    for each in listed:
        if not isinstance(each, Unit) or not isinstance(each.state, UnitState) or not isinstance(each.id, str):
            raise TypeError(f"the driver's {name} returns {found!r:.200}, which is no list of Unit")
    return list(listed)


def outcomes_of(found: Any) -> Mapping[str, bytes]:
    """What `collect` has returned. TypeError: something else."""
    if not isinstance(found, Mapping):
        raise TypeError(f"the driver's collect returns {found!r:.200}, which is no dict of outcomes")
    wrong = [each for each in found.values() if not isinstance(each, (bytes, bytearray, memoryview))]
    if wrong:
        raise TypeError(f"the driver's collect returns {wrong[0]!r:.200} for an outcome, which is no bytes")
    return {str(id): bytes(outcome) for id, outcome in found.items()}


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
