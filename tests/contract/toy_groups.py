"""A capacity driver of the toy cloud that keeps every rule. Twins that break one each are made of its text."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

import toy_cloud
from scaler.managers.api import (
    ConfigurationError,
    Context,
    CredentialsExpired,
    DriverInfo,
    Family,
    OptionModel,
    Resource,
    Scope,
    Throttled,
    Unit,
    UnitState,
    WorkerGroup,
    option,
)

ZONES = ["north", "south"]


class ToyOptions(OptionModel):
    group: ClassVar[str] = "driver toy_groups"

    cloud: str = option("", "name of the toy cloud", metavar="NAME")
    zone: str = option("north", "where machines are: north or south")
    access_token: str = option("", "what the cloud knows us by; better in SCALER_ACCESS_TOKEN")


@dataclass
class Session:
    cloud: toy_cloud.Cloud
    started: set[str] = field(default_factory=set)


def describe() -> DriverInfo:
    return DriverInfo("toy_groups", Family.CAPACITY, ToyOptions)


def commands() -> Mapping[str, Callable[[Sequence[str], Context], int]]:
    return {"show-zones": show_zones}


def show_zones(arguments: Sequence[str], context: Context) -> int:
    print(*ZONES)
    return 0


def open(context: Context) -> None:
    context.state = Session(toy_cloud.connect(context.options.cloud))


def validate(context: Context) -> None:
    if context.options.zone not in ZONES:
        raise ConfigurationError("There is no such zone.", "--zone", f"one of {', '.join(ZONES)}")


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except toy_cloud.TooManyRequests as error:
        raise Throttled(str(error), 1.0) from error
    except toy_cloud.Expired as error:
        raise CredentialsExpired(str(error)) from error


def _token(context: Context, name: str) -> str:
    return f"{context.owner.cluster}/{context.owner.manager}/{name}"


def _things(context: Context) -> list[toy_cloud.Thing]:
    found, at = context.state.cloud.page(timeout=0.1)
    while at:
        more, at = context.state.cloud.page(at, timeout=0.1)
        found += more
    return found


def _ours(context: Context, things: Sequence[toy_cloud.Thing]) -> list[toy_cloud.Thing]:
    mine = context.owner
    return [
        each
        for each in things
        if each.tags.get("scaler:cluster") == mine.cluster and each.tags.get("scaler:manager") == mine.manager
    ]


def start(context: Context, requests: Sequence[WorkerGroup]) -> list[Unit]:
    units: list[Unit] = []
    with _errors():
        if requests:
            tags = context.owner.tags()
            context.state.cloud.create("network", _token(context, "network"), tags, timeout=0.1)
        for group in requests:
            units.append(_start(context, group, units))
    return units


def _start(context: Context, group: WorkerGroup, earlier: Sequence[Unit]) -> Unit:
    capabilities = ",".join(f"{name}={amount}" for name, amount in group.capabilities.items())
    tags = {**context.owner.tags(), "unit": group.id, "capabilities": capabilities}
    environment = group.launch.environment
    try:
        machine = context.state.cloud.create(
            "machine", _token(context, group.id), tags, secrets=environment, size=group.slots, timeout=0.1
        )
    except toy_cloud.Refused as error:
        return Unit(group.id, "", UnitState.FAILED, str(error))
    except toy_cloud.TooManyRequests as error:
        if earlier:
            raise RuntimeError(f"{len(earlier)} were started: {error}") from error
        raise
    return _unit(machine)


def _unit(machine: toy_cloud.Thing) -> Unit:
    name = machine.tags["unit"]
    if machine.ended:
        return Unit(name, machine.id, UnitState.FAILED, machine.ended)
    return Unit(name, machine.id, UnitState.RUNNING)


def heartbeat(context: Context) -> list[Unit]:
    with _errors():
        return [_unit(each) for each in _ours(context, _things(context)) if each.kind == "machine"]


def shutdown(context: Context, ids: Sequence[str]) -> None:
    with _errors():
        for each in _ours(context, _things(context)):
            if each.kind == "machine" and each.tags["unit"] in ids:
                _delete(context, each)


def _delete(context: Context, thing: toy_cloud.Thing) -> None:
    try:
        context.state.cloud.delete(thing.id, timeout=0.1)
    except toy_cloud.NotFound:
        return


def _in_scope(context: Context, scope: Scope) -> list[toy_cloud.Thing]:
    things = _things(context)
    if scope is Scope.CLUSTER:
        return [each for each in things if each.tags.get("scaler:cluster") == context.owner.cluster]
    found = [each for each in _ours(context, things) if each.kind == "network"]
    if scope is Scope.RUN:
        return [each for each in found if each.tags["scaler:generation"] == str(context.owner.generation)]
    return found


def cleanup(context: Context, scope: Scope, dry_run: bool) -> list[Resource]:
    told = []
    with _errors():
        for each in _in_scope(context, scope):
            if not dry_run:
                _delete(context, each)
            told.append(Resource(each.kind, each.id, "would be deleted" if dry_run else "deleted"))
    return told
