"""What is made, whose it is, and that it goes again."""

from pathlib import Path
from typing import Any, cast

from clouds import tasks
from driving import Driven
from scaler.managers.api import Context, Scope, UnitState
from scaler.testing.localcloud import LocalCloud
from scaler_plugin_ecs.cleaning import Cleaning
from scaler_plugin_ecs.clients import Aws
from scaler_plugin_ecs.errors import Refused
from scaler_plugin_ecs.options import EcsOptions
from scaler_plugin_ecs.record import Record, names_of
from scripted import LOG, OWNER, Scripted

MADE = ["cluster", "log group", "role", "task definition"]


def used(driven: Driven, name: str = "g-1") -> Driven:
    """It has had a task."""
    driven.start(name)
    driven.until_running(name)
    driven.end(name)
    return driven


def kinds(found: Any) -> list[str]:
    return sorted(each.kind for each in found)


def test_a_run_deletes_what_it_made(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    driven = used(Driven(options, tmp_path))
    assert [kind.split()[0] for kind in cloud.leftovers()] != []
    assert kinds(driven.cleanup(dry_run=True)) == MADE
    found = driven.cleanup()
    assert kinds(found) == MADE
    assert {each.outcome for each in found} == {"deleted"}
    assert cloud.leftovers() == []
    assert driven.cleanup(Scope.MANAGER) == []


def test_a_run_that_used_nothing_asks_nothing(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    used(Driven(options, tmp_path))
    later = Driven(options, tmp_path, generation=2)
    before = len(cloud.calls())
    assert later.cleanup() == []
    assert len(cloud.calls()) == before


def test_a_run_deletes_what_an_earlier_one_made_and_it_has_used(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    used(Driven(options, tmp_path))
    later = used(Driven(options, tmp_path, generation=2), "g-2")
    # Nothing was made a second time.
    assert len(cloud.calls("ecs:RegisterTaskDefinition")) == len(cloud.calls("ecs:CreateCluster")) == 1
    assert kinds(later.cleanup()) == MADE
    assert cloud.leftovers() == []


def test_a_run_that_only_adopted_tasks_deletes_what_they_used(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    Driven(options, tmp_path).start("g-1")
    later = Driven(options, tmp_path, generation=2)
    assert set(later.units()) == {"g-1"}
    later.end()
    later.cleanup()
    assert cloud.leftovers() == []


def test_what_was_made_under_other_names_is_found_by_the_record(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    used(Driven({**options, "ecs_cluster": "old", "ecs_task_definition": "old", "ecs_log_group": "/old"}, tmp_path))
    later = Driven(options, tmp_path, generation=2)
    assert kinds(later.cleanup(Scope.MANAGER)) == MADE
    assert cloud.leftovers() == []


def test_without_the_record_the_names_of_the_options_are_looked_at(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    used(Driven(options, tmp_path))
    elsewhere = tmp_path / "another machine"
    elsewhere.mkdir()
    assert kinds(Driven(options, elsewhere).cleanup(Scope.MANAGER)) == MADE
    assert cloud.leftovers() == []


def test_every_revision_that_was_made_goes(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    used(Driven(options, tmp_path))
    used(Driven({**options, "ecs_task_memory": 1}, tmp_path, generation=2), "g-2")
    last = used(Driven({**options, "ecs_task_memory": 2}, tmp_path, generation=3), "g-3")
    assert kinds(last.cleanup()).count("task definition") == 3
    assert cloud.leftovers() == []


def test_what_a_living_task_may_need_is_left_and_said(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    used(driven := Driven(options, tmp_path))
    other = Driven(options, tmp_path, "other")
    other.start("g-2")
    found = driven.cleanup()
    assert kinds(found) == MADE
    assert {each.outcome for each in found} == {"left: tasks that live in the cluster scaler-cluster may need it: 1"}
    # It had not begun to run.
    other.until_running("g-2")
    other.end()
    assert {each.outcome for each in driven.cleanup()} == {"deleted"}
    assert cloud.leftovers() == []


def test_what_another_manager_deleted_meanwhile_is_made_again(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    one, two = Driven(options, tmp_path, "one"), Driven(options, tmp_path, "two")
    used(one)
    # It has made nothing itself.
    used(two)
    assert kinds(one.cleanup()) == MADE
    (unit,) = two.start("g-2")
    assert unit.state is UnitState.PENDING, unit
    two.until_running("g-2")
    two.end()
    two.cleanup()
    assert cloud.leftovers() == []


def test_log_group_that_was_deleted_is_made_again_for_the_next_task(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("scaler_plugin_ecs.preparing.IAM_SECONDS", 0.0)
    driven = Driven(options, tmp_path)
    used(driven)
    cloud.client("logs").delete_log_group(logGroupName="/ecs/scaler")
    driven.start("g-2")
    failed = driven.until_ended("g-2")
    assert failed.state is UnitState.FAILED
    assert "--ecs-log-group" in failed.detail
    driven.shutdown("g-2")
    driven.start("g-3")
    driven.until_running("g-3")
    driven.end()
    driven.cleanup()
    assert cloud.leftovers() == []


def test_all_of_a_cluster_goes_tasks_first(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    Driven(options, tmp_path, "lost").start("g-1")
    Driven(options, tmp_path, "foreign", cluster="f" * 16).start("g-1")
    found = Driven(options, tmp_path).cleanup(Scope.CLUSTER)
    # The other cluster's task keeps the ECS cluster, and what it may need besides.
    assert [each.kind for each in found if each.outcome == "deleted"] == ["task"]
    assert kinds(each for each in found if each.outcome.startswith("left: ")) == MADE
    (alive,) = [each for each in tasks(cloud) if each["desiredStatus"] == "RUNNING"]
    assert {"key": "scaler:cluster", "value": "f" * 16} in alive["tags"]


def test_nothing_without_the_owners_tags_is_deleted(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    cloud.client("ecs").create_cluster(clusterName="scaler-cluster")
    cloud.client("logs").create_log_group(logGroupName="/ecs/scaler")
    there = {each["id"] for each in cloud.resources() if each["left"]}
    driven = used(Driven(options, tmp_path))
    assert kinds(driven.cleanup()) == ["role", "task definition"]
    for scope in Scope:
        driven.cleanup(scope)
    assert {each["id"] for each in cloud.resources() if each["left"]} == there


def test_what_cannot_be_deleted_is_left_and_said(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    driven = used(Driven(options, tmp_path))
    with cloud.fault("denied:operation=DeleteRole"):
        (left,) = [each for each in driven.cleanup() if each.outcome != "deleted"]
    assert left.kind == "role"
    assert "iam:DeleteRole" in left.outcome
    assert kinds(driven.cleanup()) == ["role"]
    assert cloud.leftovers() == []


def test_a_tenth_of_all_calls_may_fail(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    """Nobody calls a second time when a manager ends."""
    driven = used(Driven(options, tmp_path))
    with cloud.fault("any:rate=0.3"):
        assert {each.outcome for each in driven.cleanup()} == {"deleted"}
    assert cloud.leftovers() == []


def test_cluster_that_is_being_changed_is_deleted_when_that_is_done(tmp_path: Path) -> None:
    context = Context(OWNER, EcsOptions(ecs_subnets=("subnet-1",)), LOG, state_directory=tmp_path)
    aws = Scripted(DeleteCluster=[Refused("ecs:DeleteCluster", "UpdateInProgressException", "busy"), {}])
    cleaning = Cleaning(cast("Aws", aws), context, Record(tmp_path), Scope.MANAGER)
    cleaning._delete_cluster(names_of(context.options))
    assert len(aws.calls["DeleteCluster"]) == 2
