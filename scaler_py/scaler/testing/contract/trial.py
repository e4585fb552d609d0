"""One rule being tried: contexts, requests and hook calls, and the end of all that it started."""

import dataclasses
import inspect
import io
import itertools
import logging
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from scaler.errors import MissingObjects
from scaler.managers.api import (
    Context,
    DriverInfo,
    Family,
    Offer,
    Owner,
    Resource,
    Scope,
    Unit,
    UnitState,
    WorkerGroup,
    batches,
)
from scaler.testing.contract import jobs
from scaler.testing.contract.case import DriverCase, Seen
from scaler.testing.contract.rule import Broken, expect

LIVING = {UnitState.PENDING, UnitState.RUNNING}
# How long `shutdown` may let a unit go on.
SHUTDOWN_SECONDS = 2.0


def describe(case: DriverCase) -> DriverInfo:
    info: DriverInfo = _call(case, "describe")
    return info


def _call(case: DriverCase, hook: str, **arguments: Any) -> Any:
    """As the host calls it: a hook takes those of its arguments that it names; one that is not there does nothing."""
    function = getattr(case.module, hook, None)
    if function is None:
        return None
    named = inspect.signature(function).parameters
    return function(**{name: value for name, value in arguments.items() if name in named})


class StoredObjects:
    """The cluster's object storage, as offload drivers see it."""

    def __init__(self) -> None:
        self._stored: dict[str, bytes] = {}
        self._opened: list[BinaryIO] = []

    def put(self, reference: str, data: bytes) -> None:
        self._stored[reference] = data

    def open(self, reference: str) -> BinaryIO:
        if reference not in self._stored:
            raise MissingObjects(f"there is no object {reference}")
        self._opened.append(io.BytesIO(self._stored[reference]))
        return self._opened[-1]

    @property
    def open_streams(self) -> int:
        return sum(not each.closed for each in self._opened)


class Trial:
    """Owners, groups and jobs of a trial have names of its own; `seen` shows what was not there before it."""

    def __init__(self, case: DriverCase) -> None:
        self.case = case
        self.info = describe(case)
        self.secret = f"secret-{secrets.token_hex(12)}"
        self._mark = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._contexts: list[Context] = []
        self._folder = Path(tempfile.mkdtemp(prefix="contract-"))
        self.objects = StoredObjects()
        self._before = {each.infrastructure_id for each in case.look()}

    def __enter__(self) -> "Trial":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends what the trial has started, as far as the driver can: a hook that cannot has a rule of its own."""
        for context in self._contexts:
            with suppress(Exception):
                self._end(context)
        for context in list(self._contexts):
            with suppress(Exception):
                self.cleanup(context, Scope.MANAGER)
            self.close(context)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, context: Context) -> None:
        named = {each.unit for each in self.seen() if self._owns(context, each)} - {""}
        self.shutdown(context, sorted(named | {unit.id for unit in self.heartbeat(context)}))

    def _owns(self, context: Context, seen: Seen) -> bool:
        owner = seen.owner
        return owner is not None and (owner.cluster, owner.manager) == (context.owner.cluster, context.owner.manager)

    # What the host has made before it calls a hook.

    def owner(self, manager: str = "one", cluster: str = "a", generation: int = 1) -> Owner:
        """manager, cluster: letters to tell them apart."""
        return Owner(f"{cluster * 8}{self._mark}", f"m{self._mark}-{manager}", generation)

    def context(
        self, manager: str = "one", cluster: str = "a", generation: int = 1, options: Mapping[str, Any] | None = None
    ) -> Context:
        """A new one, opened. One of the same owner knows nothing of what an earlier one had in its state."""
        context = self.unopened(self.owner(manager, cluster, generation), options)
        self._call("open", context=context)
        self._contexts.append(context)
        return context

    def unopened(self, owner: Owner, options: Mapping[str, Any] | None = None) -> Context:
        """One of which the driver knows nothing yet."""
        given = self.info.options.model_validate(dict(self.case.options if options is None else options))
        # The same in all generations: what a manager keeps there it finds again.
        folder = self._folder / owner.hash
        folder.mkdir(exist_ok=True)
        return Context(
            owner=owner,
            options=given,
            log=logging.getLogger(f"scaler.drivers.{self.info.name}"),
            shutdown_seconds=SHUTDOWN_SECONDS,
            state_directory=folder,
            objects=self.objects,
            make_token=lambda group: self.secret,
        )

    def forget(self, context: Context) -> None:
        """As a crash does: the context is never used again."""
        self._contexts.remove(context)

    def close(self, context: Context) -> None:
        """As the host does when a manager ends: it lets go of the context."""
        self._contexts.remove(context)
        context.state = None

    def id(self, name: str = "unit") -> str:
        """One that no other unit has."""
        return f"{name}-{self._mark}-{next(self._numbers)}"

    def ids(self, count: int) -> list[str]:
        return [self.id() for _ in range(count)]

    @property
    def offload(self) -> bool:
        return self.info.family is Family.OFFLOAD

    def requests(self, ids: Sequence[str], slots: int = 1, capabilities: Mapping[str, int] | None = None) -> Any:
        """Worker groups, or jobs that go on until they are ended."""
        if self.offload:
            return [jobs.lasting_job(each) for each in ids]
        return [self._group(each, slots, capabilities or {}) for each in ids]

    def _group(self, name: str, slots: int, capabilities: Mapping[str, int]) -> WorkerGroup:
        launch = self.case.launch(name, slots, capabilities)
        environment = {**launch.environment, "SCALER_CONTRACT_SECRET": self.secret}
        return WorkerGroup(name, slots, capabilities, dataclasses.replace(launch, environment=environment))

    # Hooks.

    def _call(self, hook: str, **arguments: Any) -> Any:
        return _call(self.case, hook, **arguments)

    def start(self, context: Context, ids: Sequence[str]) -> list[Unit]:
        return self.start_requests(context, self.requests(ids))

    def start_requests(self, context: Context, requests: Sequence[Any]) -> list[Unit]:
        """In the order of the requests."""
        answer = {unit.id: unit for unit in self.answer(context, requests)}
        lacking = [request.id for request in requests if request.id not in answer]
        expect(not lacking, f"start says nothing of {lacking}")
        return [answer[request.id] for request in requests]

    def answer(self, context: Context, requests: Sequence[Any]) -> list[Unit]:
        """What `start` says, as it says it."""
        units = list(self._call("start", context=context, requests=requests))
        expect(all(isinstance(unit, Unit) for unit in units), f"start gave {units!r}")
        return units

    def offer(self, context: Context) -> Offer:
        offer: Offer = self._call("offer", context=context) or Offer()
        return offer

    def start_many(self, context: Context, ids: Sequence[str]) -> None:
        """In calls of the size that the driver offers, as many at a time as it offers, as the host does."""
        offer = self.offer(context)
        with ThreadPoolExecutor(offer.calls) as pool:
            calls = [pool.submit(self.start, context, batch) for batch in batches(ids, offer.batch)]
            units = [unit for call in calls for unit in call.result()]
        failed = [unit for unit in units if unit.state not in LIVING]
        expect(not failed, f"{len(failed)} of {len(units)} did not start: {failed[:1]!r}")

    def shutdown_many(self, context: Context, ids: Sequence[str]) -> None:
        offer = self.offer(context)
        with ThreadPoolExecutor(offer.calls) as pool:
            calls = [pool.submit(self.shutdown, context, batch) for batch in batches(ids, offer.batch)]
            for call in calls:
                call.result()

    def started(self, context: Context, count: int = 1) -> list[Unit]:
        """New units, which live. Broken when they do not."""
        units = self.start(context, self.ids(count))
        for unit in units:
            expect(unit.state in LIVING, f"start({unit.id!r}) answered {unit.state!r}: {unit.detail}")
        return units

    def heartbeat(self, context: Context) -> list[Unit]:
        units = list(self._call("heartbeat", context=context))
        expect(all(isinstance(unit, Unit) for unit in units), f"heartbeat gave {units!r}")
        return units

    def living(self, context: Context) -> dict[str, Unit]:
        """By id, those that the driver says are there."""
        return {unit.id: unit for unit in self.heartbeat(context) if unit.state in LIVING}

    def shutdown(self, context: Context, ids: Sequence[str]) -> None:
        self._call("shutdown", context=context, ids=ids)

    def cleanup(self, context: Context, scope: Scope, dry_run: bool = False) -> list[Resource]:
        told = list(self._call("cleanup", context=context, scope=scope, dry_run=dry_run) or ())
        expect(all(isinstance(each, Resource) for each in told), f"cleanup gave {told!r}")
        return told

    def collect(self, context: Context, ids: Sequence[str]) -> dict[str, bytes]:
        return dict(self._call("collect", context=context, ids=ids))

    # What anybody sees.

    def seen(self) -> list[Seen]:
        return [each for each in self.case.look() if each.infrastructure_id not in self._before]

    def seen_ids(self) -> set[str]:
        return {each.infrastructure_id for each in self.seen()}

    def units_seen(self, *ids: str) -> list[Seen]:
        """The living units of these ids, or all of the trial's."""
        return [each for each in self.seen() if (each.unit in ids if ids else each.unit)]

    def until(self, holds: Callable[[], bool], seen: Callable[[], str]) -> None:
        """Waits as long as the infrastructure may take. Broken, with what `seen` says, when that was not enough."""
        deadline = time.monotonic() + self.case.patience
        pause = 0.005
        while not holds():
            if time.monotonic() > deadline:
                raise Broken(f"{seen()} (after {self.case.patience:g} s)")
            time.sleep(pause)
            pause = min(2 * pause, 0.25)

    def until_seen(self, *ids: str) -> None:
        """Until exactly one living unit of each id is there."""
        wanted = sorted(ids)
        self.until(
            lambda: sorted(each.unit for each in self.units_seen(*ids)) == wanted,
            lambda: f"of {wanted} there are {_counted(self.units_seen(*ids))}",
        )

    def until_gone(self, *ids: str) -> None:
        self.until(lambda: not self.units_seen(*ids), lambda: f"there are still {_counted(self.units_seen(*ids))}")

    def no_more_than_one_each(self, ids: Sequence[str]) -> None:
        """Once one of each is there: whether it is one. Another would have come with it."""
        self.until(
            lambda: {each.unit for each in self.units_seen(*ids)} == set(ids),
            lambda: f"of {sorted(ids)} there are {_counted(self.units_seen(*ids))}",
        )
        found = self.units_seen(*ids)
        expect(len(found) == len(ids), f"the infrastructure has {_counted(found)}")


def _counted(found: Sequence[Seen]) -> str:
    if not found:
        return "none"
    return ", ".join(f"{each.unit!r} as {each.infrastructure_id}" for each in found)
