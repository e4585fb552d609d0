"""What of EC2 costs, or is in somebody's way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scaler.testing.localcloud.cloud import Resource
from scaler.testing.localcloud.ec2.machine import Machine


def resources_of(ec2: Any, machines: Mapping[str, Machine]) -> Iterator[Resource]:
    """Of a region; ec2: moto's backend. What goes with its instance is not told by itself."""

    def tags(identity: str) -> dict[str, str]:
        return dict(ec2.tags.get(identity, {}))

    alive: set[str] = set()
    for instance in ec2.all_instances():
        machine = machines.get(instance.id)
        left = instance.state != "terminated"
        if left:
            alive.add(instance.id)
        more = _more(machine) if machine is not None else {}
        yield Resource("ec2 instance", instance.id, instance.state, tags(instance.id), left, more)
    for groups in ec2.groups.values():
        for group in groups.values():
            if group.name != "default":
                yield Resource("ec2 security group", group.id, tags=tags(group.id), more={"name": group.name})
    for pair in ec2.key_pairs.values():
        yield Resource("ec2 key pair", pair.key_name)
    for template in ec2.launch_templates.values():
        yield Resource("ec2 launch template", template.id, tags=tags(template.id), more={"name": template.name})
    for volume in ec2.volumes.values():
        if volume.attachment is None or volume.attachment.instance.id not in alive:
            yield Resource("ec2 volume", volume.id, volume.status, tags(volume.id))
    for interface in ec2.enis.values():
        if interface.instance is None or interface.instance.id not in alive:
            yield Resource("ec2 network interface", interface.id, tags=tags(interface.id))
    for request in ec2.spot_instance_requests.values():
        left = request.state in ("open", "active")
        yield Resource("ec2 spot request", request.id, request.state, tags(request.id), left)


def _more(machine: Machine) -> dict[str, Any]:
    notice = {"action": "terminate", "time": machine.notice_at} if machine.notice_at else None
    return {
        "instance_action": notice,
        "process": machine.process.pid if machine.process is not None else None,
        "shutdown_behavior": machine.instance.instance_initiated_shutdown_behavior,
        "spot": machine.is_spot,
    }
