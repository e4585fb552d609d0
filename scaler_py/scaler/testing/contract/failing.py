"""Rules about infrastructures that fail: which errors hooks raise, and that they come back at all."""

import threading
from collections.abc import Callable

from scaler.managers.api import Context, CredentialsExpired, Scope, TemporaryError, Throttled, UnitState
from scaler.testing.contract.case import Trouble
from scaler.testing.contract.rule import Broken, NotApplicable, expect, rule
from scaler.testing.contract.trial import Trial


def _verbs(trial: Trial, context: Context, unit: str) -> dict[str, Callable[[], object]]:
    return {
        "start": lambda: trial.start(context, [trial.id()]),
        "heartbeat": lambda: trial.heartbeat(context),
        "shutdown": lambda: trial.shutdown(context, [unit]),
    }


def _raises(trial: Trial, trouble: Trouble, kind: type[Exception]) -> None:
    context = trial.context()
    (unit,) = trial.started(context)
    trial.until_seen(unit.id)
    for name, call in _verbs(trial, context, unit.id).items():
        with trouble():
            try:
                answer = call()
            except kind:
                continue
            except Broken:
                raise
            except Exception as error:
                raise Broken(f"{name} raised {type(error).__name__}: {error}") from error
        raise Broken(f"{name} raised nothing and returned {answer!r}")


@rule(
    "Raise Throttled(text, retry_after) where the infrastructure says so; do not retry yourself.", needs=("throttling",)
)
def throttling_is_raised_wound_29(trial: Trial) -> None:
    """Too many requests: each verb raises `Throttled`, and the host slows down. A unit that was throttled has not
    failed, and is not replaced. (Rate exceeded: the start-up fails.)"""
    assert trial.case.throttling is not None
    _raises(trial, trial.case.throttling, Throttled)


@rule(
    "Once a part of the call was done raise any other exception (the next heartbeat tells), or offer batches of one.",
    needs=("throttling_some",),
)
def throttled_call_has_started_nothing_wound_29(trial: Trial) -> None:
    """`Throttled` and `TemporaryError` say that nothing of the call was done. In a call of three the second is too
    much: where `start` says so, none of them is there; and whatever it says, another call makes one of each."""
    context = trial.context()
    if trial.offer(context).batch < 2:
        raise NotApplicable("it starts one unit a call")
    names = trial.ids(3)
    assert trial.case.throttling_some is not None
    with trial.case.throttling_some(names[1:2]):
        try:
            units = trial.start(context, names)
        except (Throttled, TemporaryError) as error:
            found = [each.unit for each in trial.units_seen(*names)]
            expect(not found, f"start raised {type(error).__name__} and has started {found}")
        except Broken:
            raise
        except Exception:
            pass  # the outcome is unknown, which is true
        else:
            failed = [unit.id for unit in units if unit.state is UnitState.FAILED]
            expect(not failed, f"start says that {failed} failed, which was only too early")
    trial.start(trial.context(), names)
    trial.no_more_than_one_each(names)


@rule(
    "Raise CredentialsExpired; the host opens a new context, whose `open` reads credentials anew.", needs=("expiring",)
)
def expired_credentials_are_raised(trial: Trial) -> None:
    """Each verb raises `CredentialsExpired`, and a new context of the same owner works once there are new ones."""
    assert trial.case.expiring is not None
    _raises(trial, trial.case.expiring, CredentialsExpired)
    context = trial.context()
    trial.until(lambda: bool(trial.living(context)), lambda: "a new context does not show the unit")


@rule("Give every call to the infrastructure a time-out of its own.", needs=("hanging",))
def hooks_end_when_nothing_answers_wound_11(trial: Trial) -> None:
    """An infrastructure that hangs: each hook returns or raises within its deadline. (A slow cloud call, and the
    manager is declared dead.)"""
    assert trial.case.hanging is not None
    context = trial.context()
    (unit,) = trial.started(context)
    trial.until_seen(unit.id)
    verbs = _verbs(trial, context, unit.id)
    verbs["cleanup"] = lambda: trial.cleanup(context, Scope.MANAGER, dry_run=True)
    for name, call in verbs.items():
        with trial.case.hanging():
            thread = threading.Thread(target=_quietly, args=(call,), daemon=True)
            thread.start()
            thread.join(trial.case.deadline)
            late = thread.is_alive()
        thread.join(trial.case.patience)
        expect(not late, f"{name} had not come back after {trial.case.deadline:g} s")


def _quietly(call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:
        return  # which is an answer
