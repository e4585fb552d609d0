"""What RunInstances is to launch: its own parameters over those of its launch template's version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.core.exceptions import ServiceException

from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.forms import structured
from scaler.testing.localcloud.moto_part import backend


def launch_of(call: Call) -> dict[str, Any]:
    """By the names that SDKs have. A template that is not there adds nothing: moto says so. With the lock held."""
    given = structured(call)
    data = dict(template_data(call.region, given.get("LaunchTemplate", {})))
    tags = [*data.pop("TagSpecifications", []), *given.get("TagSpecifications", [])]
    return {**data, **given, **({"TagSpecifications": tags} if tags else {})}


def template_data(region: str, named: Mapping[str, Any]) -> Mapping[str, Any]:
    """named: LaunchTemplateId or LaunchTemplateName, and Version."""
    version = template_version(region, named)
    return version.data if version is not None else {}


def template_version(region: str, named: Mapping[str, Any]) -> Any:
    """moto's; None where there is none."""
    ec2 = backend("ec2", region)
    try:
        if identity := named.get("LaunchTemplateId"):
            template = ec2.get_launch_template(identity)
        elif name := named.get("LaunchTemplateName"):
            template = ec2.get_launch_template_by_name(name)
        else:
            return None
        return template.get_version(named.get("Version") or "$Default")
    except (ServiceException, ValueError):
        return None


def tags_of(specifications: list[Mapping[str, Any]], kind: str) -> dict[str, str]:
    """kind: like "instance"."""
    return {
        str(tag["Key"]): str(tag.get("Value", ""))
        for each in specifications
        if each.get("ResourceType") == kind
        for tag in each.get("Tags", [])
    }
