"""An offload driver of the toy cloud that keeps every rule. Twins that break one each are made of its text."""

from collections.abc import Iterator, Mapping, Sequence
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
    Job,
    OptionModel,
    Resource,
    Scope,
    Throttled,
    Unit,
    UnitState,
    option,
    pack_job,
)


class ToyOptions(OptionModel):
    group: ClassVar[str] = "driver toy_jobs"

    cloud: str = option("", "name of the toy cloud", metavar="NAME")
    queue: str = option("main", "where jobs wait: main or idle")


@dataclass
class Session:
    cloud: toy_cloud.Cloud
    noted: set[str] = field(default_factory=set)


def describe() -> DriverInfo:
    return DriverInfo("toy_jobs", Family.OFFLOAD, ToyOptions)


def open(context: Context) -> None:
    context.state = Session(toy_cloud.connect(context.options.cloud))


def validate(context: Context) -> None:
    if context.options.queue not in ("main", "idle"):
        raise ConfigurationError("There is no such queue.", "--queue", "one of main, idle")


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except toy_cloud.TooManyRequests as error:
        raise Throttled(str(error), 1.0) from error
    except toy_cloud.Expired as error:
        raise CredentialsExpired(str(error)) from error


def start(context: Context, requests: Sequence[Job]) -> list[Unit]:
    units: list[Unit] = []
    with _errors():
        for job in requests:
            units.append(_start(context, job, units))
    return units


def _start(context: Context, job: Job, earlier: Sequence[Unit]) -> Unit:
    token = f"{context.owner.hash}/{job.id}/{job.attempt}"
    tags = {**context.owner.tags(), "unit": job.id, "attempt": str(job.attempt), "title": job.name}
    payload = _with_references(context, job, pack_job(job))
    if len(payload) > toy_cloud.PARAMETER_BYTES:
        context.state.cloud.store(token, payload, timeout=0.1)
        payload = token.encode("latin-1")
    try:
        return _unit(context.state.cloud.submit(token, tags, payload, job.timeout, timeout=0.1))
    except toy_cloud.Refused as error:
        return Unit(job.id, "", UnitState.FAILED, str(error))
    except toy_cloud.TooManyRequests as error:
        if earlier:
            raise RuntimeError(f"{len(earlier)} were started: {error}") from error
        raise


def _with_references(context: Context, job: Job, packed: bytes) -> bytes:
    if not job.references:
        return packed
    parts = [b"with %d " % len(job.references)]
    for reference in job.references:
        with context.objects.open(reference) as stream:
            data = stream.read()
        parts.append(b"%s %d %s" % (reference.encode(), len(data), data))
    return b"".join([*parts, packed])


def _unit(thing: toy_cloud.Thing) -> Unit:
    name = thing.tags["unit"]
    if not thing.ended:
        return Unit(name, thing.id, UnitState.RUNNING)
    if thing.outcome is None:
        return Unit(name, thing.id, UnitState.FAILED, thing.ended)
    return Unit(name, thing.id, UnitState.SUCCEEDED)


def _jobs(context: Context) -> list[toy_cloud.Thing]:
    """All of this owner's, earlier attempts before later ones."""
    found, at = context.state.cloud.page(timeout=0.1)
    while at:
        more, at = context.state.cloud.page(at, timeout=0.1)
        found += more
    mine = context.owner
    ours = [
        each
        for each in found
        if each.tags.get("scaler:cluster") == mine.cluster and each.tags.get("scaler:manager") == mine.manager
    ]
    return sorted(ours, key=lambda each: int(each.tags["attempt"]))


def heartbeat(context: Context) -> list[Unit]:
    with _errors():
        return list({each.tags["unit"]: _unit(each) for each in _jobs(context)}.values())


def shutdown(context: Context, ids: Sequence[str]) -> None:
    with _errors():
        for each in _jobs(context):
            if each.tags["unit"] in ids:
                _delete(context, each)


def _delete(context: Context, thing: toy_cloud.Thing) -> None:
    try:
        context.state.cloud.delete(thing.id, timeout=0.1)
    except toy_cloud.NotFound:
        return


def collect(context: Context, ids: Sequence[str]) -> Mapping[str, bytes]:
    with _errors():
        latest = {each.tags["unit"]: each for each in _jobs(context)}
        return {name: each.outcome for name, each in latest.items() if name in ids and each.outcome is not None}


def cleanup(context: Context, scope: Scope, dry_run: bool) -> list[Resource]:
    if scope is not Scope.CLUSTER:
        return []
    told = []
    with _errors():
        for each in context.state.cloud.page(timeout=0.1)[0]:
            if each.tags.get("scaler:cluster") == context.owner.cluster:
                if not dry_run:
                    _delete(context, each)
                told.append(Resource("job", each.id, "would be deleted" if dry_run else "deleted"))
    return told
