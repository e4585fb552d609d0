"""What is there of what the driver needs, under exact names, with its tags. None: nothing of that name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scaler_plugin_ecs.clients import Calling
from scaler_plugin_ecs.errors import Denied, Refused
from scaler_plugin_ecs.tagging import as_dict


@dataclass(frozen=True)
class Found:
    """id: its ARN. about: as AWS describes it."""

    id: str
    tags: Mapping[str, str]
    about: Mapping[str, Any]


def find_cluster(aws: Calling, name: str, region: str = "") -> Found | None:
    answer = aws.call("ecs:DescribeClusters", region=region, clusters=[name], include=["TAGS"])
    for each in answer.get("clusters", ()):
        if each.get("status") != "INACTIVE":
            return Found(each["clusterArn"], as_dict(each.get("tags")), each)
    return None


def find_definition(aws: Calling, family: str, region: str = "") -> Found | None:
    """Its newest active revision."""
    found = find_revision(aws, family, region)
    return found if found is not None and found.about.get("status", "ACTIVE") == "ACTIVE" else None


def find_revision(aws: Calling, name: str, region: str = "") -> Found | None:
    """name: the ARN of a revision, active or not; or a family."""
    try:
        answer = aws.call("ecs:DescribeTaskDefinition", region=region, taskDefinition=name, include=["TAGS"])
    except Refused as error:
        if error.code != "ClientException":
            raise
        return None  # all that AWS says of one that is not there
    about = answer["taskDefinition"]
    return Found(about["taskDefinitionArn"], as_dict(answer.get("tags")), about)


def find_role(aws: Calling, name: str) -> Found | None:
    """name: without its path."""
    try:
        about = aws.call("iam:GetRole", RoleName=name)["Role"]
    except Refused as error:
        if not error.code.startswith("NoSuchEntity"):
            raise
        return None
    return Found(about["Arn"], as_dict(about.get("Tags")), about)


def find_log_group(aws: Calling, name: str, region: str = "") -> Found | None:
    """Its tags are empty where they may not be looked at."""
    answer = aws.call("logs:DescribeLogGroups", region=region, logGroupNamePrefix=name)
    for each in answer.get("logGroups", ()):
        if each["logGroupName"] == name:
            # Of the two ARNs that a group has the one without ":*" is for its tags.
            arn = each["arn"].removesuffix(":*")
            try:
                tags = aws.call("logs:ListTagsForResource", region=region, resourceArn=arn).get("tags", {})
            except Denied:
                tags = {}
            return Found(arn, tags, each)
    return None


def trusts_tasks(role: Mapping[str, Any]) -> bool:
    """Whether ECS may assume a role for a task."""
    document = role.get("AssumeRolePolicyDocument", {})
    return "ecs-tasks.amazonaws.com" in (document if isinstance(document, str) else json.dumps(document))
