"""Batch: environments and queues become VALID by and by, and are deleted in AWS's order only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from batch_site import Site, until
from botocore.exceptions import ClientError
from scaler.testing.localcloud import LocalCloud


@pytest.fixture
def site(cloud: LocalCloud) -> Iterator[Site]:
    site = Site(cloud)
    yield site
    site.close()


def message(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Message"])


def test_environment_is_created_without_a_service_role_and_keeps_its_bundle(site: Site) -> None:
    (found,) = site.batch.describe_compute_environments(computeEnvironments=[site.environment])["computeEnvironments"]
    assert found["computeResources"]["instanceTypes"] == ["default_x86_64"]
    assert found["computeResources"]["maxvCpus"] == 256
    assert found["serviceRole"].endswith(":role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch")
    assert (found["state"], found["status"]) == ("ENABLED", "VALID")


def test_environment_is_creating_first_and_no_queue_may_have_it_yet(cloud: LocalCloud) -> None:
    site = Site(cloud)
    request = {**site.environment_request(), "computeEnvironmentName": "second"}
    site.batch.create_compute_environment(**request)
    order = [{"order": 1, "computeEnvironment": "second"}]
    with pytest.raises(ClientError) as caught:
        site.batch.create_job_queue(jobQueueName="early", priority=1, computeEnvironmentOrder=order)
    assert "is not VALID" in message(caught)
    with pytest.raises(ClientError) as caught:
        site.batch.update_compute_environment(computeEnvironment="second", state="DISABLED")
    assert "resource is being modified" in message(caught)
    site.delete_queue()
    site.delete_environment()
    site.environment = "second"
    until(site.environment_status, "VALID")
    site.close()


def test_environment_whose_service_role_is_none_becomes_invalid(cloud: LocalCloud) -> None:
    site = Site(cloud)
    role = site.make_role("service", "lambda.amazonaws.com")
    request = {**site.environment_request(), "computeEnvironmentName": "bad", "serviceRole": role}
    site.batch.create_compute_environment(**request)
    found: dict[str, Any] = {}

    def status() -> str:
        (seen,) = site.batch.describe_compute_environments(computeEnvironments=["bad"])["computeEnvironments"]
        found.update(seen)
        return str(seen["status"])

    until(status, "INVALID")
    assert "Not authorized to perform sts:AssumeRole" in found["statusReason"]
    site.delete_queue()
    site.delete_environment()
    site.environment = "bad"
    site.close()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"computeEnvironmentName": "a.b"}, "should match valid pattern"),
        ({"subnets": ["subnet-0"]}, "subnet subnet-0 does not exist"),
        ({"instanceRole": "nobody"}, "could not find instanceRole nobody"),
        ({"instanceTypes": ["default_x86_64", "m5.large"]}, "cannot be combined"),
    ],
)
def test_what_create_compute_environment_refuses(site: Site, change: dict[str, Any], text: str) -> None:
    request = {**site.environment_request(), "computeEnvironmentName": "refused"}
    for name, value in change.items():
        (request if name in request else request["computeResources"])[name] = value
    with pytest.raises(ClientError) as caught:
        site.batch.create_compute_environment(**request)
    assert caught.value.response["Error"]["Code"] == "ClientException"
    assert text in message(caught)


def test_deletions_in_the_wrong_order_are_refused(site: Site) -> None:
    with pytest.raises(ClientError) as caught:
        site.batch.delete_job_queue(jobQueue=site.queue)
    assert "state must be DISABLED" in message(caught)
    with pytest.raises(ClientError) as caught:
        site.batch.delete_compute_environment(computeEnvironment=site.environment)
    assert "state must be DISABLED" in message(caught)
    site.batch.update_compute_environment(computeEnvironment=site.environment, state="DISABLED")
    until(site.environment_status, "VALID")
    with pytest.raises(ClientError) as caught:
        site.batch.delete_compute_environment(computeEnvironment=site.environment)
    assert message(caught) == "Cannot delete, found existing JobQueue relationship"
    site.batch.update_job_queue(jobQueue=site.queue, state="DISABLED")
    with pytest.raises(ClientError) as caught:
        site.batch.delete_job_queue(jobQueue=site.queue)
    assert message(caught) == "Cannot delete, resource is being modified"
    until(site.queue_status, "VALID")


def test_deleted_queue_ends_its_jobs_and_is_there_until_they_are_gone(site: Site) -> None:
    definition = site.define("stubborn", "sh", "-c", "trap 'echo asked' TERM; echo up; while :; do sleep 0.02; done")
    name = site.submit(definition)
    site.says(name, "up")
    site.batch.update_job_queue(jobQueue=site.queue, state="DISABLED")
    until(site.queue_status, "VALID")
    site.batch.delete_job_queue(jobQueue=site.queue)
    site.says(name, "asked")
    assert site.queue_status() == "DELETING"
    site.cloud.do("kill_job", job=name)
    assert site.ended(name)["status"] == "FAILED"
    until(site.queue_status, "")


def test_disabled_environment_starts_nothing_more(site: Site) -> None:
    site.batch.update_compute_environment(computeEnvironment=site.environment, state="DISABLED")
    until(site.environment_status, "VALID")
    name = site.submit(site.define("waits", "true"))
    until(lambda: site.status(name), "RUNNABLE")
    site.batch.update_compute_environment(computeEnvironment=site.environment, state="ENABLED")
    assert site.ended(name)["status"] == "SUCCEEDED"


def test_more_vcpus_let_more_run(cloud: LocalCloud) -> None:
    site = Site(cloud, max_vcpus=1)
    name = site.submit(site.define("two", "true", vcpus=2))
    until(lambda: site.status(name), "RUNNABLE")
    site.batch.update_compute_environment(computeEnvironment=site.environment, computeResources={"maxvCpus": 2})
    assert site.ended(name)["status"] == "SUCCEEDED"
    site.close()


def test_everything_of_batch_is_left_until_it_is_deleted(cloud: LocalCloud) -> None:
    site = Site(cloud)
    site.define("left", "true")
    left = [each.split()[:-1] for each in cloud.leftovers()]
    kinds = {" ".join(each[:-1]) for each in left}
    assert {"batch compute environment", "batch job queue", "batch job definition"} <= kinds
    site.close()
    assert cloud.leftovers() == []


def test_fargate_environment_runs_fargate_jobs_only(cloud: LocalCloud) -> None:
    site = Site(cloud)
    resources = site.environment_request()["computeResources"]
    kept = {name: resources[name] for name in ("maxvCpus", "subnets", "securityGroupIds")}
    site.delete_queue()
    site.delete_environment()
    site.batch.create_compute_environment(
        computeEnvironmentName=site.environment, type="MANAGED", computeResources={**kept, "type": "FARGATE"}
    )
    until(site.environment_status, "VALID")
    order = [{"order": 1, "computeEnvironment": site.environment}]
    site.batch.create_job_queue(jobQueueName=site.queue, priority=1, computeEnvironmentOrder=order)
    until(site.queue_status, "VALID")
    with pytest.raises(ClientError) as caught:
        site.submit(site.define("on-ec2", "true"))
    assert message(caught).endswith("can not run Jobs with capability EC2.")
    role = site.make_role("execution", "ecs-tasks.amazonaws.com")
    site.batch.register_job_definition(
        jobDefinitionName="on-fargate",
        type="container",
        platformCapabilities=["FARGATE"],
        containerProperties={
            "image": "worker:latest",
            "command": ["true"],
            "executionRoleArn": role,
            "resourceRequirements": [{"type": "VCPU", "value": "0.25"}, {"type": "MEMORY", "value": "512"}],
        },
    )
    assert site.ended(site.submit("on-fargate"))["status"] == "SUCCEEDED"
    site.batch.deregister_job_definition(jobDefinition="on-fargate:1")
    site.close()
