"""Batch: a job's life, from SUBMITTED to its process's exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from batch_site import Site, until
from scaler.testing.localcloud import LocalCloud


@pytest.fixture(scope="module")
def cloud_options() -> dict[str, Any]:
    # A minute of a time-out is half a second. What does not end by SIGTERM has a second.
    return {"batch_minute_seconds": 0.5, "grace_seconds": 1.0}


@pytest.fixture
def site(cloud: LocalCloud) -> Iterator[Site]:
    site = Site(cloud)
    yield site
    site.close()


def test_job_runs_its_command_and_ends_with_its_exit_code(site: Site) -> None:
    done = site.run("sh", "-c", "echo out; echo err >&2")
    assert done["status"] == "SUCCEEDED"
    assert done["statusReason"] == "Essential container in task exited"
    assert done["container"]["exitCode"] == 0
    assert done["createdAt"] <= done["startedAt"] <= done["stoppedAt"]
    assert sorted(site.logs(done)) == ["err", "out"]

    failed = site.run("sh", "-c", "exit 7")
    assert failed["status"] == "FAILED"
    assert failed["statusReason"] == "Essential container in task exited"
    assert failed["container"]["exitCode"] == 7
    assert [each["container"]["exitCode"] for each in failed["attempts"]] == [7]


def test_job_is_seen_in_each_state_that_takes_long(site: Site) -> None:
    name = site.submit(site.define("waits", "sleep", "1000"))
    seen: list[str] = []

    def look() -> str:
        status = site.status(name)
        if status not in seen:
            seen.append(status)
        return status

    until(look, "RUNNING")
    order = ["SUBMITTED", "RUNNABLE", "STARTING", "RUNNING"]
    assert seen == [each for each in order if each in seen]
    assert "exitCode" not in site.job(name)["container"]
    site.batch.terminate_job(jobId=name, reason="enough")
    site.ended(name)


def test_parameters_are_put_in_and_the_definition_has_the_defaults(site: Site) -> None:
    definition = site.define("p", "echo", "Ref::first", "Ref::second", "x", parameters={"first": "1", "second": "2"})
    assert site.logs(site.ended(site.submit(definition, parameters={"second": "two words"}))) == ["1 two words x"]


def test_job_has_its_own_environment_and_what_batch_gives_it(site: Site) -> None:
    definition = site.define("env", "env", environment=[{"name": "A", "value": "1"}, {"name": "B", "value": "1"}])
    override = {"environment": [{"name": "B", "value": "2"}]}
    done = site.ended(site.submit(definition, containerOverrides=override))
    has = dict(line.partition("=")[::2] for line in site.logs(done))
    assert (has["A"], has["B"]) == ("1", "2")
    assert has["AWS_BATCH_JOB_ID"] == done["jobId"]
    assert has["AWS_BATCH_JOB_ATTEMPT"] == "1"
    assert has["AWS_BATCH_JQ_NAME"] == site.queue
    assert has["AWS_BATCH_CE_NAME"] == site.environment
    assert has["AWS_ENDPOINT_URL"] == site.cloud.endpoint
    assert has["AWS_DEFAULT_REGION"] == "us-east-1"
    assert "AWS_ACCESS_KEY_ID" not in has
    assert "AWS_BATCH_JOB_ARRAY_INDEX" not in has


def test_command_of_the_request_replaces_the_definitions(site: Site) -> None:
    name = site.submit(site.define("c", "echo", "definition"), containerOverrides={"command": ["echo", "request"]})
    assert site.logs(site.ended(name)) == ["request"]


def test_job_acts_as_its_role(site: Site) -> None:
    role = site.make_role("job-role", "ecs-tasks.amazonaws.com")
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    definition = site.define("who", sys.executable, "-c", code, jobRoleArn=role)
    until(lambda: (done := site.ended(site.submit(definition)))["status"] == "SUCCEEDED" and _said(site, done), True)


def test_job_may_do_what_its_role_may(site: Site) -> None:
    role = site.make_role("job-role", "ecs-tasks.amazonaws.com")
    code = "import boto3; print(boto3.client('s3').list_buckets()['Buckets'])"
    definition = site.define("lists", sys.executable, "-c", code, jobRoleArn=role)

    def outcome() -> str:
        done = site.ended(site.submit(definition))
        return site.logs(done)[-1] if "logStreamName" in done["container"] else done["statusReason"]

    until(lambda: "AccessDenied" in outcome(), True)
    statement = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    site.cloud.client("iam").put_role_policy(RoleName="job-role", PolicyName="s3", PolicyDocument=document)
    until(outcome, "[]")


def _said(site: Site, done: dict[str, Any]) -> bool:
    return site.logs(done)[0].startswith("arn:aws:sts::123456789012:assumed-role/job-role/")


@pytest.mark.parametrize("service", ["lambda.amazonaws.com", ""])
def test_role_that_no_job_may_have_fails_it_and_says_so(site: Site, service: str) -> None:
    role = site.make_role("bad-role", service) if service else "arn:aws:iam::123456789012:role/nobody"
    failed = site.run("true", jobRoleArn=role)
    assert failed["status"] == "FAILED"
    assert f"ECS was unable to assume the role '{role}'" in failed["statusReason"]


def test_terminated_job_gets_sigterm_and_the_reason(site: Site) -> None:
    definition = site.define("polite", "sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; sleep 1000 & wait")
    name = site.submit(definition)
    site.says(name, "up")
    site.batch.terminate_job(jobId=name, reason="not wanted any more")
    done = site.ended(name)
    assert (done["status"], done["statusReason"]) == ("FAILED", "not wanted any more")
    assert done["container"]["exitCode"] == 3
    assert done["isTerminated"]
    assert site.logs(done) == ["up", "bye"]


def test_job_that_does_not_end_by_sigterm_is_killed(site: Site) -> None:
    definition = site.define("deaf", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.02; done")
    name = site.submit(definition)
    site.says(name, "up")
    site.batch.terminate_job(jobId=name, reason="now")
    done = site.ended(name)
    assert (done["statusReason"], done["container"]["exitCode"]) == ("now", 137)


def test_terminate_before_the_start_means_no_process(site: Site) -> None:
    name = site.submit(site.define("never", "echo", "up"))
    site.batch.terminate_job(jobId=name, reason="too late for it")
    done = site.ended(name)
    assert (done["status"], done["statusReason"]) == ("FAILED", "too late for it")
    assert "logStreamName" not in done["container"]
    site.batch.terminate_job(jobId=name, reason="again")
    site.batch.terminate_job(jobId="nobody", reason="again")
    assert site.job(name)["statusReason"] == "too late for it"


def test_cancel_ends_only_what_has_not_started(site: Site) -> None:
    definition = site.define("cancelled", "sh", "-c", "echo up; sleep 1000")
    running = site.submit(definition)
    site.says(running, "up")
    with site.cloud.fault("capacity:service=batch"):
        waiting = site.submit(definition)
        until(lambda: site.status(waiting), "RUNNABLE")
        for each in (running, waiting):
            site.batch.cancel_job(jobId=each, reason="changed my mind")
        done = site.ended(waiting)
    assert (done["status"], done["statusReason"], done["isCancelled"]) == ("FAILED", "changed my mind", True)
    assert site.status(running) == "RUNNING"
    site.batch.terminate_job(jobId=running, reason="end")
    site.ended(running)


def test_job_over_its_time_is_ended_and_not_tried_again(site: Site) -> None:
    definition = site.define("slow", "sleep", "1000", timeout={"attemptDurationSeconds": 60})
    done = site.ended(site.submit(definition, retryStrategy={"attempts": 3}))
    assert (done["status"], done["statusReason"]) == ("FAILED", "Job attempt duration exceeded timeout")
    assert done["container"]["exitCode"] == 143
    assert len(done["attempts"]) == 1


def test_failed_job_is_tried_again(site: Site) -> None:
    definition = site.define("retried", "sh", "-c", 'test "$AWS_BATCH_JOB_ATTEMPT" = 3')
    done = site.ended(site.submit(definition, retryStrategy={"attempts": 3}))
    assert done["status"] == "SUCCEEDED"
    assert [each["container"]["exitCode"] for each in done["attempts"]] == [1, 1, 0]
    assert len({each["container"]["logStreamName"] for each in done["attempts"]}) == 3


def test_conditions_decide_what_is_tried_again(site: Site) -> None:
    conditions = [{"onExitCode": "4*", "action": "exit"}, {"onStatusReason": "Host EC2*", "action": "retry"}]
    retry = {"attempts": 3, "evaluateOnExit": conditions}
    assert len(site.run("sh", "-c", "exit 42", retryStrategy=retry)["attempts"]) == 1
    assert len(site.run("sh", "-c", "exit 5", retryStrategy=retry)["attempts"]) == 3


def test_job_whose_machine_is_lost_says_so_and_may_run_elsewhere(site: Site) -> None:
    definition = site.define("lost", "sh", "-c", 'echo up; test "$AWS_BATCH_JOB_ATTEMPT" = 2 || sleep 1000')
    name = site.submit(definition, retryStrategy={"attempts": 2})
    site.says(name, "up")
    site.cloud.do("kill_job", job=name)
    done = site.ended(name)
    assert done["status"] == "SUCCEEDED"
    lost = done["attempts"][0]
    assert lost["statusReason"].startswith("Host EC2 (instance i-")
    assert lost["statusReason"].endswith(") terminated.")
    assert "exitCode" not in lost["container"]


def test_program_or_image_that_is_not_there_fails_the_start(site: Site) -> None:
    failed = site.run("no-such-program")
    assert (failed["status"], failed["statusReason"]) == ("FAILED", "Task failed to start")
    assert failed["container"]["reason"].startswith("CannotStartContainerError")
    with site.cloud.fault("pull:image=worker*"):
        failed = site.run("true")
    assert failed["statusReason"] == "Task failed to start"
    assert failed["container"]["reason"].startswith("CannotPullContainerError")
    assert "exitCode" not in failed["container"]


def test_without_capacity_jobs_stay_runnable(site: Site) -> None:
    definition = site.define("waits", "true")
    with site.cloud.fault("capacity:service=batch"):
        names = [site.submit(definition) for _ in range(3)]
        until(lambda: {site.status(each) for each in names} == {"RUNNABLE"}, True)
    assert {each["status"] for each in site.all_ended(names)} == {"SUCCEEDED"}


def test_no_more_run_than_the_environment_has_vcpus(cloud: LocalCloud) -> None:
    site = Site(cloud, max_vcpus=4)
    definition = site.define("two", "sh", "-c", "echo up; sleep 1000", vcpus=2)
    names = [site.submit(definition, f"n{number}") for number in range(3)]
    for each in names[:2]:
        site.says(each, "up")
    until(lambda: site.status(names[2]), "RUNNABLE")
    site.batch.terminate_job(jobId=names[0], reason="room")
    site.says(names[2], "up")
    for each in names[1:]:
        site.batch.terminate_job(jobId=each, reason="end")
    site.all_ended(names)
    site.close()


def test_dependent_job_waits_and_fails_with_what_it_waits_for(site: Site) -> None:
    definition = site.define("first", "sh", "-c", "sleep 1000")
    quick = site.define("second", "true")
    first = site.submit(definition)
    second = site.submit(quick, dependsOn=[{"jobId": first}])
    third = site.submit(quick, dependsOn=[{"jobId": second}])
    site.running(first)
    until(lambda: (site.status(second), site.status(third)), ("PENDING", "PENDING"))
    site.batch.terminate_job(jobId=first, reason="end")
    done = site.ended(third)
    assert (done["status"], done["statusReason"]) == ("FAILED", "Dependent Job failed")
    fourth = site.submit(quick, dependsOn=[{"jobId": site.submit(quick)}])
    assert site.ended(fourth)["status"] == "SUCCEEDED"


def test_a_hundred_jobs_at_a_time(site: Site) -> None:
    definition = site.define("many", "sh", "-c", "echo $AWS_BATCH_JOB_ID; sleep 1000")
    names = [site.submit(definition, f"many-{number}") for number in range(100)]
    until(lambda: {each["status"] for each in site.jobs(names)}, {"RUNNING"})
    for each in names:
        site.says(each, each)
        site.batch.terminate_job(jobId=each, reason="end")
    done = site.all_ended(names)
    assert {each["statusReason"] for each in done} == {"end"}
    assert len({each["container"]["logStreamName"] for each in done}) == 100


@pytest.mark.leaves
def test_reset_ends_what_runs(cloud: LocalCloud) -> None:
    site = Site(cloud)
    name = site.submit(site.define("left", "sleep", "1000"))
    site.running(name)
    assert f"batch job {name} RUNNING" in cloud.leftovers()
    cloud.reset()
    assert cloud.do("jobs") == []
    assert cloud.leftovers() == []
