"""A task's network: which subnet and groups it is asked to have, and the interface that it gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaler.testing.localcloud.answers import AwsError
from scaler.testing.localcloud.ecs.task import Interface
from scaler.testing.localcloud.moto_part import backend

_MOST_SUBNETS = 16
_MOST_GROUPS = 5


class Network:
    """What RunTask's networkConfiguration says, checked. Raises AwsError."""

    def __init__(self, region: str, given: Mapping[str, Any] | None) -> None:
        own = (given or {}).get("awsvpcConfiguration")
        if not own:
            raise _refused("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
        self._ec2 = backend("ec2", region)
        subnets = own.get("subnets") or []
        if not subnets:
            raise _refused("subnets can not be empty.")
        if len(subnets) > _MOST_SUBNETS:
            raise _refused(f"subnets can have at most {_MOST_SUBNETS} items.")
        self._subnets = [self._subnet(each) for each in subnets]
        self._groups = self._checked(own.get("securityGroups") or [])
        public = own.get("assignPublicIp") or "DISABLED"
        if public not in ("ENABLED", "DISABLED"):
            raise _refused("assignPublicIp should be one of [ENABLED,DISABLED]")
        self._public = public == "ENABLED"

    def make(self, number: int) -> Interface:
        """For the call's so-manieth task: they are spread over the subnets."""
        subnet = self._subnets[number % len(self._subnets)]
        made = self._ec2.create_network_interface(
            subnet=subnet.id, private_ip_address=None, group_ids=self._groups, description="arn:aws:ecs: attachment"
        )
        made.status = "in-use"
        return Interface(
            id=made.id,
            subnet=subnet.id,
            zone=subnet.availability_zone,
            mac=made.mac_address,
            address=made.private_ip_address,
            dns=made.private_dns_name,
            # A subnet that leads to an internet gateway is of no use to who has no public address.
            routed=self._public or not subnet.map_public_ip_on_launch,
        )

    def _subnet(self, name: str) -> Any:
        for each in self._ec2.describe_subnets():
            if each.id == name:
                return each
        raise _refused(
            f"Error retrieving subnet information for [{name}]: The subnet ID '{name}' does not exist "
            "(ErrorCode: InvalidSubnetID.NotFound)"
        )

    def _checked(self, groups: Sequence[str]) -> list[str]:
        """None given: the default one of the network."""
        if len(groups) > _MOST_GROUPS:
            raise _refused(f"securityGroups can have at most {_MOST_GROUPS} items.")
        known = {each.id: each for each in self._ec2.describe_security_groups()}
        network = self._subnets[0].vpc_id
        for each in groups:
            if each not in known:
                raise _refused(
                    f"Error retrieving security group information for [{each}]: The security group '{each}' does not "
                    "exist (ErrorCode: InvalidGroup.NotFound)"
                )
            if known[each].vpc_id != network:
                raise _refused("Security groups and subnets must belong to the same VPC.")
        default = [each.id for each in known.values() if each.vpc_id == network and each.name == "default"]
        return list(groups) or default


def release(region: str, interface: Interface) -> None:
    """The task has ended."""
    ec2 = backend("ec2", region)
    found = ec2.enis.pop(interface.id, None)
    if found is not None:
        found.subnet.del_subnet_ip(found.private_ip_address)
    interface.status = "DELETED"


def _refused(sentence: str) -> AwsError:
    return AwsError("InvalidParameterException", sentence)
