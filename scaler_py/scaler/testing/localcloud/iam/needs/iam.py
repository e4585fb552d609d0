"""What calls to IAM itself need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import ACCOUNT
from scaler.testing.localcloud.forms import structured
from scaler.testing.localcloud.iam.identity import caller
from scaler.testing.localcloud.iam.needs.need import Need, pass_role, tag_context
from scaler.testing.localcloud.moto_part import backend

# What a parameter names. The profile comes first: it is what a role is put into.
_NAMED = {"InstanceProfileName": "instance-profile", "RoleName": "role", "UserName": "user", "GroupName": "group"}


def needs(call: Call) -> Iterable[Need]:
    given = structured(call)
    tags = {each.get("Key", ""): each.get("Value", "") for each in given.get("Tags", [])}
    context = {**tag_context(tags), **_own_context(given)}
    yield Need(f"iam:{call.operation}", _resource(call, given), context)
    if call.operation == "AddRoleToInstanceProfile":
        yield pass_role(_arn("role", str(given.get("RoleName", "")), "/"), "ec2.amazonaws.com")
    if tags and call.operation.startswith("Create"):
        yield Need(f"iam:Tag{call.operation.removeprefix('Create')}", _resource(call, given), tag_context(tags))


def _own_context(given: Mapping[str, Any]) -> dict[str, str]:
    keys = {"PolicyArn": "iam:PolicyARN", "AWSServiceName": "iam:AWSServiceName"}
    keys["PermissionsBoundary"] = "iam:PermissionsBoundary"
    return {key: str(given[name]) for name, key in keys.items() if name in given}


def _resource(call: Call, given: Mapping[str, Any]) -> str:
    if call.operation == "CreateServiceLinkedRole":
        service = given.get("AWSServiceName", "")
        return f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{service}/*"
    path = str(given.get("Path", "/"))
    if call.operation == "CreatePolicy":
        return _arn("policy", str(given.get("PolicyName", "")), path)
    for name, kind in _NAMED.items():
        if name in given:
            return _arn(kind, str(given[name]), path)
    for name in ("PolicyArn", "PolicySourceArn"):
        if name in given:
            return str(given[name])
    # Of the caller's own user: nothing names it.
    if call.operation in ("GetUser", "ListAccessKeys", "CreateAccessKey", "DeleteAccessKey"):
        return caller(call.access_key).arn
    return "*"


def _arn(kind: str, name: str, path: str) -> str:
    """Of one that is there its real path counts, not the call's."""
    iam = backend("iam", "aws")
    there = {"role": iam.roles, "instance-profile": iam.instance_profiles, "user": iam.users, "group": iam.groups}
    for each in there.get(kind, {}).values():
        if each.name == name:
            return str(each.arn)
    return f"arn:aws:iam::{ACCOUNT}:{kind}{path}{name}"
