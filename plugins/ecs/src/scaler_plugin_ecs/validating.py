"""Whether the options can work, before anything is made. It only looks."""

from __future__ import annotations

import logging
import sys

from scaler.managers.api import ConfigurationError, CredentialsExpired, Owner

from scaler_plugin_ecs import fargate
from scaler_plugin_ecs.clients import Aws
from scaler_plugin_ecs.definition import CONTAINER
from scaler_plugin_ecs.errors import Denied, Refused, Unreachable, renewal
from scaler_plugin_ecs.finding import find_cluster, find_definition
from scaler_plugin_ecs.images import check_image
from scaler_plugin_ecs.launching import check_overrides
from scaler_plugin_ecs.options import DEFAULT_EXECUTION_ROLE, EcsOptions
from scaler_plugin_ecs.patience import patiently
from scaler_plugin_ecs.preparing import check_foreign, has_spot, without_spot
from scaler_plugin_ecs.requirements import Software, python_words
from scaler_plugin_ecs.roles import check_role, check_task_role
from scaler_plugin_ecs.tagging import belongs_to

# What an agent's command and its join token take of a container's overrides, about.
_COMMAND_CHARACTERS = 2000
# Of this host.
HERE = (sys.version_info.major, sys.version_info.minor)


def validate(aws: Aws, options: EcsOptions, owner: Owner, log: logging.Logger, software: Software) -> None:
    """ConfigurationError: they cannot."""
    fargate.size(options.ecs_task_cpu, options.ecs_task_memory)
    check_image(options.ecs_task_image)
    _check_names(options)
    _check_length(software)
    is_default = "ecs_python_version" not in options.model_fields_set
    for word in (*software.warnings, *python_words(options.ecs_python_version, HERE, is_default)):
        log.warning("%s", word)
    try:
        _ask_aws(aws, options, owner, log)
    except CredentialsExpired as error:
        what, _, mend = str(error).rpartition(": ")
        raise ConfigurationError(what or str(error), _where(aws), mend or renewal(aws.profile)) from error
    except Unreachable as error:
        where = f"--aws-region {aws.region}, the network of this machine"
        mend = "check --aws-region, and the way to the internet (a proxy: HTTPS_PROXY)"
        raise ConfigurationError(f"{error}.", where, mend) from error


def _check_names(options: EcsOptions) -> None:
    for flag, name in (
        ("--ecs-cluster", options.ecs_cluster),
        ("--ecs-task-definition", options.ecs_task_definition),
    ):
        if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii() or len(name) > 255:
            mend = "letters, digits, - and _, 255 of them at most"
            raise ConfigurationError(f"{name!r} is no name that AWS takes.", flag, mend)
    for flag, arn in (
        ("--ecs-task-role-arn", options.ecs_task_role_arn),
        ("--ecs-execution-role-arn", options.ecs_execution_role_arn),
    ):
        if arn and not (arn.startswith("arn:") and ":role/" in arn):
            mend = "like arn:aws:iam::123456789012:role/NAME"
            raise ConfigurationError(f"{arn!r} is no ARN of a role.", flag, mend)


def _check_length(software: Software) -> None:
    variables = [{"name": name, "value": value} for name, value in software.environment().items()]
    check_overrides({"containerOverrides": [{"name": CONTAINER, "environment": variables}]}, _COMMAND_CHARACTERS)


def _ask_aws(aws: Aws, options: EcsOptions, owner: Owner, log: logging.Logger) -> None:
    if not aws.has_credentials():
        raise ConfigurationError(
            "There are no AWS credentials.",
            "the environment, the AWS configuration files, the options of this manager",
            "run `aws configure` or `aws login`; or name a profile: --aws-profile NAME; or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY",
        )
    patiently(lambda: _check_subnets(aws, options, log))
    patiently(lambda: _check_security_groups(aws, options, log))
    arn = options.ecs_execution_role_arn
    name, flag = (arn.rpartition("/")[2], "--ecs-execution-role-arn") if arn else (DEFAULT_EXECUTION_ROLE, "")
    patiently(lambda: check_role(aws, name, flag, owner, log))
    if task_role := options.ecs_task_role_arn:
        patiently(lambda: check_task_role(aws, task_role.rpartition("/")[2], log))
    patiently(lambda: _check_cluster(aws, options, owner, log))
    patiently(lambda: _check_definition(aws, options, owner, log))


def _check_subnets(aws: Aws, options: EcsOptions, log: logging.Logger) -> None:
    try:
        aws.call("ec2:DescribeSubnets", SubnetIds=list(options.ecs_subnets))
    except Denied as error:
        log.warning("the subnets are not looked at, for %s is not allowed", error.action)
    except Refused as error:
        mend = f"aws ec2 describe-subnets --region {aws.region} --query 'Subnets[].SubnetId' shows those there are"
        raise ConfigurationError(f"{error.message.rstrip('.')}.", "--ecs-subnets", mend) from error


def _check_security_groups(aws: Aws, options: EcsOptions, log: logging.Logger) -> None:
    if not options.ecs_security_group_ids:
        return
    try:
        aws.call("ec2:DescribeSecurityGroups", GroupIds=list(options.ecs_security_group_ids))
    except Denied as error:
        log.warning("the security groups are not looked at, for %s is not allowed", error.action)
    except Refused as error:
        mend = (
            f"aws ec2 describe-security-groups --region {aws.region} --query 'SecurityGroups[].[GroupId,GroupName]' "
            "shows those there are"
        )
        raise ConfigurationError(f"{error.message.rstrip('.')}.", "--ecs-security-group-ids", mend) from error


def _check_cluster(aws: Aws, options: EcsOptions, owner: Owner, log: logging.Logger) -> None:
    if not options.spot:
        return
    found = find_cluster(aws, options.ecs_cluster)
    if found is not None and not has_spot(found) and not belongs_to(found.tags, owner):
        raise without_spot(options.ecs_cluster)


def _check_definition(aws: Aws, options: EcsOptions, owner: Owner, log: logging.Logger) -> None:
    found = find_definition(aws, options.ecs_task_definition)
    if found is not None and not belongs_to(found.tags, owner):
        check_foreign(found, options)


def _where(aws: Aws) -> str:
    return f"the AWS profile {aws.profile!r}" if aws.profile else "the AWS credentials of this manager"
