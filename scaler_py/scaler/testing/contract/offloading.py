"""Rules about jobs: what offload drivers must do besides."""

import operator
import random
import time
from typing import Any

from scaler.managers.api import Context, Family, Job, UnitState
from scaler.packing import ObjectReference, dumps
from scaler.testing.contract.jobs import job, value
from scaler.testing.contract.rule import Broken, expect, rule
from scaler.testing.contract.trial import LIVING, Trial

_OFFLOAD = Family.OFFLOAD


def _state(trial: Trial, context: Context, name: str) -> UnitState | None:
    return {unit.id: unit.state for unit in trial.heartbeat(context)}.get(name)


def _until_ended(trial: Trial, context: Context, *names: str) -> None:
    """Until a heartbeat shows each as ended."""
    trial.until(
        lambda: all(_state(trial, context, name) not in {*LIVING, None} for name in names),
        lambda: f"of {list(names)} a heartbeat shows {trial.heartbeat(context)!r}",
    )


def _outcome(trial: Trial, context: Context, name: str) -> Any:
    """The value of an ended job. Raises what it raised."""
    found = trial.collect(context, [name])
    if name not in found:
        states = {unit.id: f"{unit.state.value} {unit.detail}" for unit in trial.heartbeat(context)}
        raise Broken(f"collect has no outcome of {name}, which is {states.get(name, 'not shown')}")
    return value(found[name])


def _run(trial: Trial, wanted: Job) -> Any:
    context = trial.context()
    trial.start_requests(context, [wanted])
    _until_ended(trial, context, wanted.id)
    return _outcome(trial, context, wanted.id)


@rule("Store what `run_job` gives in the job, whole, and return it from `collect` by the job's id.", family=_OFFLOAD)
def job_that_succeeds_brings_its_value(trial: Trial) -> None:
    """A job that has ended is shown as succeeded, and its outcome has what the function returned."""
    name = trial.id()
    context = trial.context()
    trial.start_requests(context, [job(name, pow, (3, 5))])
    _until_ended(trial, context, name)
    state = _state(trial, context, name)
    expect(state is UnitState.SUCCEEDED, f"it is shown as {state!r}")
    found = _outcome(trial, context, name)
    expect(found == 243, f"pow(3, 5) came back as {found!r}")


@rule(
    "An exception of the function is an outcome as any other: never judge a job by its exit code alone.",
    family=_OFFLOAD,
)
def job_that_raises_brings_its_exception(trial: Trial) -> None:
    """What the function raised comes back as it was, type and text. (The user's exception type is lost.)"""
    try:
        found = _run(trial, job(trial.id(), int, ("no number",)))
    except ValueError as error:
        expect("no number" in str(error), f"it raised {error!r}")
    else:
        raise Broken(f"int('no number') came back as {found!r}")


@rule(
    "Show a job that ended without an outcome as FAILED, with the exit code, signal or reason.",
    family=_OFFLOAD,
    needs=("vanish",),
)
def job_that_was_killed_is_failed_and_says_why(trial: Trial) -> None:
    """A job that is killed has no outcome: the heartbeat shows it as failed, with a reason, and `collect` leaves it
    out."""
    context = trial.context()
    (unit,) = trial.started(context)
    trial.until_seen(unit.id)
    assert trial.case.vanish is not None
    trial.case.vanish(trial.units_seen(unit.id)[0].infrastructure_id)
    _until_ended(trial, context, unit.id)
    (told,) = [each for each in trial.heartbeat(context) if each.id == unit.id]
    expect(told.state is UnitState.FAILED, f"it is shown as {told.state!r}")
    expect(told.detail.strip(), "it does not say why")
    found = trial.collect(context, [unit.id])
    expect(unit.id not in found, f"its outcome is {found.get(unit.id)!r}")


@rule("Keep an outcome until `shutdown` was called for the job.", family=_OFFLOAD)
def outcome_stays_until_it_is_acknowledged(trial: Trial) -> None:
    """`collect` may be called again, for the first answer may be lost: it gives the same until `shutdown`."""
    context = trial.context()
    name = trial.id()
    trial.start_requests(context, [job(name, pow, (2, 3))])
    _until_ended(trial, context, name)
    first = _outcome(trial, context, name)
    expect(_state(trial, context, name) is not None, "after collect no heartbeat shows it")
    expect(_outcome(trial, context, name) == first, "the second time it is another")


@rule("On `shutdown` of an ended job delete what is kept of it.", family=_OFFLOAD)
def acknowledged_job_is_forgotten(trial: Trial) -> None:
    """`shutdown` of an ended job is the permission to forget it: no heartbeat shows it, nothing of it is left."""
    context = trial.context()
    name = trial.id()
    trial.start_requests(context, [job(name, pow, (2, 3))])
    _until_ended(trial, context, name)
    trial.shutdown(context, [name])
    trial.until(lambda: _state(trial, context, name) is None, lambda: f"it is {_state(trial, context, name)!r}")
    expect(trial.collect(context, [name]) == {}, "collect still has its outcome")


@rule("Leave out of `collect` what has no outcome.", family=_OFFLOAD)
def outcomes_are_of_ended_jobs_only(trial: Trial) -> None:
    """`collect` gives nothing for a job that runs, nor for an id that it does not know, nor for no ids."""
    context = trial.context()
    (unit,) = trial.started(context)
    found = trial.collect(context, [unit.id, trial.id("unknown")])
    expect(found == {}, f"collect gave {found!r}")
    expect(trial.collect(context, []) == {}, "collect([]) gave something")


@rule("Keep outcomes where another process finds them by the owner's tag, not in `context.state`.", family=_OFFLOAD)
def outcome_is_there_after_a_crash(trial: Trial) -> None:
    """A job that ended while no manager lived is shown by the next one, and its outcome can be collected."""
    context = trial.context()
    name = trial.id()
    trial.start_requests(context, [job(name, pow, (2, 4))])
    trial.forget(context)
    after = trial.context(generation=2)
    _until_ended(trial, after, name)
    found = _outcome(trial, after, name)
    expect(found == 16, f"pow(2, 4) came back as {found!r}")


@rule("Cancel the job, not only the wait for it.", family=_OFFLOAD)
def cancelled_job_ends(trial: Trial) -> None:
    """`shutdown` of a running job ends it where it runs, and it has no outcome. (Jobs run on after the manager.)"""
    context = trial.context()
    (unit,) = trial.started(context)
    trial.until_seen(unit.id)
    trial.shutdown(context, [unit.id])
    trial.until_gone(unit.id)
    found = trial.collect(context, [unit.id])
    expect(found == {}, f"its outcome is {found!r}")


@rule("Make a job's identity of id and attempt: a `start` with a higher attempt is a new job.", family=_OFFLOAD)
def next_attempt_runs_again(trial: Trial) -> None:
    """The second attempt of a job whose first one has failed runs, and its outcome is the job's; a first attempt that
    is asked for again does not."""
    context = trial.context()
    name = trial.id()
    trial.start_requests(context, [job(name, pow, (2, 2))])
    _until_ended(trial, context, name)
    trial.start_requests(context, [job(name, pow, (3, 2))])
    expect(_outcome(trial, context, name) == 4, "the same attempt ran again")
    trial.start_requests(context, [job(name, pow, (3, 2), attempt=2)])
    trial.until(lambda: _finished(trial, context, name) == 9, lambda: "the second attempt's outcome does not come")


def _finished(trial: Trial, context: Context, name: str) -> Any:
    if _state(trial, context, name) in {*LIVING, None}:
        return None
    found = trial.collect(context, [name])
    return value(found[name]) if name in found else None


@rule(
    "Give the job's timeout to the infrastructure, or end the job by a timer that survives this process.",
    family=_OFFLOAD,
)
def timeout_ends_the_job(trial: Trial) -> None:
    """A job that runs longer than its `timeout` is ended, is shown as failed, and its detail says so."""
    context = trial.context()
    name = trial.id()
    trial.start_requests(context, [job(name, time.sleep, (600.0,), timeout=1.0)])
    _until_ended(trial, context, name)
    (told,) = [each for each in trial.heartbeat(context) if each.id == name]
    expect(told.state is UnitState.FAILED, f"it is shown as {told.state!r}")
    expect("time" in told.detail.lower(), f"its detail is {told.detail!r}")
    trial.until_gone(name)


@rule(
    "Send what is above the infrastructure's limit by another way (a file, an object), measured as it is sent.",
    family=_OFFLOAD,
)
def large_arguments_and_values_arrive_wound_19(trial: Trial) -> None:
    """A MiB of arguments that no compression makes smaller arrives, and as much comes back."""
    large = random.Random(1).randbytes(1 << 20)
    found = _run(trial, job(trial.id(), operator.add, (large, b"!")))
    expect(found == large + b"!", f"of {len(large) + 1} bytes {len(found)} came back")


@rule("Keep payloads as bytes; make names that the infrastructure takes of the job's title.", family=_OFFLOAD)
def titles_and_arguments_of_any_alphabet_arrive(trial: Trial) -> None:
    """A job's name is shown to people and may hold anything; its arguments too."""
    text = 'größe 数 🦀 "quoted" $HOME `date` %s \n \0'
    found = _run(trial, job(trial.id(), str.upper, (text,), title="<lambda> größe/数 $(date) " + "x" * 300))
    expect(found == text.upper(), f"{text!r} came back as {found!r}")


@rule(
    "Open each of `job.references` with `context.objects.open` in `start`, send the bytes along, and give `run_job` "
    "what reads them.",
    family=_OFFLOAD,
)
def references_are_opened(trial: Trial) -> None:
    """Objects that the job refers to are there when it runs, though it has no connection to the cluster."""
    reference, name = ObjectReference("numbers", 5, 7, bytes(range(16))), trial.id()
    text = reference.object_id.hex()
    trial.objects.put(text, dumps([1, 2, 3]))
    found = _run(trial, job(name, sum, (reference,), references=[text]))
    expect(found == 6, f"sum of the object came back as {found!r}")
    expect(trial.objects.open_streams == 0, "a stream of an object was not closed")
