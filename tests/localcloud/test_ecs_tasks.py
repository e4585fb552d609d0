"""Tasks really run: their states, ends, signals and outputs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from commands import PATIENCE
from ecs_cloud import CLUSTER, POLICY, SLEEP, EcsCloud, container
from scaler.testing.localcloud import LocalCloud

IGNORES_TERM = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"]
ENDS_AT_TERM = ["sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"]


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def logging(group: str = "/ecs/tests", **more: str) -> dict[str, Any]:
    options = {"awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "ecs", **more}
    return {"logDriver": "awslogs", "options": options}


@pytest.fixture(scope="module")
def cloud_options() -> dict[str, Any]:
    """Roles are seen at once."""
    return {"iam_seconds": 0}


@pytest.fixture
def logged(ecs: EcsCloud) -> str:
    """A definition whose container's output goes into the group /ecs/tests."""
    ecs.cloud.client("logs").create_log_group(logGroupName="/ecs/tests")
    role = ecs.role("execution", POLICY)
    return ecs.register("logged", container(logConfiguration=logging(), stopTimeout=120), executionRoleArn=role)


def messages(cloud: LocalCloud, group: str = "/ecs/tests") -> list[str]:
    return [each["message"] for each in cloud.client("logs").filter_log_events(logGroupName=group)["events"]]


def wait_for_message(cloud: LocalCloud, text: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while text not in messages(cloud):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_task_goes_through_all_states_and_ends_with_its_exit_code(ecs: EcsCloud) -> None:
    arn = ecs.run(ecs.register(), shell("exit 3"))
    seen = []
    while not seen or seen[-1] != "STOPPED":
        [task] = ecs.describe(arn)
        if task["lastStatus"] not in seen:
            seen.append(task["lastStatus"])
    order = ["PROVISIONING", "PENDING", "RUNNING", "DEPROVISIONING", "STOPPED"]
    assert seen == [each for each in order if each in seen]
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["stoppedReason"] == "Essential container in task exited"
    [main] = task["containers"]
    assert (main["exitCode"], main["lastStatus"]) == (3, "STOPPED")
    times = ["createdAt", "pullStartedAt", "startedAt", "executionStoppedAt", "stoppedAt"]
    assert [task[each] for each in times] == sorted(task[each] for each in times)
    assert task["desiredStatus"] == "STOPPED"


def test_a_new_task_is_described_as_aws_does_it(ecs: EcsCloud) -> None:
    definition = ecs.register()
    [task] = ecs.run_task(definition, SLEEP, startedBy="me", tags=[{"key": "a", "value": "b"}])["tasks"]
    assert task["lastStatus"] == "PROVISIONING"
    assert task["desiredStatus"] == "RUNNING"
    assert task["launchType"] == "FARGATE"
    assert task["taskDefinitionArn"] == definition
    assert (task["cpu"], task["memory"]) == ("256", "512")
    assert (task["group"], task["startedBy"]) == ("family:tasks", "me")
    assert task["taskArn"].startswith(f"{task['clusterArn'].replace(':cluster/', ':task/')}/")
    assert task["tags"] == [{"key": "a", "value": "b"}]
    [running] = ecs.wait("RUNNING", task["taskArn"])
    assert "tags" not in running or running["tags"] == []
    [running] = ecs.describe(task["taskArn"], include=["TAGS"])
    assert running["tags"] == [{"key": "a", "value": "b"}]
    details = {each["name"]: each["value"] for each in running["attachments"][0]["details"]}
    assert details["subnetId"] == ecs.cloud.subnet
    found = ecs.cloud.client("ec2").describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])
    assert found["NetworkInterfaces"][0]["PrivateIpAddress"] == details["privateIPv4Address"]


def test_a_container_has_its_own_environment_and_nothing_of_the_servers(
    ecs: EcsCloud, logged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"name": "main", "command": ["env"], "environment": [{"name": "OWN", "value": "1 2"}]}
    ecs.ended(logged, overrides={"containerOverrides": [own]})
    found = dict(each.split("=", 1) for each in messages(ecs.cloud))
    assert found.pop("OWN") == "1 2"
    assert found.pop("AWS_ENDPOINT_URL") == ecs.cloud.endpoint
    of_aws = {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV", "ECS_CONTAINER_METADATA_URI_V4"}
    assert set(found) <= {"PATH", "HOME", "LANG", "TMPDIR", "PWD"} | of_aws


def test_a_container_is_its_task_role_for_aws(ecs: EcsCloud, logged: str) -> None:
    role = ecs.role("task", "arn:aws:iam::aws:policy/AmazonECS_FullAccess")
    definition = ecs.register(
        "task",
        container(logConfiguration=logging()),
        taskRoleArn=role,
        executionRoleArn=role.replace("task", "execution"),
    )
    program = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    task = ecs.ended(definition, ["python", "-c", program])
    arn = f"arn:aws:sts::123456789012:assumed-role/task/{task['taskArn'].rpartition('/')[2]}"
    assert messages(ecs.cloud) == [arn]


def test_a_container_can_ask_about_its_task(ecs: EcsCloud, logged: str) -> None:
    address = "os.environ['ECS_CONTAINER_METADATA_URI_V4'] + '/task'"
    program = f"import os, urllib.request; print(urllib.request.urlopen({address}).read().decode())"
    task = ecs.ended(logged, ["python", "-c", program])
    told = json.loads(messages(ecs.cloud)[0])
    assert told["TaskARN"] == task["taskArn"]
    assert (told["Family"], told["Containers"][0]["Name"]) == ("logged", "main")


def test_an_override_of_the_environment_adds_and_replaces(ecs: EcsCloud) -> None:
    given = [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]
    definition = ecs.register("tasks", container(environment=given, command=shell('exit "$A$B$C"')))
    own = {"name": "main", "environment": [{"name": "B", "value": "2"}, {"name": "C", "value": "3"}]}
    assert ecs.ended(definition, overrides={"containerOverrides": [own]})["containers"][0]["exitCode"] == 123


def test_an_image_without_a_command_runs_what_the_variable_says(ecs: EcsCloud) -> None:
    own = {"name": "main", "environment": [{"name": "COMMAND", "value": "exit 5"}]}
    task = ecs.ended(ecs.register(), overrides={"containerOverrides": [own]})
    assert task["containers"][0]["exitCode"] == 5


def test_an_image_may_be_a_folder_of_programs_with_an_entry_point(ecs: EcsCloud, tmp_path: Path) -> None:
    for name, text in {"entrypoint": '#!/bin/sh\nprogram && exec "$@"\n', "program": "#!/bin/sh\nexit 0\n"}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    ecs.cloud.do("image", image=f"*/own:*={tmp_path}")
    definition = ecs.register("tasks", container(image="registry.example/own:1"))
    assert ecs.ended(definition, shell("exit 9"))["containers"][0]["exitCode"] == 9


def test_stop_is_a_signal_and_the_container_decides_how_it_ends(ecs: EcsCloud, logged: str) -> None:
    arn = ecs.run(logged, ENDS_AT_TERM)
    wait_for_message(ecs.cloud, "ready")
    answer = ecs.stop(arn, reason="enough")
    assert (answer["desiredStatus"], answer["lastStatus"]) == ("STOPPED", "RUNNING")
    [task] = ecs.wait("STOPPED", arn)
    assert task["containers"][0]["exitCode"] == 7
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")


def test_stop_goes_to_the_first_process_alone(ecs: EcsCloud, logged: str) -> None:
    """As an engine does it: an init process or `exec` is what passes signals on."""
    arn = ecs.run(logged, shell("trap 'wait; exit 4' TERM; (trap 'echo child' TERM; echo ready; sleep 0.5) & wait"))
    wait_for_message(ecs.cloud, "ready")
    ecs.stop(arn)
    [task] = ecs.wait("STOPPED", arn)
    assert task["containers"][0]["exitCode"] == 4
    assert "child" not in messages(ecs.cloud)


def test_who_does_not_end_is_killed_after_its_stop_timeout(ecs: EcsCloud, logged: str) -> None:
    main = container(stopTimeout=2, logConfiguration=logging())
    definition = ecs.register("tasks", main, executionRoleArn=ecs.role("other", POLICY))
    arn = ecs.run(definition, IGNORES_TERM)
    wait_for_message(ecs.cloud, "ready")
    ecs.stop(arn)
    [task] = ecs.wait("STOPPED", arn)
    assert task["containers"][0]["exitCode"] == 128 + signal.SIGKILL
    assert task["stoppedReason"] == "Task stopped by user"


def test_a_stopped_task_can_be_stopped_again_and_stays_as_it_was(ecs: EcsCloud) -> None:
    before = ecs.ended(ecs.register(), shell("exit 1"))
    again = ecs.stop(before["taskArn"], reason="late")
    assert again["stoppedReason"] == before["stoppedReason"]


def test_a_task_that_is_stopped_before_it_runs_never_runs(ecs: EcsCloud) -> None:
    arn = ecs.run(ecs.register(), SLEEP)
    ecs.stop(arn)
    [task] = ecs.wait("STOPPED", arn)
    assert "exitCode" not in task["containers"][0]
    assert "startedAt" not in task


def test_stop_takes_the_tasks_tags(ecs: EcsCloud) -> None:
    arn = ecs.run(ecs.register(), SLEEP, tags=[{"key": "a", "value": "b"}])
    ecs.stop(arn)
    [task] = ecs.describe(arn, include=["TAGS"])
    assert task["tags"] == []


def test_what_a_container_leaves_behind_ends_with_it(ecs: EcsCloud, logged: str) -> None:
    ecs.ended(logged, shell("sleep 1000 & echo $!"))
    [pid] = messages(ecs.cloud)
    deadline = time.monotonic() + PATIENCE
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(int(pid), 0)
            assert time.monotonic() < deadline


def test_the_end_of_an_essential_container_ends_the_others(ecs: EcsCloud) -> None:
    side = container(name="side", essential=False, command=SLEEP)
    definition = ecs.register("two", container(command=shell("exit 2")), side)
    task = ecs.ended(definition)
    codes = {each["name"]: each["exitCode"] for each in task["containers"]}
    assert codes == {"main": 2, "side": 128 + signal.SIGTERM}


def test_the_end_of_another_container_ends_nothing(ecs: EcsCloud) -> None:
    side = container(name="side", essential=False, command=shell("exit 2"))
    definition = ecs.register("two", container(command=SLEEP), side)
    arn = ecs.run(definition)
    deadline = time.monotonic() + PATIENCE
    while "exitCode" not in (task := ecs.wait("RUNNING", arn)[0])["containers"][1]:
        assert time.monotonic() < deadline
    assert task["lastStatus"] == "RUNNING"


def test_a_program_that_is_not_there_fails_the_task(ecs: EcsCloud) -> None:
    task = ecs.ended(ecs.register(), ["no-such-program"])
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotStartContainerError")
    assert "executable file not found in $PATH" in task["containers"][0]["reason"]


def test_a_crashed_machine_is_an_exit_by_kill(ecs: EcsCloud) -> None:
    arn = ecs.run(ecs.register(), SLEEP)
    ecs.wait("RUNNING", arn)
    ecs.cloud.do("kill_task", task=arn)
    [task] = ecs.wait("STOPPED", arn)
    assert task["containers"][0]["exitCode"] == 137
    assert task["stoppedReason"] == "Essential container in task exited"


def test_a_spot_task_is_interrupted_with_a_signal(ecs: EcsCloud, logged: str) -> None:
    arn = ecs.run(logged, ENDS_AT_TERM, capacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT"}])
    wait_for_message(ecs.cloud, "ready")
    ecs.cloud.do("interrupt", task=arn)
    [task] = ecs.wait("STOPPED", arn)
    assert task["capacityProviderName"] == "FARGATE_SPOT"
    assert (task["stopCode"], task["stoppedReason"]) == ("SpotInterruption", "Your Spot Task was interrupted.")
    assert task["containers"][0]["exitCode"] == 7


def test_a_hundred_tasks_run_at_a_time(ecs: EcsCloud) -> None:
    definition = ecs.register()
    arns = [each["taskArn"] for _ in range(10) for each in ecs.run_task(definition, SLEEP, count=10)["tasks"]]
    running = ecs.wait("RUNNING", *arns)
    assert [each["lastStatus"] for each in running] == ["RUNNING"] * 100
    described = ecs.ecs.describe_clusters(clusters=[CLUSTER])["clusters"][0]
    assert (described["runningTasksCount"], described["pendingTasksCount"]) == (100, 0)
    for each in arns:
        ecs.stop(each)
    stopped = ecs.wait("STOPPED", *arns)
    assert {each["containers"][0]["exitCode"] for each in stopped} == {128 + signal.SIGTERM}


def test_output_is_seen_in_the_logs_while_the_task_runs(ecs: EcsCloud, logged: str) -> None:
    arn = ecs.run(logged, shell("echo one; echo two >&2; sleep 1000"))
    wait_for_message(ecs.cloud, "two")
    logs = ecs.cloud.client("logs")
    [stream] = logs.describe_log_streams(logGroupName="/ecs/tests")["logStreams"]
    assert stream["logStreamName"] == f"ecs/main/{arn.rpartition('/')[2]}"
    events = logs.get_log_events(logGroupName="/ecs/tests", logStreamName=stream["logStreamName"])["events"]
    assert [each["message"] for each in events] == ["one", "two"]


def test_the_last_line_is_logged_though_it_has_no_end(ecs: EcsCloud, logged: str) -> None:
    ecs.ended(logged, shell("printf 'first\\nlast'"))
    assert messages(ecs.cloud) == ["first", "last"]


def test_the_logs_group_must_be_there(ecs: EcsCloud, logged: str) -> None:
    ecs.cloud.client("logs").delete_log_group(logGroupName="/ecs/tests")
    task = ecs.ended(logged, shell("exit 0"))
    assert task["stopCode"] == "TaskFailedToStart"
    assert "ResourceNotFoundException: The specified log group does not exist." in task["stoppedReason"]
    assert task["stoppedReason"].startswith("ResourceInitializationError: failed to validate logger args")


def test_the_logs_group_is_made_where_the_driver_may(ecs: EcsCloud) -> None:
    role = ecs.role("execution", POLICY, "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess")
    main = container(logConfiguration=logging("/ecs/new", **{"awslogs-create-group": "true"}))
    ecs.ended(ecs.register("tasks", main, executionRoleArn=role), shell("echo here"))
    assert messages(ecs.cloud, "/ecs/new") == ["here"]


def test_a_role_without_its_policy_cannot_log(ecs: EcsCloud) -> None:
    ecs.cloud.client("logs").create_log_group(logGroupName="/ecs/tests")
    role = ecs.role("bare")
    definition = ecs.register("tasks", container(logConfiguration=logging()), executionRoleArn=role)
    task = ecs.ended(definition, shell("exit 0"))
    assert "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/bare/" in task["stoppedReason"]
    assert "is not authorized to perform: logs:CreateLogStream on resource: " in task["stoppedReason"]


def test_a_role_without_its_policy_cannot_pull(ecs: EcsCloud) -> None:
    role = ecs.role("bare")
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/worker:latest"
    task = ecs.ended(ecs.register("tasks", container(image=image), executionRoleArn=role), shell("exit 0"))
    assert task["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets or registry auth")
    assert "ecr:GetAuthorizationToken" in task["stoppedReason"]


PRIVATE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/no-such:1"


@pytest.mark.parametrize("image", ["no-such/image:1", "Not An Image", PRIVATE])
def test_an_image_that_is_not_there_fails_the_task(ecs: EcsCloud, image: str) -> None:
    role = ecs.role("execution", POLICY)
    with ecs.cloud.fault("pull:image=*no-such*"):
        task = ecs.ended(ecs.register("tasks", container(image=image), executionRoleArn=role), shell("exit 0"))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"] == (
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
        f"failed to resolve ref {image}: {image}: not found"
    )


def test_without_a_way_out_nothing_is_pulled(ecs: EcsCloud) -> None:
    ecs.cloud.do("route", open=False)
    assert "i/o timeout" in ecs.ended(ecs.register(), shell("exit 0"))["stoppedReason"]
    role = ecs.role("execution", POLICY)
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/worker:latest"
    task = ecs.ended(ecs.register("own", container(image=image), executionRoleArn=role), shell("exit 0"))
    assert task["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets or registry auth")
    assert "i/o timeout" in task["stoppedReason"]


def test_a_public_subnet_without_a_public_address_leads_nowhere(ecs: EcsCloud) -> None:
    network = {"awsvpcConfiguration": {"subnets": [ecs.cloud.subnet], "assignPublicIp": "DISABLED"}}
    task = ecs.ended(ecs.register(), shell("exit 0"), networkConfiguration=network)
    assert "i/o timeout" in task["stoppedReason"]


def test_stopped_tasks_are_forgotten(folders: Path) -> None:
    with LocalCloud(stopped_seconds=0.2) as cloud:
        ecs = EcsCloud(cloud)
        arn = ecs.run(ecs.register(), shell("exit 0"))
        deadline = time.monotonic() + PATIENCE
        while ecs.describe(arn):
            assert time.monotonic() < deadline
        answer = ecs.ecs.describe_tasks(cluster=CLUSTER, tasks=[arn])
        assert answer["failures"] == [{"arn": arn, "reason": "MISSING"}]


def test_new_tasks_may_not_be_seen_for_a_while(folders: Path) -> None:
    with LocalCloud(ecs_seconds=3600) as cloud:
        ecs = EcsCloud(cloud)
        arn = ecs.run(ecs.register(), SLEEP)
        assert ecs.describe(arn) == []
        assert ecs.ecs.list_tasks(cluster=CLUSTER)["taskArns"] == []
        with pytest.raises(ClientError, match="referenced task was not found"):
            ecs.stop(arn)
