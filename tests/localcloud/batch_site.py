"""What a test of Batch needs before its first job: roles, an environment, a queue; and how it waits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from scaler.testing.localcloud import LocalCloud

PATIENCE = 60.0
ENDED = ("SUCCEEDED", "FAILED")


class Site:
    """An environment and a queue, VALID. close: all of it is deleted, in AWS's order."""

    def __init__(self, cloud: LocalCloud, max_vcpus: int = 256, name: str = "t") -> None:
        self.cloud = cloud
        self.batch = cloud.client("batch")
        self._iam = cloud.client("iam")
        self.environment, self.queue, self.role, self.profile = (f"{name}-{each}" for each in ("ce", "jq", "r", "p"))
        self._definitions: list[str] = []
        self._roles: list[str] = []
        self.make_role(self.role, "ec2.amazonaws.com")
        self._iam.create_instance_profile(InstanceProfileName=self.profile)
        self._iam.add_role_to_instance_profile(InstanceProfileName=self.profile, RoleName=self.role)
        self.batch.create_compute_environment(**self.environment_request(max_vcpus))
        until(self.environment_status, "VALID")
        order = [{"order": 1, "computeEnvironment": self.environment}]
        self.batch.create_job_queue(jobQueueName=self.queue, priority=1, computeEnvironmentOrder=order)
        until(self.queue_status, "VALID")

    def environment_request(self, max_vcpus: int = 256) -> dict[str, Any]:
        ec2 = self.cloud.client("ec2")
        groups = [each["GroupId"] for each in ec2.describe_security_groups()["SecurityGroups"]]
        return {
            "computeEnvironmentName": self.environment,
            "type": "MANAGED",
            "computeResources": {
                "type": "EC2",
                "allocationStrategy": "BEST_FIT_PROGRESSIVE",
                "minvCpus": 0,
                "maxvCpus": max_vcpus,
                "instanceTypes": ["default_x86_64"],
                "subnets": [self.cloud.subnet],
                "securityGroupIds": groups[:1],
                "instanceRole": self.profile,
            },
        }

    def make_role(self, name: str, service: str) -> str:
        statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        made = self._iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        self._roles.append(name)
        return str(made["Role"]["Arn"])

    def define(self, name: str, *command: str, vcpus: int = 1, **more: Any) -> str:
        """Its ARN. more: containerProperties' too, where the request has no such field."""
        own = {each: more.pop(each) for each in ("parameters", "retryStrategy", "timeout") if each in more}
        requirements = [{"type": "VCPU", "value": str(vcpus)}, {"type": "MEMORY", "value": "512"}]
        made = self.batch.register_job_definition(
            jobDefinitionName=name,
            type="container",
            containerProperties={
                "image": "worker:latest",
                "command": list(command),
                "resourceRequirements": requirements,
                **more,
            },
            **own,
        )
        self._definitions.append(made["jobDefinitionArn"])
        return str(made["jobDefinitionArn"])

    def submit(self, definition: str, name: str = "job", **more: Any) -> str:
        made = self.batch.submit_job(jobName=name, jobQueue=self.queue, jobDefinition=definition, **more)
        return str(made["jobId"])

    def run(self, *command: str, **more: Any) -> dict[str, Any]:
        """A job of its own definition, when it has ended."""
        defined = {each: more.pop(each) for each in ("jobRoleArn", "environment", "parameters") if each in more}
        return self.ended(self.submit(self.define("run", *command, **defined), **more))

    def job(self, name: str) -> dict[str, Any]:
        return dict(self.batch.describe_jobs(jobs=[name])["jobs"][0])

    def status(self, name: str) -> str:
        return str(self.job(name)["status"])

    def ended(self, name: str) -> dict[str, Any]:
        until(lambda: self.status(name), *ENDED)
        return self.job(name)

    def running(self, name: str) -> dict[str, Any]:
        until(lambda: self.status(name), "RUNNING", *ENDED)
        found = self.job(name)
        assert found["status"] == "RUNNING", found
        return found

    def all_ended(self, names: Iterable[str]) -> list[dict[str, Any]]:
        names = list(names)

        def statuses() -> bool:
            return all(each["status"] in ENDED for each in self.jobs(names))

        until(statuses, True)
        return self.jobs(names)

    def jobs(self, names: list[str]) -> list[dict[str, Any]]:
        pages = [names[begin : begin + 100] for begin in range(0, len(names), 100)]
        return [each for page in pages for each in self.batch.describe_jobs(jobs=page)["jobs"]]

    def logs(self, job: dict[str, Any]) -> list[str]:
        """Of the last attempt."""
        stream = job["container"]["logStreamName"]
        found = self.cloud.client("logs").get_log_events(
            logGroupName="/aws/batch/job", logStreamName=stream, startFromHead=True
        )
        return [each["message"] for each in found["events"]]

    def says(self, name: str, line: str) -> None:
        """Waits until a job that runs has said so."""

        def said() -> bool:
            job = self.job(name)
            assert job["status"] not in ENDED, job
            return "logStreamName" in job["container"] and line in self.logs(job)

        until(said, True)

    def environment_status(self) -> str:
        return _status(self.batch.describe_compute_environments(computeEnvironments=[self.environment]))

    def queue_status(self) -> str:
        return _status(self.batch.describe_job_queues(jobQueues=[self.queue]))

    def delete_queue(self) -> None:
        self.batch.update_job_queue(jobQueue=self.queue, state="DISABLED")
        until(self.queue_status, "VALID")
        self.batch.delete_job_queue(jobQueue=self.queue)
        until(self.queue_status, "")

    def delete_environment(self) -> None:
        self.batch.update_compute_environment(computeEnvironment=self.environment, state="DISABLED")
        until(self.environment_status, "VALID")
        self.batch.delete_compute_environment(computeEnvironment=self.environment)
        until(self.environment_status, "")

    def close(self) -> None:
        if self.queue_status():
            self.delete_queue()
        if self.environment_status():
            self.delete_environment()
        for each in self._definitions:
            self.batch.deregister_job_definition(jobDefinition=each)
        self._iam.remove_role_from_instance_profile(InstanceProfileName=self.profile, RoleName=self.role)
        self._iam.delete_instance_profile(InstanceProfileName=self.profile)
        for each in self._roles:
            for policy in self._iam.list_role_policies(RoleName=each)["PolicyNames"]:
                self._iam.delete_role_policy(RoleName=each, PolicyName=policy)
            self._iam.delete_role(RoleName=each)


def until(look: Callable[[], Any], *wanted: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    while (seen := look()) not in wanted:
        assert time.monotonic() < deadline, f"{seen!r}, and not {' or '.join(map(repr, wanted))}"
        time.sleep(0.01)


def _status(found: dict[str, Any]) -> str:
    (several,) = (each for name, each in found.items() if name != "ResponseMetadata")
    return str(several[0]["status"]) if several else ""
