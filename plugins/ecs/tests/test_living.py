"""Tasks while they live, and what is told when they do not."""

import logging
from pathlib import Path
from typing import Any

import pytest
from clouds import tasks, until
from driving import Driven, group_of
from scaler.managers.api import DriverError, Owner, TemporaryError, UnitState
from scaler.testing.localcloud import LocalCloud
from scaler_plugin_ecs.launching import token_of


def test_group_is_asked_for_under_its_token_tags_and_owner(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    driven = Driven(options, tmp_path)
    driven.start("g-1")
    (call,) = cloud.calls("ecs:RunTask")
    given = call["parameters"]
    owner = driven.context.owner
    assert given["count"] == 1
    assert given["clientToken"] == token_of(owner, "g-1")
    assert given["startedBy"] == owner.hash
    tags = {each["key"]: each["value"] for each in given["tags"]}
    assert tags == {**owner.tags(), "scaler:group": "g-1"}


def test_second_start_with_a_newer_join_token_finds_the_first_task(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    first = Driven(options, tmp_path).start_group(group_of("g-1", SCALER_KEY="ticket-1"))
    again = Driven(options, tmp_path, generation=2).start_group(group_of("g-1", SCALER_KEY="ticket-2"))
    assert again.infrastructure_id == first.infrastructure_id
    assert len(tasks(cloud)) == 1


def test_a_units_life_takes_three_calls_and_heartbeats_one_for_all(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    driven = Driven(options, tmp_path)
    names = [f"g-{each}" for each in range(12)]
    driven.start(*names)
    until(lambda: all(each.state is UnitState.RUNNING for each in driven.units().values()))
    before = len(cloud.calls())
    driven.units()
    # The list of every tenth heartbeat may be among them.
    assert len(cloud.calls()) - before in (1, 2)
    driven.end()
    # Nothing is known any more: nothing is asked.
    assert driven.units() == {}
    assert len(cloud.calls("ecs:RunTask")) == len(cloud.calls("ecs:StopTask")) == len(names)


def test_refusal_of_a_call_is_told_with_its_option(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    driven = Driven({**options, "ecs_subnets": "subnet-0abc1234def56789a"}, tmp_path)
    (unit,) = driven.start("g-1")
    assert unit.state is UnitState.FAILED
    assert "subnet-0abc1234def56789a" in unit.detail
    assert "--ecs-subnets" in unit.detail


def test_command_that_is_too_long_is_told_before_aws_is_asked(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    driven = Driven(options, tmp_path)
    unit = driven.start_group(group_of("g-1", "tcp://127.0.0.1:1", "x" * 9000))
    assert unit.state is UnitState.FAILED
    assert "AWS takes 8192" in unit.detail
    assert cloud.calls("ecs:RunTask") == []


def test_no_capacity_is_for_later(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    driven = Driven(options, tmp_path)
    with cloud.fault("capacity"), pytest.raises(TemporaryError, match="Capacity is unavailable"):
        driven.start("g-1")
    driven.start("g-1")
    driven.until_running("g-1")


def test_spot_capacity_that_is_refused_too_often_is_taken_on_demand_and_said(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driven = Driven({**options, "capacity_provider": "FARGATE_SPOT", "spot_fallback": 2}, tmp_path)
    with cloud.fault("capacity:match=FARGATE_SPOT"), caplog.at_level(logging.WARNING):
        with pytest.raises(TemporaryError):
            driven.start("g-1")
        driven.start("g-1")
    (task,) = tasks(cloud)
    assert (task["launchType"], task.get("capacityProviderName")) == ("FARGATE", None)
    assert "g-1 is started on demand: Spot capacity was refused 2 times" in caplog.text
    driven.start("g-2")
    assert [each.get("capacityProviderName") for each in tasks(cloud)] == [None, "FARGATE_SPOT"]


def test_spot_that_never_falls_back_waits(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    driven = Driven({**options, "capacity_provider": "FARGATE_SPOT", "spot_fallback": 0}, tmp_path)
    with cloud.fault("capacity:match=FARGATE_SPOT"):
        for _ in range(5):
            with pytest.raises(TemporaryError):
                driven.start("g-1")
    assert tasks(cloud) == []


def test_interrupted_spot_task_is_gone_and_says_so(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    driven = Driven({**options, "capacity_provider": "FARGATE_SPOT"}, tmp_path)
    (unit,) = driven.start("g-1")
    driven.until_running("g-1")
    cloud.do("interrupt", task=unit.infrastructure_id)
    ended = driven.until_ended("g-1")
    assert ended.state is UnitState.GONE
    assert ended.detail.startswith("Your Spot Task was interrupted")


def test_image_that_cannot_be_pulled_is_told_with_its_mend(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    driven = Driven(options, tmp_path)
    with cloud.fault("pull:image=stand-in*"):
        driven.start("g-1")
        ended = driven.until_ended("g-1")
    assert ended.state is UnitState.FAILED
    assert ended.detail.startswith("CannotPullContainerError")
    assert "--ecs-task-image" in ended.detail


def test_subnet_without_a_way_out_is_told_with_its_mend(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    cloud.do("route", open=False)
    driven = Driven(options, tmp_path)
    driven.start("g-1")
    ended = driven.until_ended("g-1")
    assert "i/o timeout" in ended.detail
    assert "NAT gateway" in ended.detail


def image(cloud: LocalCloud, tmp_path: Path, script: str) -> dict[str, str]:
    """An image whose agent does that."""
    folder = tmp_path / "image"
    folder.mkdir()
    agent = folder / "scaler_cluster"
    agent.write_text(f"#!/bin/sh\n{script}\n")
    agent.chmod(0o755)
    cloud.do("image", image=f"other*={folder}")
    return {"ecs_task_image": "other:1"}


def test_agent_that_fails_is_told_with_its_last_words(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    script = "echo 'error: Nobody answers at this address.'; echo '  where: tcp://10.0.0.1:8516'; exit 2"
    driven = Driven({**options, **image(cloud, tmp_path, script)}, tmp_path)
    driven.start("g-1")
    ended = driven.until_ended("g-1")
    assert ended.state is UnitState.FAILED
    assert "exit code 2" in ended.detail
    assert "Nobody answers at this address. | where: tcp://10.0.0.1:8516" in ended.detail
    assert "--worker-scheduler-address" in ended.detail
    # It stays, without another call, until it may be forgotten.
    before = len(cloud.calls("logs:FilterLogEvents"))
    assert driven.units()["g-1"] == ended
    assert len(cloud.calls("logs:FilterLogEvents")) == before
    driven.shutdown("g-1")
    assert driven.units() == {}


def test_output_that_may_not_be_read_is_left_out_with_one_line(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driven = Driven({**options, **image(cloud, tmp_path, "echo words; exit 3")}, tmp_path)
    with cloud.fault("denied:operation=FilterLogEvents"), caplog.at_level(logging.WARNING):
        driven.start("g-1", "g-2")
        for name in ("g-1", "g-2"):
            assert "exit code 3" in driven.until_ended(name).detail
    assert caplog.text.count("logs:FilterLogEvents is not allowed") == 1


def test_agent_that_ends_in_peace_has_succeeded(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    driven = Driven({**options, **image(cloud, tmp_path, "exit 0")}, tmp_path)
    driven.start("g-1")
    assert driven.until_ended("g-1").state is UnitState.SUCCEEDED


def test_lost_answer_is_asked_for_again_at_once(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    driven = Driven(options, tmp_path)
    with cloud.fault("drop:operation=RunTask,count=1"):
        (unit,) = driven.start("g-1")
    assert [each["taskArn"] for each in tasks(cloud)] == [unit.infrastructure_id]


def test_answers_that_stay_lost_are_found_by_the_next_heartbeat(
    cloud: LocalCloud, options: dict[str, Any], tmp_path: Path
) -> None:
    driven = Driven(options, tmp_path)
    assert driven.units() == {}
    with cloud.fault("drop:operation=RunTask"), pytest.raises(DriverError):
        driven.start("g-1")
    assert set(driven.units()) == {"g-1"}


def test_role_that_ecs_does_not_see_yet_is_for_later(stand_in: Path, tmp_path: Path, monkeypatch: Any) -> None:
    with LocalCloud(step_seconds=0.02, iam_seconds=3600.0, images=[f"stand-in*={stand_in}"]) as cloud:
        for name, value in cloud.environment.items():
            monkeypatch.setenv(name, value)
        driven = Driven({"ecs_subnets": cloud.subnet}, tmp_path)
        with pytest.raises(TemporaryError, match="was made a moment ago, and ECS does not see it yet"):
            driven.start("g-1")


def test_another_owners_task_is_an_unknown_id(cloud: LocalCloud, options: dict[str, Any], tmp_path: Path) -> None:
    other = Driven(options, tmp_path, "other")
    other.start("g-1")
    driven = Driven(options, tmp_path)
    driven.shutdown("g-1")
    assert driven.units() == {}
    other.until_running("g-1")
    assert driven.context.owner.hash != Owner(driven.context.owner.cluster, "other").hash
