"""Rules about `heartbeat`."""

from contextlib import suppress

from scaler.managers.api import UnitState
from scaler.testing.contract.rule import Broken, expect, rule
from scaler.testing.contract.trial import Trial


@rule("Return [] where nothing carries the owner's tag.")
def heartbeat_of_nothing_is_empty(trial: Trial) -> None:
    """A manager that has started nothing has no units."""
    told = trial.heartbeat(trial.context())
    expect(told == [], f"heartbeat gave {told!r}")


@rule("Map the infrastructure's states to UnitState in one table, and give each unit's id from its tags.")
def heartbeat_shows_what_was_started(trial: Trial) -> None:
    """Each unit is in the heartbeat once, pending or running, under the infrastructure id that `start` gave."""
    context = trial.context()
    started = {unit.id: unit.infrastructure_id for unit in trial.started(context, 3)}
    trial.until(
        lambda: set(started) <= set(trial.living(context)), lambda: f"a heartbeat gave {trial.heartbeat(context)!r}"
    )
    units = trial.heartbeat(context)
    expect(sorted(unit.id for unit in units) == sorted(started), f"heartbeat gave {units!r}")
    for unit in units:
        told = unit.infrastructure_id
        expect(told == started[unit.id], f"{unit.id} was {started[unit.id]} and is {told}")


@rule("Translate the infrastructure's words; what is new to you is PENDING before it ran, and GONE after.")
def states_are_those_of_the_interface(trial: Trial) -> None:
    """All states are members of `UnitState`, in the answer of `start` and in heartbeats: the host decides by them."""
    context = trial.context()
    (unit,) = trial.started(context)
    for each in (unit, *trial.heartbeat(context)):
        expect(isinstance(each.state, UnitState), f"the state of {each.id} is {each.state!r}")


@rule("Only look in `heartbeat`; it is called every few seconds, for as long as the manager lives.")
def heartbeat_changes_nothing(trial: Trial) -> None:
    """Three heartbeats later everything is as it was."""
    context = trial.context()
    (unit,) = trial.started(context)
    trial.until_seen(unit.id)
    before = trial.seen_ids()
    for _ in range(3):
        trial.heartbeat(context)
    expect(trial.seen_ids() == before, f"what changed: {sorted(trial.seen_ids() ^ before)}")


@rule("Ask the infrastructure by the owner's tag, not a list in `context.state`.")
def heartbeat_after_a_crash_shows_all_wound_5(trial: Trial) -> None:
    """A new manager of the same owner sees all that the one before started, whether it ever registered or not.
    (Units that never registered are abandoned.)"""
    context = trial.context()
    names = sorted(unit.id for unit in trial.started(context, 3))
    trial.forget(context)
    after = trial.context(generation=2)
    trial.until(
        lambda: set(names) <= set(trial.living(after)), lambda: f"of {names} it shows {sorted(trial.living(after))}"
    )


@rule("Compare the manager's id whole (no prefix, no pattern) when looking for units.")
def heartbeat_shows_no_other_managers_units(trial: Trial) -> None:
    """The units of another manager of the same cluster are not shown, even where one's name begins like the other's."""
    (unit,) = trial.started(trial.context(manager="one-more"))
    told = trial.heartbeat(trial.context(manager="one"))
    expect(unit.id not in {each.id for each in told}, f"it shows {told!r}")


@rule("Compare the cluster too: two clusters may have managers of one name.")
def heartbeat_shows_no_other_clusters_units(trial: Trial) -> None:
    """The units of a manager of the same name in another cluster are not shown."""
    (unit,) = trial.started(trial.context(cluster="b"))
    told = trial.heartbeat(trial.context(cluster="a"))
    expect(unit.id not in {each.id for each in told}, f"it shows {told!r}")


@rule(
    "Ask the infrastructure how each unit is; tell ended ones as FAILED or GONE with its words, or leave them out.",
    needs=("vanish",),
)
def unit_that_was_killed_is_not_shown_as_living_wound_9(trial: Trial) -> None:
    """A unit that ends from outside is soon failed, gone or not shown, and the others live. (Dead units that stay
    counted shrink the cluster for good.)"""
    context = trial.context()
    killed, other = trial.started(context, 2)
    trial.until_seen(killed.id, other.id)
    _kill(trial, killed.id)
    trial.until(lambda: killed.id not in trial.living(context), lambda: "a heartbeat shows it as living")
    expect(other.id in trial.living(context), "the other one is not shown as living any more")
    told = {unit.id: unit.state for unit in trial.heartbeat(context)}.get(killed.id)
    expect(told is not UnitState.SUCCEEDED, "it is shown as succeeded")


@rule("Give FAILED units a detail: exit code, signal, the infrastructure's reason.", needs=("vanish",))
def unit_that_failed_says_why_wound_9(trial: Trial) -> None:
    """Where the heartbeat shows a unit as failed, its detail has the reason."""
    context = trial.context()
    (unit,) = trial.started(context)
    trial.until_seen(unit.id)
    _kill(trial, unit.id)
    with suppress(Broken):  # shown as living for ever: another rule is about that
        trial.until(lambda: unit.id not in trial.living(context), lambda: "")
    silent = [each for each in trial.heartbeat(context) if each.state is UnitState.FAILED and not each.detail.strip()]
    expect(not silent, f"it does not say why: {silent!r}")


def _kill(trial: Trial, name: str) -> None:
    assert trial.case.vanish is not None
    (seen,) = trial.units_seen(name)
    trial.case.vanish(seen.infrastructure_id)
    trial.until_gone(name)
