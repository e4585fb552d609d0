"""Compute environments, queues and definitions: moto's, with the checks and the states that AWS has and moto lacks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scaler.testing.localcloud.answers import Answer, AwsError, json_answer
from scaler.testing.localcloud.batch.definitions import check_definition
from scaler.testing.localcloud.batch.era import Era
from scaler.testing.localcloud.batch.errors import NAME, client_error, executing_error
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import ACCOUNT, Cloud, Handler, Next, Resource
from scaler.testing.localcloud.moto_part import backend, backends

# What AWS calls its choices of instance types, and moto another name for one of them.
_BUNDLES = ("default_x86_64", "default_arm64", "optimal")
_SERVICE = "batch.amazonaws.com"
_SERVICE_ROLE = "AWSServiceRoleForBatch"
_ROLE_PATH = f"/aws-service-role/{_SERVICE}/"
_BEING_MODIFIED = ("CREATING", "UPDATING", "DELETING")


class Infrastructure:
    """seen: whether other services see this role yet. on_changed: there may be more room for jobs; on_deleted: this
    queue waits for the end of its jobs (`queue_is_empty`).
    """

    def __init__(self, cloud: Cloud, step: float, seen: Callable[[str], bool]) -> None:
        self._cloud = cloud
        self._step = step
        self._seen = seen
        # By ARN, of those that are not simply VALID.
        self._states: dict[str, tuple[str, str]] = {}
        self._era = Era(cloud)
        self.on_changed: Callable[[], None] = lambda: None
        self.on_deleted: Callable[[str], None] = lambda queue_arn: None

    def handlers(self) -> Mapping[str, Handler]:
        named: dict[str, Handler] = {
            "CreateComputeEnvironment": self._create_environment,
            "UpdateComputeEnvironment": self._update_environment,
            "DeleteComputeEnvironment": self._delete_environment,
            "DescribeComputeEnvironments": self._describe("computeEnvironments", "computeEnvironmentArn"),
            "CreateJobQueue": self._create_queue,
            "UpdateJobQueue": self._update_queue,
            "DeleteJobQueue": self._delete_queue,
            "DescribeJobQueues": self._describe("jobQueues", "jobQueueArn"),
            "RegisterJobDefinition": self._register,
            "DescribeJobDefinitions": self._describe_definitions,
        }
        return {f"batch:{name}": self._locked(handler) for name, handler in named.items()}

    def resources(self) -> Iterable[Resource]:
        for _, each in backends("batch"):
            for found in each.describe_compute_environments():
                yield self._resource("batch compute environment", found, "computeEnvironmentArn")
            for found in each.describe_job_queues():
                yield self._resource("batch job queue", found, "jobQueueArn")
            for definition in each.describe_job_definitions(status="ACTIVE"):
                yield self._resource("batch job definition", definition.describe(), "jobDefinitionArn")

    def reset(self) -> None:
        self._states.clear()
        self._era.end()

    # What jobs need to know.

    def queue(self, name: str, region: str) -> Any:
        """moto's, by name or ARN."""
        if (found := backend("batch", region).get_job_queue(name)) is None:
            raise client_error(f"JobQueue {name} not found.")
        return found

    def definition(self, name: str, region: str) -> Any:
        """moto's, by ARN, name:revision, or name for the newest that is ACTIVE."""
        found: list[Any] = backend("batch", region).describe_job_definitions(status="ACTIVE")
        fits = [each for each in found if name in (each.arn, f"{each.name}:{each.revision}", each.name)]
        if not fits:
            raise client_error(f"JobDefinition name {name} does not exist or is not in ACTIVE status")
        return max(fits, key=lambda each: each.revision)

    def queues_by_priority(self, arns: Iterable[str]) -> list[str]:
        found = [(-int(queue.priority), arn) for arn in arns if (queue := self._queue_by_arn(arn)) is not None]
        return [arn for _, arn in sorted(found)]

    def room(self, queue_arn: str, vcpus: float, used: Mapping[str, float]) -> str:
        """ARN of the first environment of the queue that has so many vCPUs left; empty if none has."""
        queue = self._queue_by_arn(queue_arn)
        for each in queue.environments if queue is not None else ():
            usable = each.state == "ENABLED" and self._state(each.arn) in ("VALID", "UPDATING")
            if usable and used.get(each.arn, 0) + vcpus <= float((each.compute_resources or {}).get("maxvCpus", 0)):
                return str(each.arn)
        return ""

    def queue_is_empty(self, queue_arn: str) -> None:
        if self._state(queue_arn) == "DELETING":
            self._after_step(lambda: self._remove_queue(queue_arn))

    # Compute environments.

    def _create_environment(self, call: Call, go_on: Next) -> Answer:
        given = call.parameters
        resources = dict(given.get("computeResources") or {})
        _check_name(given.get("computeEnvironmentName", ""), "Compute environment name")
        _check_environment(given, resources)
        role = given.get("serviceRole") or self._service_role(given)
        moto_has = dict(resources)
        if types := resources.get("instanceTypes"):
            moto_has["instanceTypes"] = ["optimal" if each in _BUNDLES else each for each in types]
        elif resources.get("type") in ("EC2", "SPOT"):
            moto_has["instanceTypes"] = ["optimal"]
        moto_has.setdefault("minvCpus", 0)
        asked = {**given, "state": given.get("state", "ENABLED"), "serviceRole": role, "computeResources": moto_has}
        if not resources:
            del asked["computeResources"]
        made = _go_on(call, go_on, asked)
        arn = made["computeEnvironmentArn"]
        if types:
            self._environment(call, arn).compute_resources["instanceTypes"] = types
        self._states[arn] = ("CREATING", "")
        self._after_step(lambda: self._environment_is_ready(call, arn, role))
        return json_answer(made)

    def _environment_is_ready(self, call: Call, arn: str, role: str) -> None:
        # A role that is linked to the service is the service's own.
        if f":role{_ROLE_PATH}" in role or self._seen(role):
            self._valid(arn)
        else:
            why = "Service: AWSSecurityTokenService; Status Code: 403; Error Code: AccessDenied"
            self._states[arn] = ("INVALID", f"CLIENT_ERROR - Not authorized to perform sts:AssumeRole ({why})")

    def _service_role(self, given: Mapping[str, Any]) -> str:
        """The one that is linked to the service, which AWS makes when it is not there."""
        if given.get("type") == "UNMANAGED":
            raise executing_error("ServiceRole is required.")
        iam = backend("iam", "aws")
        for role in iam.roles.values():
            if role.path == _ROLE_PATH:
                return str(role.arn)
        # moto's own function for this does not know how AWS spells this one.
        trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": _SERVICE}}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        return str(iam.create_role(_SERVICE_ROLE, document, _ROLE_PATH, None, "", [], "3600").arn)

    def _update_environment(self, call: Call, go_on: Next) -> Answer:
        given = call.parameters
        found = self._environment(call, given.get("computeEnvironment", ""))
        self._check_settled(found.arn, "update")
        changes = given.get("computeResources") or {}
        answer = json_answer(_go_on(call, go_on, {**given, "computeEnvironment": found.name}))
        if changes and found.compute_resources is not None:
            found.compute_resources.update(changes)
        self._states[found.arn] = ("UPDATING", "")
        self._after_step(lambda: self._valid(found.arn))
        return answer

    def _delete_environment(self, call: Call, go_on: Next) -> Answer:
        name = call.parameters.get("computeEnvironment", "")
        batch = backend("batch", call.region)
        if (found := batch.get_compute_environment(name)) is None:
            return json_answer({})
        self._check_settled(found.arn, "delete")
        if found.state != "DISABLED":
            raise client_error("Cannot delete, state must be DISABLED")
        if any(found.arn in [each.arn for each in queue.environments] for queue in _queues(call.region)):
            raise client_error("Cannot delete, found existing JobQueue relationship")
        self._states[found.arn] = ("DELETING", "")

        def remove() -> None:
            del self._states[found.arn]
            batch.delete_compute_environment(found.arn)

        self._after_step(remove)
        return json_answer({})

    def _environment(self, call: Call, name: str) -> Any:
        if (found := backend("batch", call.region).get_compute_environment(name)) is None:
            raise client_error(f"{name} does not exist")
        return found

    # Queues.

    def _create_queue(self, call: Call, go_on: Next) -> Answer:
        given = call.parameters
        _check_name(given.get("jobQueueName", ""), "Job queue name")
        order = self._order(call)
        asked = {**given, "state": given.get("state", "ENABLED"), "computeEnvironmentOrder": order}
        made = _go_on(call, go_on, asked)
        self._states[made["jobQueueArn"]] = ("CREATING", "")
        self._after_step(lambda: self._valid(made["jobQueueArn"]))
        return json_answer(made)

    def _order(self, call: Call) -> list[dict[str, Any]]:
        """With ARNs. Only environments that are VALID may be taken."""
        found = []
        for each in call.parameters.get("computeEnvironmentOrder") or ():
            environment = self._environment(call, each["computeEnvironment"])
            if self._state(environment.arn) not in ("VALID", "UPDATING"):
                raise client_error(f"{environment.arn} is not VALID")
            found.append({**each, "computeEnvironment": environment.arn})
        if not 1 <= len(found) <= 3:
            raise client_error("computeEnvironmentOrder must have between 1 and 3 compute environments")
        return found

    def _update_queue(self, call: Call, go_on: Next) -> Answer:
        given = dict(call.parameters)
        found = self.queue(given.get("jobQueue", ""), call.region)
        self._check_settled(found.arn, "update")
        if given.get("computeEnvironmentOrder"):
            given["computeEnvironmentOrder"] = self._order(call)
        answer = json_answer(_go_on(call, go_on, {**given, "jobQueue": found.name}))
        self._states[found.arn] = ("UPDATING", "")
        self._after_step(lambda: self._valid(found.arn))
        return answer

    def _delete_queue(self, call: Call, go_on: Next) -> Answer:
        name = call.parameters.get("jobQueue", "")
        if (found := backend("batch", call.region).get_job_queue(name)) is None:
            return json_answer({})
        self._check_settled(found.arn, "delete")
        if found.state != "DISABLED":
            raise client_error("Cannot delete, state must be DISABLED")
        self._states[found.arn] = ("DELETING", "")
        # As AWS has it: its jobs are ended first, and it is there until they are.
        self.on_deleted(found.arn)
        return json_answer({})

    def _remove_queue(self, arn: str) -> None:
        self._states.pop(arn, None)
        for _, each in backends("batch"):
            each.delete_job_queue(arn)

    def _queue_by_arn(self, arn: str) -> Any:
        return backend("batch", arn.split(":")[3]).get_job_queue(arn)

    # Definitions.

    def _register(self, call: Call, go_on: Next) -> Answer:
        check_definition(call.parameters)
        return json_answer(_go_on(call, go_on, call.parameters))

    def _describe_definitions(self, call: Call, go_on: Next) -> Answer:
        """moto finds name:revision by ARN alone."""
        asked = dict(call.parameters)
        prefix = f"arn:aws:batch:{call.region}:{ACCOUNT}:job-definition/"
        if names := asked.get("jobDefinitions"):
            asked["jobDefinitions"] = [
                prefix + each if ":" in each and not each.startswith("arn:") else each for each in names
            ]
        return json_answer(_go_on(call, go_on, asked))

    # States.

    def _state(self, arn: str) -> str:
        return self._states.get(arn, ("VALID", ""))[0]

    def _valid(self, arn: str) -> None:
        if self._state(arn) != "DELETING":
            self._states.pop(arn, None)
            self.on_changed()

    def _check_settled(self, arn: str, what: str) -> None:
        if self._state(arn) in _BEING_MODIFIED:
            raise client_error(f"Cannot {what}, resource is being modified")

    def _describe(self, members: str, arn: str) -> Handler:
        def handler(call: Call, go_on: Next) -> Answer:
            found = _go_on(call, go_on, call.parameters)
            for each in found[members]:
                if each[arn] in self._states:
                    each["status"], each["statusReason"] = self._states[each[arn]]
            return json_answer(found)

        return handler

    def _resource(self, kind: str, found: Mapping[str, Any], arn: str) -> Resource:
        state = self._state(found[arn]) if "job definition" not in kind else found["status"]
        return Resource(kind, found[arn], state, dict(found.get("tags") or {}))

    def _locked(self, handler: Handler) -> Handler:
        def locked(call: Call, go_on: Next) -> Answer:
            with self._cloud.lock:
                return handler(call, go_on)

        return locked

    def _after_step(self, call: Callable[[], None]) -> None:
        self._cloud.processes.after(self._step, self._era.bound(call))


def _queues(region: str) -> list[Any]:
    batch = backend("batch", region)
    return [batch.get_job_queue(each["jobQueueArn"]) for each in batch.describe_job_queues()]


def _check_name(name: str, what: str) -> None:
    if not NAME.fullmatch(name):
        raise executing_error(f"{what} should match valid pattern")


def _check_environment(given: Mapping[str, Any], resources: Mapping[str, Any]) -> None:
    if given.get("type") == "MANAGED" and not resources:
        raise executing_error("computeResources must be provided for a MANAGED compute environment")
    types = resources.get("instanceTypes") or []
    if resources.get("type") in ("FARGATE", "FARGATE_SPOT"):
        for name in ("instanceTypes", "instanceRole", "minvCpus"):
            if resources.get(name):
                raise executing_error(f"{name} not applicable for Fargate.")
    for name in ("subnets", "securityGroupIds"):
        if resources and not resources.get(name):
            raise executing_error(f"{name} must be provided")
    if len([each for each in types if each in _BUNDLES]) > 0 and len(types) > 1:
        raise executing_error(f"{', '.join(types)}: a bundle of instance types cannot be combined with others.")
    if len(given.get("tags") or {}) > 50:
        raise executing_error("Too many tags: at most 50.")


def _go_on(call: Call, go_on: Next, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Moto's answer to these parameters. Its own kinds of errors are no kinds of Batch."""
    call.body = json.dumps(asked).encode()
    answer = go_on(call)
    found: dict[str, Any] = json.loads(answer.body or b"{}")
    if answer.status == 400:
        raise executing_error(found.get("message", ""))
    if answer.status > 400:
        raise AwsError("ServerException", answer.body.decode(errors="replace"), 500)
    return found
