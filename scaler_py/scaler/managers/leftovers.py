"""What a manager has left: its units are ended, and what its driver made besides is deleted. For after a crash."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from scaler.config.models import WorkerManagerOptions
from scaler.managers.api import (
    Context,
    CredentialsExpired,
    OptionModel,
    Resource,
    Scope,
    TemporaryError,
    Throttled,
    Unit,
    UnitState,
    batches,
)
from scaler.managers.asking import asked, failed
from scaler.managers.calling import OpenContexts, resources, units_of
from scaler.managers.ledger import FORGOTTEN
from scaler.managers.loading import Driver
from scaler.managers.owning import Ownership
from scaler.transport.errors import ConfigurationError
from scaler.transport.keys import find_key

log = logging.getLogger("scaler.managers")

Result = TypeVar("Result")

# What a hook may raise that passes.
_PASSES = (Throttled, CredentialsExpired, TemporaryError)
_LIVE = (UnitState.PENDING, UnitState.RUNNING)
_BATCH = 10
# Calls of one hook that fail in a way that passes, and the pauses between them, in seconds.
_TRIES = 6
_FIRST_PAUSE = 1.0
# Between looks at units that are just ending, and how long that may take.
_LOOK_SECONDS = 0.5
_PATIENCE = 120.0


class Leftovers:
    """show: prints a line."""

    def __init__(
        self,
        driver: Driver,
        options: WorkerManagerOptions,
        own: OptionModel,
        show: Callable[[str], None] = print,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """ConfigurationError: the manager runs. What the driver's `open` raises."""
        self._hook = driver.hook
        self._show = show
        self._sleep = sleep
        # Locked as by the manager itself: units of one that runs are its own business.
        self._ownership = Ownership(driver, options, own)
        try:
            self._contexts = asked("open", lambda: OpenContexts(self._ownership.make_context, self._open))
        except BaseException:
            self._ownership.close()
            raise

    def close(self) -> None:
        self._ownership.close()

    def end(self, scope: Scope, dry_run: bool) -> int:
        """Exit code: 0 when nothing is left, or nothing was to be changed."""
        left = 0
        if scope is not Scope.RUN:
            left = self._end_units(dry_run)
        found = self._call("cleanup", lambda c: resources(self._hook.cleanup(context=c, scope=scope, dry_run=dry_run)))
        for each in found:
            self._say(each)
        if not dry_run and not left and scope is not Scope.RUN:
            ledger = self._ownership.ledger
            ledger.record([entry._replace(state=FORGOTTEN) for entry in ledger.entries()])
        if left:
            self._show(f"{left} units still run: try again, or look with the infrastructure's own tools")
        return 1 if left else 0

    def _open(self, context: Context) -> None:
        self._hook.open(context=context)

    def _end_units(self, dry_run: bool) -> int:
        """How many still run."""
        units = [unit for unit in self._units() if unit.state in _LIVE]
        if dry_run:
            for unit in units:
                self._say(Resource("unit", _named(unit), "would be ended"))
            return 0
        # Ended ones too: they may be forgotten now.
        for batch in batches([unit.id for unit in self._units()], _BATCH):
            self._shut_down(batch)
        still = self._still_there([unit.id for unit in units])
        for unit in units:
            self._say(Resource("unit", _named(unit), "still there" if unit.id in still else "ended"))
        return len(still)

    def _shut_down(self, ids: Sequence[str]) -> None:
        self._call("shutdown", lambda context: self._hook.shutdown(context=context, ids=ids))

    def _still_there(self, ids: Sequence[str]) -> set[str]:
        deadline = time.monotonic() + _PATIENCE
        while still := {unit.id for unit in self._units() if unit.state in _LIVE and unit.id in set(ids)}:
            if time.monotonic() > deadline:
                break
            self._sleep(_LOOK_SECONDS)
        return still

    def _units(self) -> Sequence[Unit]:
        return self._call("heartbeat", lambda c: units_of("heartbeat", self._hook.heartbeat(context=c)))

    def _call(self, name: str, call: Callable[[Context], Result]) -> Result:
        """With patience where a hook asks for it. ThreeLineError: it has failed for good."""
        pause = _FIRST_PAUSE
        for tried in range(1, _TRIES + 1):
            context = self._contexts.current
            try:
                return asked(name, partial(call, context), _PASSES)
            except _PASSES as error:
                if tried == _TRIES:
                    raise failed(name, error) from error
                if isinstance(error, CredentialsExpired):
                    asked("open", partial(self._contexts.renew, context))
                wait = max(pause, getattr(error, "retry_after", None) or 0.0)
                log.warning("%s: %s; again in %g s", name, error, wait)
                self._sleep(wait)
                pause *= 2
        raise AssertionError("the last try returns or raises")

    def _say(self, each: Resource) -> None:
        self._show(f"{each.kind} {each.id}: {each.outcome}")


def check_choice(flag: str, value: str, choices: Sequence[str]) -> str:
    """ConfigurationError: it is none of them."""
    if value not in choices:
        raise ConfigurationError(f"{value!r} will not do.", flag, f"one of {', '.join(choices)}")
    return value


def check_owner(options: WorkerManagerOptions, named: bool) -> None:
    """ConfigurationError: nothing says whose units are meant. named: a scheduler's address was given."""
    if not named and find_key(None, options.key_file) is None:
        raise ConfigurationError(
            "This machine has no key of the cluster, which says whose units are meant.",
            "",
            "give it by --key-file or SCALER_KEY; of a cluster without keys: its scheduler's address, and --insecure",
        )


def _named(unit: Unit) -> str:
    return f"{unit.id} ({unit.infrastructure_id})" if unit.infrastructure_id else unit.id
