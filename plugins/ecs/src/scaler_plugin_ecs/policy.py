"""`scaler_worker_manager aws_raw_ecs iam-policy`: exactly what the driver needs, with these options."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from pydantic import ValidationError
from scaler.managers.api import ConfigurationError, Context

from scaler_plugin_ecs.options import DEFAULT_EXECUTION_ROLE, EcsOptions
from scaler_plugin_ecs.policy_line import read
from scaler_plugin_ecs.roles import POLICY


def iam_policy(arguments: Sequence[str], context: Context) -> int:
    """The subcommand. ConfigurationError: an option cannot be."""
    values, account = read(arguments)
    values.setdefault("ecs_subnets", "subnet-any")
    try:
        options = EcsOptions.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        flag = "--" + str(first["loc"][0]).replace("_", "-")
        what, _, mend = first["msg"].removeprefix("Value error, ").partition("\n")
        raise ConfigurationError(what, flag, mend or "see --help of the manager") from None
    sys.stdout.write(json.dumps(policy(options, account), indent=2) + "\n")
    return 0


def policy(options: EcsOptions, account: str = "*") -> dict[str, Any]:
    """The policy as a document. account: 12 digits, or "*"."""
    region = options.aws_region
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    ecs, logs = (f"arn:{partition}:{service}:{region}:{account}" for service in ("ecs", "logs"))
    iam = f"arn:{partition}:iam::{account}"
    names = {
        "cluster": f"{ecs}:cluster/{options.ecs_cluster}",
        "definition": f"{ecs}:task-definition/{options.ecs_task_definition}:*",
        "tasks": f"{ecs}:task/{options.ecs_cluster}/*",
        "execution_role": options.ecs_execution_role_arn or f"{iam}:role/{DEFAULT_EXECUTION_ROLE}",
        "execution_policy": f"arn:{partition}:iam::aws:policy/{POLICY}",
        "task_role": options.ecs_task_role_arn or "",
        "log_group": f"{logs}:log-group:{options.ecs_log_group}",
    }
    document: dict[str, Any] = json.loads(resources.files(__package__).joinpath("iam-policy.json").read_text())
    unneeded = _unneeded(options)
    statements = [_needed(each, names, unneeded) for each in document["Statement"]]
    return {**document, "Statement": [each for each in statements if each is not None]}


def _unneeded(options: EcsOptions) -> set[str]:
    """Statements and actions that these options do without."""
    found = set()
    if not options.spot:
        found.add("ecs:PutClusterCapacityProviders")
    if not options.ecs_security_group_ids:
        found.add("ec2:DescribeSecurityGroups")
    if options.ecs_execution_role_arn:
        found |= {"MakeRole", "GiveRoleItsPolicy"}
    if not options.ecs_log_group:
        found |= {"Logs", "logs:DescribeLogGroups"}
    elif options.ecs_log_retention_days == 0:
        found.add("logs:PutRetentionPolicy")
    return found


def _needed(statement: Mapping[str, Any], names: Mapping[str, str], unneeded: set[str]) -> dict[str, Any] | None:
    if statement["Sid"] in unneeded:
        return None
    actions = [each for each in _as_list(statement["Action"]) if each not in unneeded]
    resources = [each for each in (_filled(one, names) for one in _as_list(statement["Resource"])) if each]
    found = {**statement, "Action": actions, "Resource": resources}
    if "Condition" in statement:
        found["Condition"] = {
            operator: {
                key: [_filled(each, names) for each in value] if isinstance(value, list) else _filled(value, names)
                for key, value in tests.items()
            }
            for operator, tests in statement["Condition"].items()
        }
    return found


def _as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _filled(text: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        text = text.replace("{" + name + "}", value)
    return text
