"""What RunInstances is to launch: its own parameters over those of its launch template's version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from botocore.model import ListShape, Shape, StructureShape
from botocore.serialize import create_serializer
from moto.core.exceptions import ServiceException

from scaler.testing.localcloud.call import Call, service_model
from scaler.testing.localcloud.forms import structured
from scaler.testing.localcloud.moto_part import backend


def launch_of(call: Call) -> dict[str, Any]:
    """By the names that SDKs have. A template that is not there adds nothing: moto says so. With the lock held.

    Tags of both, one specification a kind; where both have a key the call's value.
    """
    given = structured(call)
    data = dict(template_data(call.region, given.get("LaunchTemplate", {})))
    if "UserData" in data:
        data["UserData"] = str(data["UserData"])
    specifications = [*data.pop("TagSpecifications", []), *given.get("TagSpecifications", [])]
    launch = {**data, **given}
    if specifications:
        launch["TagSpecifications"] = [
            {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            for kind in dict.fromkeys(str(each.get("ResourceType")) for each in specifications)
            if (tags := tags_of(specifications, kind))
        ]
    return launch


def with_launch(call: Call, launch: Mapping[str, Any]) -> Call:
    """The call as it would be if all of this had been written into it: moto takes less from templates."""
    model = service_model("ec2")
    assert model is not None
    operation = model.operation_model(call.operation)
    known = _known(operation.input_shape, launch)
    form = create_serializer("ec2", False).serialize_to_request(known, operation)["body"]
    body = urlencode(form).encode()
    return replace(call, body=body, parameters={key: str(value) for key, value in form.items()})


def template_data(region: str, named: Mapping[str, Any]) -> Mapping[str, Any]:
    """named: LaunchTemplateId or LaunchTemplateName, and Version."""
    ec2 = backend("ec2", region)
    try:
        if identity := named.get("LaunchTemplateId"):
            template = ec2.get_launch_template(identity)
        elif name := named.get("LaunchTemplateName"):
            template = ec2.get_launch_template_by_name(name)
        else:
            return {}
        data: Mapping[str, Any] = template.get_version(named.get("Version") or "$Default").data
        return data
    except (ServiceException, ValueError):
        return {}


def tags_of(specifications: list[Mapping[str, Any]], kind: str) -> dict[str, str]:
    """kind: like "instance"."""
    return {
        str(tag.get("Key", "")): str(tag.get("Value", ""))
        for each in specifications
        if each.get("ResourceType") == kind
        for tag in each.get("Tags", [])
    }


def _known(shape: Shape | None, value: Any) -> Any:
    """Without what this operation has no parameter for."""
    if isinstance(shape, StructureShape):
        return {name: _known(shape.members[name], below) for name, below in value.items() if name in shape.members}
    if isinstance(shape, ListShape):
        return [_known(shape.member, each) for each in value]
    return value
