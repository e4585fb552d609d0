"""Batch: what AWS refuses, and what it accepts and then fails."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from batch_site import Site, until
from botocore.exceptions import ClientError
from scaler.testing.localcloud import LocalCloud

PROPERTIES = {
    "image": "x",
    "command": ["true"],
    "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "512"}],
}


@pytest.fixture(scope="module")
def module_site(module_cloud: LocalCloud) -> Iterator[Site]:
    """One for all of these: they leave no jobs, and hardly one of them starts one."""
    module_cloud.reset()
    site = Site(module_cloud)
    yield site
    site.close()
    assert module_cloud.leftovers() == []


@pytest.fixture
def site(module_site: Site) -> Iterator[Site]:
    yield module_site
    found = module_site.cloud.resources("batch job")
    assert [each["id"] for each in found if each["left"]] == []


def refused(call: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    assert error["Code"] == "ClientException"
    return str(error["Message"])


def test_request_of_more_than_30_kib_is_refused(site: Site) -> None:
    site.define("big", "echo", "Ref::text")
    arguments: dict[str, Any] = {"jobName": "j", "jobQueue": site.queue, "jobDefinition": "big"}
    message = refused(site.batch.submit_job, **arguments, parameters={"text": "x" * 30 * 1024})
    assert "Job size must be less than 30 KiB, got 31 KiB" in message


@pytest.mark.parametrize("length", [8000, 8192])
def test_command_over_8192_characters_is_accepted_and_then_fails(site: Site, length: int) -> None:
    done = site.run("true", "Ref::text", parameters={"text": "x"}, retryStrategy={"attempts": 2})
    assert done["status"] == "SUCCEEDED"
    definition = site.define("long", "true", "Ref::text", parameters={"text": "x"})
    parent = site.ended(site.submit(definition, parameters={"text": "x" * length}, retryStrategy={"attempts": 2}))
    assert (parent["status"], parent["statusReason"]) == (
        "FAILED",
        "Container Overrides length must be at most 8192",
    )
    assert [each["container"].get("exitCode") for each in parent["attempts"]] == [None]


def test_command_just_under_it_runs(site: Site) -> None:
    definition = site.define("long", "true", "Ref::text")
    assert site.ended(site.submit(definition, parameters={"text": "x" * 7500}))["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jobName": "a" * 129}, "Job name should match valid pattern"),
        ({"jobName": "-a"}, "Job name should match valid pattern"),
        ({"jobName": "a.b"}, "Job name should match valid pattern"),
        ({"jobQueue": "nobody"}, "JobQueue nobody not found."),
        ({"jobDefinition": "nobody"}, "JobDefinition name nobody does not exist or is not in ACTIVE status"),
        ({"arrayProperties": {"size": 1}}, "Array size must be between 2 and 10000"),
        ({"arrayProperties": {"size": 10_001}}, "Array size must be between 2 and 10000"),
        ({"timeout": {"attemptDurationSeconds": 59}}, "timeout must be at least 60 seconds"),
        ({"retryStrategy": {"attempts": 11}}, "attempts must be between 1 and 10"),
        ({"retryStrategy": {"evaluateOnExit": [{"action": "retry"}]}}, "attempts must be specified"),
        ({"tags": {f"k{number}": "v" for number in range(51)}}, "Too many tags"),
        ({"containerOverrides": {"command": ["echo", ""]}}, "Command cannot be empty"),
        ({"containerOverrides": {"command": ["Ref::missing"]}}, "No parameter found for reference missing"),
        (
            {"containerOverrides": {"environment": [{"name": "AWS_BATCH_X", "value": "1"}]}},
            "cannot start with AWS_BATCH",
        ),
        ({"dependsOn": [{"jobId": "nobody"}]}, "job nobody does not exist"),
        ({"dependsOn": [{"type": "SEQUENTIAL"}]}, "must be SEQUENTIAL, of an array job"),
        ({"dependsOn": [{"jobId": "x"}] * 21}, "at most 20 jobs"),
        ({"shareIdentifier": "x"}, "fair share scheduling policy"),
    ],
)
def test_what_submit_job_refuses(site: Site, change: dict[str, Any], message: str) -> None:
    site.define("fine", "true")
    arguments = {"jobName": "j", "jobQueue": site.queue, "jobDefinition": "fine"}
    assert message in refused(site.batch.submit_job, **{**arguments, **change})


def test_no_two_submissions_are_one(site: Site) -> None:
    """There is no client token: whoever repeats a call has two jobs."""
    definition = site.define("twice", "true")
    names = {site.submit(definition, "same"), site.submit(definition, "same")}
    assert len(names) == 2
    site.all_ended(names)


def test_definition_that_is_inactive_takes_no_jobs_and_the_one_before_does(site: Site) -> None:
    first = site.define("versions", "echo", "1")
    second = site.define("versions", "echo", "2")
    site.batch.deregister_job_definition(jobDefinition=second)
    done = site.ended(site.submit("versions"))
    assert done["jobDefinition"] == first
    assert site.logs(done) == ["1"]
    message = refused(site.batch.submit_job, jobName="j", jobQueue=site.queue, jobDefinition="versions:2")
    assert message == "JobDefinition name versions:2 does not exist or is not in ACTIVE status"
    found = site.batch.describe_job_definitions(jobDefinitions=["versions:2"])["jobDefinitions"]
    assert [each["status"] for each in found] == ["INACTIVE"]


def test_disabled_queue_takes_no_jobs(site: Site) -> None:
    site.define("fine", "true")
    site.batch.update_job_queue(jobQueue=site.queue, state="DISABLED")
    assert "is not ENABLED" in refused(site.batch.submit_job, jobName="j", jobQueue=site.queue, jobDefinition="fine")
    until(site.queue_status, "VALID")
    site.batch.update_job_queue(jobQueue=site.queue, state="ENABLED")
    until(site.queue_status, "VALID")


def test_describe_takes_a_hundred_ids(site: Site) -> None:
    assert site.batch.describe_jobs(jobs=["nobody"] * 100)["jobs"] == []
    assert "between 1 and 100" in refused(site.batch.describe_jobs, jobs=["nobody"] * 101)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jobDefinitionName": "a.b"}, "Job definition name should match valid pattern"),
        ({"timeout": {"attemptDurationSeconds": 5}}, "timeout must be at least 60 seconds"),
        ({"containerProperties": {"image": "x", "resourceRequirements": []}}, "must have VCPU"),
        ({"platformCapabilities": ["FARGATE"]}, "executionRoleArn is required"),
        (
            {"platformCapabilities": ["FARGATE"], "containerProperties": {**PROPERTIES, "executionRoleArn": "arn"}},
            "Fargate resource requirements (1.00 vCPU, 512 MiB) not valid.",
        ),
    ],
)
def test_what_register_job_definition_refuses(site: Site, change: dict[str, Any], message: str) -> None:
    arguments = {"jobDefinitionName": "refused", "type": "container", "containerProperties": PROPERTIES}
    assert message in refused(site.batch.register_job_definition, **{**arguments, **change})


class TestListJobs:
    """By name with a star: all states. Else by status, and RUNNING where none is given."""

    @pytest.fixture
    def prefix(self) -> str:
        return f"list-{uuid.uuid4().hex}"

    @pytest.fixture
    def three(self, site: Site, prefix: str) -> Iterator[list[str]]:
        """Two that have ended and one that runs; oldest first."""
        quick, slow = site.define("quick", "true"), site.define("slow", "sleep", "1000")
        names = [site.submit(quick, f"{prefix}-a"), site.submit(quick, f"{prefix}-B"), site.submit(slow, f"{prefix}-c")]
        site.all_ended(names[:2])
        site.running(names[2])
        yield names
        site.batch.terminate_job(jobId=names[2], reason="end")
        site.ended(names[2])

    def test_only_those_that_run_where_nothing_else_is_said(self, site: Site, three: list[str]) -> None:
        assert self.ids(site) == [three[2]]
        assert set(three[:2]) <= set(self.ids(site, jobStatus="SUCCEEDED"))

    def test_names_with_a_star_in_all_states_newest_first(self, site: Site, prefix: str, three: list[str]) -> None:
        def named(name: str, **more: Any) -> list[str]:
            return self.ids(site, filters=[{"name": "JOB_NAME", "values": [name]}], **more)

        assert named(f"{prefix}*") == three[::-1]
        assert named(f"{prefix}-b", jobStatus="RUNNING") == [three[1]]
        assert named(prefix) == []
        assert self.ids(site, filters=[{"name": "JOB_DEFINITION", "values": ["slow"]}])[0] == three[2]

    def test_pages(self, site: Site, prefix: str, three: list[str]) -> None:
        filters = [{"name": "JOB_NAME", "values": [f"{prefix}*"]}]
        wanted = {"jobQueue": site.queue, "filters": filters, "maxResults": 2}
        first = site.batch.list_jobs(**wanted)
        assert [each["jobId"] for each in first["jobSummaryList"]] == [three[2], three[1]]
        second = site.batch.list_jobs(**wanted, nextToken=first["nextToken"])
        assert [each["jobId"] for each in second["jobSummaryList"]] == [three[0]]
        assert "nextToken" not in second

    def test_what_it_refuses(self, site: Site) -> None:
        assert "Exactly one of" in refused(site.batch.list_jobs)
        assert "Exactly one of" in refused(site.batch.list_jobs, jobQueue=site.queue, arrayJobId="x")
        assert "not found" in refused(site.batch.list_jobs, jobQueue="nobody")
        assert "Invalid nextToken" in refused(site.batch.list_jobs, jobQueue=site.queue, nextToken="x")
        two = [{"name": "JOB_NAME", "values": ["a"]}] * 2
        assert "Only one filter" in refused(site.batch.list_jobs, jobQueue=site.queue, filters=two)

    def ids(self, site: Site, **arguments: Any) -> list[str]:
        found = site.batch.list_jobs(jobQueue=site.queue, **arguments)["jobSummaryList"]
        return [each["jobId"] for each in found]
