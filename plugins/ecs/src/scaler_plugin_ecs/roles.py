"""The execution role: by it ECS pulls the image and writes logs."""

from __future__ import annotations

import json
import logging

from scaler.managers.api import ConfigurationError, Owner, TemporaryError

from scaler_plugin_ecs.clients import Aws
from scaler_plugin_ecs.errors import Denied, Refused
from scaler_plugin_ecs.finding import Found, find_role, trusts_tasks
from scaler_plugin_ecs.tagging import as_list, belongs_to

POLICY = "service-role/AmazonECSTaskExecutionRolePolicy"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


# What an account lacks whose first cluster was made without it.
MAKE_LINKED_ROLE = "`aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com`"


def ensure_role(aws: Aws, name: str, owner: Owner, log: logging.Logger) -> tuple[str, bool]:
    """The ARN of a role of that name, which is made with its policy when it is missing; and whether it was."""
    try:
        found = find_role(aws, name)
        if found is not None and not belongs_to(found.tags, owner):
            return found.id, False
        made = found is None
        if found is None:
            arn, made = _make(aws, name, owner, log)
            if not made:
                return arn, False
        else:
            arn = found.id
        # Ours may lack its policy: a manager that was killed had no time for it.
        aws.call("iam:AttachRolePolicy", creates=True, RoleName=name, PolicyArn=policy_arn(arn))
    except Denied as error:
        mend = f"{error.mend}; or name a role that is there: --ecs-execution-role-arn"
        raise ConfigurationError(error.what, error.where, mend) from None
    return arn, made


def not_seen_yet(name: str) -> TemporaryError:
    """Of a role that was made a moment ago."""
    return TemporaryError(f"the role {name} was made a moment ago, and ECS does not see it yet; it is tried again")


def _make(aws: Aws, name: str, owner: Owner, log: logging.Logger) -> tuple[str, bool]:
    """Its ARN; False: another manager was quicker, and it is that one's."""
    about = {
        "RoleName": name,
        "AssumeRolePolicyDocument": json.dumps(_TRUST),
        "Description": "Pulls images and writes logs of scaler's tasks",
    }
    try:
        try:
            tags = as_list(owner.tags(), "Key", "Value")
            arn = aws.call("iam:CreateRole", creates=True, **about, Tags=tags)["Role"]["Arn"]
        except Denied as error:
            if error.action != "iam:TagRole":
                raise
            arn = aws.call("iam:CreateRole", creates=True, **about)["Role"]["Arn"]
            log.warning("the role %s has no tags, for iam:TagRole is not allowed: it is never deleted again", name)
    except Refused as error:
        if not error.code.startswith("EntityAlreadyExists") or (found := find_role(aws, name)) is None:
            raise
        # Where the answer of the first call was lost it is ours.
        return found.id, belongs_to(found.tags, owner)
    log.info("made the role %s", name)
    return str(arn), True


def policy_arn(role: str) -> str:
    """In the partition (aws, aws-cn, aws-us-gov) of a role's ARN."""
    return f"arn:{role.split(':')[1]}:iam::aws:policy/{POLICY}"


def check_role(aws: Aws, name: str, flag: str, owner: Owner, log: logging.Logger) -> None:
    """Of the execution role, before anything is made. flag: the option that named it, empty for the default one.

    ConfigurationError: it cannot do what it is for.
    """
    try:
        found = find_role(aws, name)
        if found is None:
            if flag:
                what = f"There is no role {name}."
                raise ConfigurationError(what, flag, f"make it, or leave {flag} out: then one is made")
            return
        _check_trust(found, name, flag)
        _check_policies(aws, found, name, flag, owner, log)
    except Denied as error:
        log.warning("the role %s is not looked at, for %s is not allowed", name, error.action)


def check_task_role(aws: Aws, name: str, log: logging.Logger) -> None:
    """Of the role that tasks have. ConfigurationError: they cannot have it."""
    flag = "--ecs-task-role-arn"
    try:
        found = find_role(aws, name)
    except Denied as error:
        log.warning("the role %s is not looked at, for %s is not allowed", name, error.action)
        return
    if found is None:
        mend = f"make it, or leave {flag} out: tasks have none then"
        raise ConfigurationError(f"There is no role {name}.", flag, mend)
    _check_trust(found, name, flag)


def _check_trust(found: Found, name: str, flag: str) -> None:
    if not trusts_tasks(found.about):
        what = f"ECS may not assume the role {name}: it does not trust ecs-tasks.amazonaws.com."
        document = json.dumps(_TRUST, separators=(",", ":"))
        mend = f"aws iam update-assume-role-policy --role-name {name} --policy-document '{document}'"
        raise ConfigurationError(what, flag or f"the role {name} of this account", mend)


def _check_policies(aws: Aws, found: Found, name: str, flag: str, owner: Owner, log: logging.Logger) -> None:
    attached = aws.call("iam:ListAttachedRolePolicies", RoleName=name).get("AttachedPolicies", ())
    wanted = policy_arn(found.id)
    mend = f"aws iam attach-role-policy --role-name {name} --policy-arn {wanted}"
    if any(each["PolicyArn"] == wanted for each in attached) or belongs_to(found.tags, owner):
        return
    if attached or aws.call("iam:ListRolePolicies", RoleName=name).get("PolicyNames"):
        log.warning("the role %s lacks AmazonECSTaskExecutionRolePolicy; if tasks cannot start by it: %s", name, mend)
        return
    what = f"The role {name} has no policy: tasks can pull no image and write no logs by it."
    raise ConfigurationError(what, flag or f"the role {name} of this account", mend)
