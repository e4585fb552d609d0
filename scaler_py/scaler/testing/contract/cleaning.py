"""Rules about `cleanup`."""

from scaler.managers.api import Context, Resource, Scope
from scaler.testing.contract.rule import expect, rule
from scaler.testing.contract.trial import Trial


def _used(trial: Trial, context: Context) -> None:
    """A manager that has had units, so that all which units need was made."""
    names = [unit.id for unit in trial.started(context, 2)]
    trial.until_seen(*names)
    trial.shutdown(context, names)
    trial.until_gone(*names)


def _told(resources: list[Resource]) -> list[tuple[str, str]]:
    return sorted((each.kind, each.id) for each in resources)


@rule("Return before the first call that deletes when `dry_run` is true.")
def dry_run_changes_nothing(trial: Trial) -> None:
    """`cleanup` with `dry_run` deletes nothing, in any scope."""
    context = trial.context()
    _used(trial, context)
    before = trial.seen_ids()
    for scope in Scope:
        trial.cleanup(context, scope, dry_run=True)
        expect(trial.seen_ids() == before, f"it deleted {sorted(before - trial.seen_ids())}")


@rule("Make the list first, the same way for both, and then delete what is on it.")
def dry_run_tells_what_cleanup_deletes(trial: Trial) -> None:
    """The dry run reports the resources that the run then reports, with kind, id and outcome, and what vanishes is
    among them."""
    context = trial.context()
    _used(trial, context)
    before = trial.seen_ids()
    dry = trial.cleanup(context, Scope.MANAGER, dry_run=True)
    wet = trial.cleanup(context, Scope.MANAGER)
    expect(_told(dry) == _told(wet), f"the dry run told {_told(dry)}, the run {_told(wet)}")
    expect(all(each.kind and each.id and each.outcome for each in wet), f"a report is not whole: {wet!r}")
    unsaid = before - trial.seen_ids() - {each.id for each in wet}
    expect(not unsaid, f"it deleted {sorted(unsaid)} and did not say so")


@rule('Take "not found" for deleted; do not report what was not there.')
def cleanup_twice_is_fine(trial: Trial) -> None:
    """The second time there is nothing to delete, and nothing is reported."""
    context = trial.context()
    _used(trial, context)
    trial.cleanup(context, Scope.MANAGER)
    again = trial.cleanup(context, Scope.MANAGER)
    expect(again == [], f"the second time it reported {again!r}")


@rule("Tag all that is made with the owner, and delete it in `cleanup`, what depends on other things first.")
def nothing_is_left_after_cleanup_wound_6(trial: Trial) -> None:
    """After `shutdown` of all units and `cleanup` the infrastructure is as it was before, after a crash too. (A
    failed create leaks groups, keys, roles.)"""
    context = trial.context()
    _used(trial, context)
    trial.forget(context)
    trial.cleanup(trial.context(generation=2), Scope.MANAGER)
    trial.until(lambda: not trial.seen_ids(), lambda: f"there are still {sorted(trial.seen_ids())}")


@rule("Leave units to `shutdown`: `cleanup` deletes what else the driver made.")
def cleanup_leaves_units_alone_wound_4(trial: Trial) -> None:
    """Units are ended by `shutdown` alone, once they are drained. (Busy units are stopped.)"""
    context = trial.context()
    (unit,) = trial.started(context)
    trial.until_seen(unit.id)
    trial.cleanup(context, Scope.RUN)
    trial.until_seen(unit.id)


@rule("Delete only what carries this manager's tag in the scopes RUN and MANAGER.")
def cleanup_never_touches_another_manager(trial: Trial) -> None:
    """What another manager of the cluster made is left alone, its units among it."""
    other = trial.context(manager="two")
    (unit,) = trial.started(other)
    trial.until_seen(unit.id)
    context = trial.context()
    before = trial.seen_ids()
    trial.cleanup(context, Scope.RUN)
    trial.cleanup(context, Scope.MANAGER)
    expect(before <= trial.seen_ids(), f"it deleted {sorted(before - trial.seen_ids())}")


@rule("Compare the cluster's tag in every scope.")
def cleanup_never_touches_another_cluster(trial: Trial) -> None:
    """What a manager of the same name in another cluster made is left alone, in the widest scope too."""
    other = trial.context(cluster="b")
    (unit,) = trial.started(other)
    trial.until_seen(unit.id)
    context = trial.context()
    before = trial.seen_ids()
    trial.cleanup(context, Scope.CLUSTER)
    expect(before <= trial.seen_ids(), f"it deleted {sorted(before - trial.seen_ids())}")


@rule("Delete by the owner's tag, never by a name that looks right.", needs=("plant",))
def cleanup_never_touches_what_has_no_owner(trial: Trial) -> None:
    """What looks like the driver's own and has no owner's tag is somebody else's."""
    assert trial.case.plant is not None
    planted = trial.case.plant()
    context = trial.context()
    _used(trial, context)
    for scope in Scope:
        trial.cleanup(context, scope)
        expect(planted in {each.infrastructure_id for each in trial.case.look()}, f"it deleted {planted}")
    shown = {unit.infrastructure_id for unit in trial.heartbeat(context)}
    expect(planted not in shown, "a heartbeat shows it as this owner's")


@rule("In Scope.RUN compare the generation too.")
def cleanup_of_a_run_leaves_what_other_runs_made(trial: Trial) -> None:
    """Scope.RUN is what this start of the manager made: what an earlier one made may still be of use."""
    earlier = trial.context()
    _used(trial, earlier)
    trial.forget(earlier)
    before = trial.seen_ids()
    trial.cleanup(trial.context(generation=2), Scope.RUN)
    expect(before <= trial.seen_ids(), f"it deleted {sorted(before - trial.seen_ids())}")


@rule("In Scope.CLUSTER compare the cluster alone, and end the units that are found, before what they depend on.")
def cleanup_of_the_cluster_takes_all_managers_wound_6(trial: Trial) -> None:
    """Scope.CLUSTER is for managers that will never come back: all that they made goes, their units too."""
    lost = trial.context(manager="two")
    (unit,) = trial.started(lost)
    trial.until_seen(unit.id)
    trial.forget(lost)
    trial.cleanup(trial.context(), Scope.CLUSTER)
    trial.until(lambda: not trial.seen_ids(), lambda: f"there are still {sorted(trial.seen_ids())}")
