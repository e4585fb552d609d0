"""What RunInstances refuses at AWS and not in moto."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Mapping
from typing import Any

from moto.core.exceptions import ServiceException

from scaler.testing.localcloud.answers import AwsError
from scaler.testing.localcloud.iam.consistency import Seen, SeenProfile
from scaler.testing.localcloud.moto_part import backend

_USER_DATA_BYTES = 16384
_TOKEN_CHARACTERS = 64


def user_data_of(launch: Mapping[str, Any]) -> bytes:
    """Decoded; empty where there is none."""
    try:
        data = base64.b64decode(str(launch.get("UserData") or ""), validate=True)
    except binascii.Error:
        raise AwsError("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from None
    if len(data) > _USER_DATA_BYTES:
        raise AwsError("InvalidParameterValue", f"User data is limited to {_USER_DATA_BYTES} bytes")
    return data


def profile_of(launch: Mapping[str, Any], seen: Seen) -> SeenProfile | None:
    """seen: of IAM, by EC2."""
    named = launch.get("IamInstanceProfile") or {}
    for key, told in (("Arn", "ARN"), ("Name", "name")):
        if not (value := named.get(key)):
            continue
        for each in seen.profiles.values():
            if value in (each.arn, each.name):
                if each.role is None:
                    raise AwsError(
                        "InvalidParameterValue", f'IAM Instance Profile "{each.arn}" has no associated IAM Roles'
                    )
                return each
        place = f"Value ({value}) for parameter iamInstanceProfile.{key.lower()} is invalid."
        raise AwsError("InvalidParameterValue", f"{place} Invalid IAM Instance Profile {told}")
    return None


def check_launch(region: str, launch: Mapping[str, Any]) -> None:
    least, most = _count(launch, "MinCount"), _count(launch, "MaxCount")
    if least > most:
        raise AwsError("InvalidParameterValue", f"The minCount ({least}) must not exceed the maxCount ({most})")
    token = str(launch.get("ClientToken") or "")
    if len(token) > _TOKEN_CHARACTERS or not token.isascii():
        raise AwsError(
            "InvalidParameterValue", f"The client token must be at most {_TOKEN_CHARACTERS} ASCII characters"
        )
    _check_image(region, str(launch.get("ImageId") or ""))
    _check_kind(region, str(launch.get("InstanceType") or ""))
    key = launch.get("KeyName")
    if key and key not in backend("ec2", region).key_pairs:
        raise AwsError("InvalidKeyPair.NotFound", f"The key pair '{key}' does not exist")


def _count(launch: Mapping[str, Any], name: str) -> int:
    if name not in launch:
        raise AwsError("MissingParameter", f"The request must contain the parameter {name}")
    count = int(launch[name])
    if count < 1:
        told = f"Value ({count}) for parameter {name[0].lower()}{name[1:]} is invalid. Expected a positive integer."
        raise AwsError("InvalidParameterValue", told)
    return count


def _check_image(region: str, image: str) -> None:
    if not image:
        raise AwsError("MissingParameter", "The request must contain the parameter ImageId")
    if not image.startswith("ami-"):
        raise AwsError("InvalidAMIID.Malformed", f'Invalid id: "{image}" (expecting "ami-...")')
    if image not in backend("ec2", region).amis:
        raise AwsError("InvalidAMIID.NotFound", f"The image id '[{image}]' does not exist")


def _check_kind(region: str, kind: str) -> None:
    with contextlib.suppress(ServiceException):
        if not kind or backend("ec2", region).describe_instance_types([kind], None):
            return
    raise AwsError("InvalidParameterValue", f"Invalid value '{kind}' for InstanceType.")
