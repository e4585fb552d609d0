"""EC2: moto's, stricter, and its instances run."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from scaler.testing.localcloud.answers import Answer, AwsError
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import Cloud, Handler, Next, Resource
from scaler.testing.localcloud.ec2.checks import check_launch, profile_of, user_data_of
from scaler.testing.localcloud.ec2.documents import changes, document, with_states
from scaler.testing.localcloud.ec2.launch import launch_of, with_launch
from scaler.testing.localcloud.ec2.life import Life
from scaler.testing.localcloud.ec2.machine import BY_USER, Machine, instance_ids
from scaler.testing.localcloud.ec2.metadata import Metadata
from scaler.testing.localcloud.ec2.resources import resources_of
from scaler.testing.localcloud.ec2.tokens import Tokens
from scaler.testing.localcloud.faults import Faults
from scaler.testing.localcloud.forms import structured
from scaler.testing.localcloud.iam import Iam
from scaler.testing.localcloud.iam.consistency import SeenProfile
from scaler.testing.localcloud.moto_part import backend, backends
from scaler.testing.localcloud.server import Site
from scaler.testing.localcloud.settings import Settings

# Below this path every instance has its metadata service.
_SITE = "/_instances/"


class Ec2:
    def __init__(self, cloud: Cloud, settings: Settings) -> None:
        self._cloud = cloud
        self._seconds = settings.ec2_seconds
        self._life = Life(cloud, settings, _SITE)
        self._tokens = Tokens()
        self._metadata = Metadata(cloud, self._life)

    def handlers(self) -> Mapping[str, Handler]:
        own: dict[str, Callable[[Call], Answer]] = {
            "GetConsoleOutput": self._console,
            "RebootInstances": self._reboot,
            "StartInstances": self._start,
            "StopInstances": self._stop,
            "TerminateInstances": self._terminate,
        }
        return {
            **{f"ec2:{name}": self._locked(answer) for name, answer in own.items()},
            "ec2:RunInstances": self._run,
            "ec2:CreateFleet": self._launching,
            "ec2:RequestSpotInstances": self._launching,
            "ec2:CreateLaunchTemplate": self._template,
            "ec2:CreateLaunchTemplateVersion": self._template,
            "ec2:DeleteSecurityGroup": self._delete_group,
            "ec2:*": self._undisturbed,
        }

    def sites(self) -> Mapping[str, Site]:
        return {_SITE: self._metadata.answer}

    def _locked(self, answer: Callable[[Call], Answer]) -> Handler:
        def handler(call: Call, _: Next) -> Answer:
            with self._cloud.lock:
                if call.parameters.get("DryRun") == "true":
                    raise AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
                return answer(call)

        return handler

    def _undisturbed(self, call: Call, go_on: Next) -> Answer:
        """Nobody sees an instance halfway between two states, nor one that is not to be found yet."""
        with self._cloud.lock, self._hidden(backend("ec2", call.region)):
            return go_on(call)

    @contextlib.contextmanager
    def _hidden(self, ec2: Any) -> Iterator[None]:
        """moto does not know what is too young, as long as the block lasts."""
        every = dict(ec2.reservations)
        for identity, reservation in every.items():
            if any(not self._is_found(each.id) for each in reservation.instances):
                del ec2.reservations[identity]
        try:
            yield
        finally:
            ec2.reservations.clear()
            ec2.reservations.update(every)

    def _is_found(self, identity: str) -> bool:
        machine = self._life.machines.get(identity)
        return machine is None or time.monotonic() - machine.made_at >= self._seconds

    def _run(self, call: Call, go_on: Next) -> Answer:
        with self._cloud.lock:
            if (earlier := self._tokens.earlier(call)) is not None:
                return with_states(earlier, self._state)
            launch = launch_of(call)
            user_data = user_data_of(launch)
            check_launch(call.region, launch)
            profile = profile_of(launch, self._cloud.part(Iam).consistency.now())
            launch["MinCount"] = launch["MaxCount"] = self._capacity(call, launch)
            answer = go_on(with_launch(call, launch))
            if answer.status != 200:
                return answer
            ids = instance_ids(answer.body)
            self._adopt(call.region, ids, profile, user_data)
            answer = with_states(answer, self._state)
            self._tokens.remember(call, answer)
            return answer

    def _capacity(self, call: Call, launch: Mapping[str, Any]) -> int:
        """As many as there are, if these are enough."""
        faults = self._cloud.part(Faults)
        there = sum(not faults.active("capacity", call) for _ in range(launch["MaxCount"]))
        if there < launch["MinCount"]:
            kind = launch.get("InstanceType", "m1.small")
            zone = (launch.get("Placement") or {}).get("AvailabilityZone", f"{call.region}a")
            told = (
                f"We currently do not have sufficient {kind} capacity in the Availability Zone you requested ({zone})."
                " Our system will be working on provisioning additional capacity."
            )
            raise AwsError("InsufficientInstanceCapacity", told, 500)
        return there

    def _adopt(self, region: str, ids: Iterable[str], profile: SeenProfile | None, user_data: bytes) -> None:
        ec2 = backend("ec2", region)
        for identity in ids:
            instance = ec2.get_instance_by_id(identity)
            # moto gives a profile to the first one only.
            if profile is not None and identity not in ec2.iam_instance_profile_associations:
                ec2.associate_iam_instance_profile(instance_id=identity, iam_instance_profile_arn=profile.arn)
            self._life.begin(Machine(instance, region, profile.arn if profile is not None else "", user_data))

    def _launching(self, call: Call, go_on: Next) -> Answer:
        """Instances that moto makes on the way are machines too."""
        with self._cloud.lock:
            answer = go_on(call)
            for instance in backend("ec2", call.region).all_instances():
                if instance.id not in self._life.machines:
                    data = base64.b64decode(str(instance.user_data or ""))
                    profile = instance.iam_instance_profile
                    arn = profile["Arn"] if isinstance(profile, dict) else getattr(profile, "arn", "")
                    self._life.begin(Machine(instance, call.region, arn or "", data))
            return answer

    def _template(self, call: Call, go_on: Next) -> Answer:
        user_data_of(structured(call).get("LaunchTemplateData") or {})
        return go_on(call)

    def _state(self, identity: str) -> str:
        return self._life.machines[identity].state

    def _named(self, call: Call) -> list[Machine]:
        ids = structured(call).get("InstanceIds", [])
        for each in ids:
            if not each.startswith("i-"):
                raise AwsError("InvalidInstanceID.Malformed", f'Invalid id: "{each}"')
        machines = self._life.machines
        known = {each.id for each in machines.values() if each.region == call.region and self._is_found(each.id)}
        missing = [each for each in ids if each not in known]
        if missing:
            told = f"ID '{missing[0]}' does" if len(missing) == 1 else f"IDs '{', '.join(missing)}' do"
            raise AwsError("InvalidInstanceID.NotFound", f"The instance {told} not exist")
        if not ids:
            raise AwsError("MissingParameter", "The request must contain the parameter InstanceId")
        return [machines[each] for each in dict.fromkeys(ids)]

    def _terminate(self, call: Call) -> Answer:
        machines = self._named(call)
        for each in machines:
            if each.instance.disable_api_termination:
                told = f"The instance '{each.id}' may not be terminated. Modify its 'disableApiTermination' instance"
                raise AwsError("OperationNotPermitted", f"{told} attribute and try again.")
        return self._changed(call, machines, lambda each: self._life.end(each, "terminated", BY_USER))

    def _stop(self, call: Call) -> Answer:
        machines = self._named(call)
        _check_states(machines, ("pending", "running", "stopping", "stopped"), "stopped")
        return self._changed(call, machines, lambda each: self._life.end(each, "stopped", BY_USER))

    def _start(self, call: Call) -> Answer:
        machines = self._named(call)
        _check_states(machines, ("pending", "running", "stopped"), "started")
        return self._changed(call, machines, lambda each: self._life.begin(each) if each.state == "stopped" else None)

    def _reboot(self, call: Call) -> Answer:
        machines = self._named(call)
        _check_states(machines, ("pending", "running"), "rebooted")
        for each in machines:
            self._life.restart(each)
        return document("RebootInstances", "<return>true</return>")

    def _changed(self, call: Call, machines: Iterable[Machine], change: Callable[[Machine], None]) -> Answer:
        changed = []
        for each in machines:
            before = each.state
            change(each)
            changed.append((each.id, before, each.state))
        return changes(call.operation, changed)

    def _console(self, call: Call) -> Answer:
        identity = str(call.parameters.get("InstanceId", ""))
        machine = self._life.machines.get(identity)
        if machine is None:
            raise AwsError("InvalidInstanceID.NotFound", f"The instance ID '{identity}' does not exist")
        output = base64.b64encode(machine.console()).decode()
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        content = f"<instanceId>{machine.id}</instanceId><timestamp>{now}</timestamp><output>{output}</output>"
        return document("GetConsoleOutput", content)

    def _delete_group(self, call: Call, go_on: Next) -> Answer:
        """moto deletes one that is in use."""
        with self._cloud.lock:
            named = (call.parameters.get("GroupId"), call.parameters.get("GroupName"))
            for machine in self._life.machines.values():
                groups = [*machine.instance.security_groups, *_groups_of_interfaces(machine)]
                if machine.state != "terminated" and (found := [each for each in groups if each.id in named]):
                    raise AwsError("DependencyViolation", f"resource {found[0].id} has a dependent object")
            return go_on(call)

    def resources(self) -> Iterator[Resource]:
        for _, each in backends("ec2"):
            yield from resources_of(each, self._life.machines)

    def controls(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        """interrupt_instance and kill_instance, with instance=..."""
        return {
            "interrupt_instance": self._control(self._life.interrupt),
            "kill_instance": self._control(self._life.crash),
        }

    def _control(self, does: Callable[[Machine], None]) -> Callable[[Mapping[str, Any]], None]:
        def control(arguments: Mapping[str, Any]) -> None:
            with self._cloud.lock:
                does(self._life.machines[str(arguments["instance"])])

        return control

    def reset(self) -> None:
        self._life.reset()
        self._tokens.reset()

    def at_close(self) -> None:
        self._life.reset()


def _check_states(machines: Iterable[Machine], wanted: tuple[str, ...], done: str) -> None:
    for each in machines:
        if each.state not in wanted:
            told = f"The instance '{each.id}' is not in a state from which it can be {done}."
            raise AwsError("IncorrectInstanceState", told)


def _groups_of_interfaces(machine: Machine) -> Iterator[Any]:
    for interface in machine.instance.nics.values():
        yield from interface.group_set
