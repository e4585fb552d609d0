"""What calls to EC2 need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import ACCOUNT
from scaler.testing.localcloud.ec2.launch import launch_of, tags_of
from scaler.testing.localcloud.forms import structured
from scaler.testing.localcloud.iam.needs.need import Need, arn, pass_role, tag_context
from scaler.testing.localcloud.moto_part import backend

# Kinds of things by how their ids begin.
_KINDS = {
    "ami": "image",
    "eni": "network-interface",
    "i": "instance",
    "igw": "internet-gateway",
    "key": "key-pair",
    "lt": "launch-template",
    "rtb": "route-table",
    "sg": "security-group",
    "sir": "spot-instances-request",
    "snap": "snapshot",
    "subnet": "subnet",
    "vol": "volume",
    "vpc": "vpc",
}
_IDS = (
    "InstanceId",
    "InstanceIds",
    "GroupId",
    "GroupIds",
    "ImageId",
    "LaunchTemplateId",
    "KeyPairId",
    "NetworkInterfaceId",
    "Resources",
    "SpotInstanceRequestIds",
    "SubnetId",
    "VolumeId",
    "VpcId",
)
# What these make; what is made has no id yet.
_MADE = {
    "CreateFleet": "fleet",
    "CreateLaunchTemplate": "launch-template",
    "CreateSecurityGroup": "security-group",
    "CreateSubnet": "subnet",
    "CreateVolume": "volume",
    "CreateVpc": "vpc",
    "RequestSpotInstances": "spot-instances-request",
}
# Reading that is about one thing; all other reading is about everything.
_READ_ONE = ("GetConsoleOutput", "GetConsoleScreenshot", "GetPasswordData")


def needs(call: Call) -> Iterable[Need]:
    action, given = f"ec2:{call.operation}", structured(call)
    if call.operation.startswith(("Describe", "Get")) and call.operation not in _READ_ONE:
        yield Need(action)
    elif call.operation == "RunInstances":
        yield from _run(call)
    elif call.operation in ("CreateTags", "DeleteTags"):
        tags = {str(each.get("Key", "")): str(each.get("Value", "")) for each in given.get("Tags", [])}
        for each in given.get("Resources", []):
            yield Need(action, _of_id(call, each), {**_tags_there(call, each), **tag_context(tags)})
    else:
        yield from _about(call, action, given)


def _about(call: Call, action: str, given: Mapping[str, Any]) -> Iterable[Need]:
    specifications = given.get("TagSpecifications", [])
    made = _MADE.get(call.operation, "")
    resources = [(arn(call, f"{made}/*"), tag_context(tags_of(specifications, made)))] if made else []
    for identity in _ids(given):
        resources.append((_of_id(call, identity), _tags_there(call, identity)))
    if name := given.get("KeyName"):
        resources.append((arn(call, f"key-pair/{name}"), tag_context(tags_of(specifications, "key-pair"))))
    if name := given.get("LaunchTemplateName") if not made else None:
        identity = backend("ec2", call.region).launch_template_name_to_ids.get(name, "*")
        resources.append((arn(call, f"launch-template/{identity}"), _tags_there(call, identity)))
    for resource, context in resources or [("*", {})]:
        yield Need(action, resource, context)
    yield from _tagged(call, specifications)


def _run(call: Call) -> Iterable[Need]:
    """Everything that is made or used, each of which a statement can be about."""
    launch = launch_of(call)
    specifications = launch.get("TagSpecifications", [])
    made = ["network-interface/*", "volume/*"]
    interfaces = launch.get("NetworkInterfaces", [{}])
    groups = [*launch.get("SecurityGroupIds", []), *(each for one in interfaces for each in one.get("Groups", []))]
    made += [f"security-group/{each}" for each in groups or ["*"]]
    made.append(f"subnet/{launch.get('SubnetId') or interfaces[0].get('SubnetId') or '*'}")
    if name := launch.get("KeyName"):
        made.append(f"key-pair/{name}")
    if template := launch.get("LaunchTemplate"):
        names = backend("ec2", call.region).launch_template_name_to_ids
        identity = template.get("LaunchTemplateId") or names.get(template.get("LaunchTemplateName"), "*")
        made.append(f"launch-template/{identity}")
    action, kind = "ec2:RunInstances", str(launch.get("InstanceType", "m1.small"))
    own = {"ec2:InstanceType": kind, **tag_context(tags_of(specifications, "instance"))}
    yield Need(action, arn(call, "instance/*"), own)
    yield Need(action, f"arn:aws:ec2:{call.region}::image/{launch.get('ImageId', '*')}")
    yield from (Need(action, arn(call, each)) for each in made)
    yield from _tagged(call, specifications)
    if profile := launch.get("IamInstanceProfile"):
        for each in backend("iam", "aws").instance_profiles.values():
            if each.arn == profile.get("Arn") or each.name == profile.get("Name"):
                yield from (pass_role(role.arn, "ec2.amazonaws.com") for role in each.roles)


def _tagged(call: Call, specifications: list[Mapping[str, Any]]) -> Iterable[Need]:
    for kind in sorted({str(each.get("ResourceType", "")) for each in specifications}):
        if tags := tags_of(specifications, kind):
            context = {"ec2:CreateAction": call.operation, **tag_context(tags)}
            yield Need("ec2:CreateTags", arn(call, f"{kind}/*"), context)


def _ids(given: Mapping[str, Any]) -> Iterable[str]:
    for name in _IDS:
        value = given.get(name, [])
        yield from [value] if isinstance(value, str) else value


def _of_id(call: Call, identity: str) -> str:
    kind = _KINDS.get(identity.partition("-")[0], "*")
    if kind in ("image", "snapshot"):
        return f"arn:aws:ec2:{call.region}::{kind}/{identity}"
    return f"arn:aws:ec2:{call.region}:{ACCOUNT}:{kind}/{identity}"


def _tags_there(call: Call, identity: str) -> dict[str, str | Sequence[str]]:
    tags: Mapping[str, str] = backend("ec2", call.region).tags.get(identity, {})
    names = ("aws:ResourceTag", "ec2:ResourceTag")
    return {f"{name}/{key}": value for name in names for key, value in tags.items()}
