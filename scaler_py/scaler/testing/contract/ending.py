"""Rules about `shutdown`."""

from contextlib import suppress

from scaler.testing.contract.rule import expect, rule
from scaler.testing.contract.trial import Trial


@rule("End what carries the owner's tag and the id; a later `heartbeat` shows it as ended or not at all.")
def shutdown_ends_the_unit(trial: Trial) -> None:
    """A unit that is shut down is not there any more, and no heartbeat shows it as living."""
    context = trial.context()
    (unit,) = trial.started(context)
    trial.until_seen(unit.id)
    trial.shutdown(context, [unit.id])
    trial.until_gone(unit.id)
    trial.until(lambda: unit.id not in trial.living(context), lambda: "a heartbeat shows it as living")


@rule("End the units of exactly these ids; never reduce a count and let the infrastructure choose.")
def shutdown_ends_only_what_it_names_wound_3(trial: Trial) -> None:
    """Of three units the one that is named ends, and its siblings live. (Stopping one worker kills its siblings.)"""
    context = trial.context()
    one, two, three = (unit.id for unit in trial.started(context, 3))
    trial.until_seen(one, two, three)
    trial.shutdown(context, [two])
    trial.until_gone(two)
    trial.until_seen(one, three)


@rule('Take "not found" for success, and an empty list for nothing to do.')
def shutdown_of_unknown_ids_is_fine(trial: Trial) -> None:
    """Ids that nobody has are no error; neither are none at all, which end nothing."""
    context = trial.context()
    (unit,) = trial.started(context)
    trial.until_seen(unit.id)
    trial.shutdown(context, [trial.id("unknown")])
    trial.shutdown(context, [])
    trial.until_seen(unit.id)


@rule("Go on with the other ids when one is not found.")
def shutdown_goes_on_after_an_unknown_id(trial: Trial) -> None:
    """An unknown id among the others keeps none of them alive."""
    context = trial.context()
    (unit,) = trial.started(context)
    trial.until_seen(unit.id)
    trial.shutdown(context, [trial.id("unknown"), unit.id, trial.id("unknown")])
    trial.until_gone(unit.id)


@rule("Make ending what has ended do nothing.")
def shutdown_twice_is_fine(trial: Trial) -> None:
    """The host says it again until a heartbeat shows the effect."""
    context = trial.context()
    (unit,) = trial.started(context)
    trial.shutdown(context, [unit.id])
    trial.shutdown(context, [unit.id])
    trial.until_gone(unit.id)
    trial.shutdown(context, [unit.id])


@rule('Take "already ended" for success.', needs=("vanish",))
def shutdown_of_what_has_vanished_is_fine(trial: Trial) -> None:
    """A unit that has ended by itself can be shut down, and then no heartbeat shows it as living."""
    context = trial.context()
    (unit,) = trial.started(context)
    trial.until_seen(unit.id)
    assert trial.case.vanish is not None
    trial.case.vanish(trial.units_seen(unit.id)[0].infrastructure_id)
    trial.until_gone(unit.id)
    trial.shutdown(context, [unit.id])
    trial.until(lambda: unit.id not in trial.living(context), lambda: "a heartbeat shows it as living")


@rule("Look for the ids among the owner's units only.")
def shutdown_never_ends_other_owners_units(trial: Trial) -> None:
    """An id that belongs to another manager, or to another cluster, is an unknown id."""
    other = trial.started(trial.context(manager="two"))[0].id
    foreign = trial.started(trial.context(cluster="b"))[0].id
    trial.until_seen(other, foreign)
    with suppress(Exception):  # unknown ids are fine: another rule is about that
        trial.shutdown(trial.context(), [other, foreign])
    left = {each.unit for each in trial.units_seen(other, foreign)}
    expect(left == {other, foreign}, f"it ended {sorted({other, foreign} - left)}")


@rule("Find units to end by the owner's tag, not by what this process started.")
def shutdown_after_a_crash_ends_what_was_before_wound_7(trial: Trial) -> None:
    """A new manager of the same owner ends a unit that the one before started. (The manager dies, the bill runs on.)"""
    context = trial.context()
    (unit,) = trial.started(context)
    trial.until_seen(unit.id)
    trial.forget(context)
    trial.shutdown(trial.context(generation=2), [unit.id])
    trial.until_gone(unit.id)
