"""The metadata service of instances: each finds its own at $AWS_EC2_METADATA_SERVICE_ENDPOINT, as SDKs do."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from scaler.testing.localcloud.answers import Answer
from scaler.testing.localcloud.cloud import ACCOUNT, Cloud
from scaler.testing.localcloud.ec2.life import Life
from scaler.testing.localcloud.ec2.machine import Machine
from scaler.testing.localcloud.iam import Iam
from scaler.testing.localcloud.iam.identity import Credentials, make_session

# A session's credentials are made anew when less than this is left of them.
_RENEW_SECONDS = 300.0

# A value, or what is below; a function for what is only made when somebody asks.
_Tree = Mapping[str, Any]


class Metadata:
    """Takes the cloud's lock itself."""

    def __init__(self, cloud: Cloud, life: Life) -> None:
        self._cloud = cloud
        self._life = life

    def answer(self, path: str, environ: Mapping[str, Any], _: bytes = b"") -> Answer:
        """path: like "i-1234/latest/meta-data/instance-id"."""
        instance, rest = path.split("/", 1) if "/" in path else (path, "")
        with self._cloud.lock:
            machine = self._life.machines.get(instance)
            if machine is None or machine.process is None:
                return Answer(404)
            options = machine.instance.metadata_options
            if options.http_endpoint == "disabled":
                return Answer(403)
            if environ["REQUEST_METHOD"] == "PUT":
                return _token(machine, environ) if rest.strip("/") == "latest/api/token" else Answer(405)
            token = environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN")
            if token not in machine.tokens if token is not None else options.http_tokens == "required":
                return Answer(401)
            return _found(self._tree(machine), [each for each in rest.split("/") if each])

    def _tree(self, machine: Machine) -> _Tree:
        instance = machine.instance
        document = {
            "accountId": ACCOUNT,
            "availabilityZone": instance.availability_zone,
            "imageId": instance.image_id,
            "instanceId": machine.id,
            "instanceType": instance.instance_type,
            "privateIp": instance.private_ip,
            "region": machine.region,
        }
        meta: dict[str, Any] = {
            "ami-id": instance.image_id,
            "instance-id": machine.id,
            "instance-life-cycle": "spot" if machine.is_spot else "on-demand",
            "instance-type": instance.instance_type,
            "local-hostname": instance.private_dns_name,
            "local-ipv4": instance.private_ip,
            "placement": {"availability-zone": instance.availability_zone, "region": machine.region},
            "security-groups": "\n".join(each.name for each in instance.security_groups),
        }
        if machine.notice_at:
            at = _timestamp(machine.notice_at)
            action = json.dumps({"action": "terminate", "time": at})
            meta["spot"] = {"instance-action": action, "termination-time": at}
        if instance.metadata_options.instance_metadata_tags == "enabled":
            meta["tags"] = {"instance": {each["key"]: each["value"] for each in instance.get_tags()}}
        if role := self._role(machine):
            name = role.rpartition("/")[2]
            meta["iam"] = {"security-credentials": {name: lambda: _credentials(machine, role)}}
        identity = {"instance-identity": {"document": json.dumps(document, indent=2)}}
        user_data = {"user-data": machine.user_data} if machine.user_data else {}
        return {"latest": {"meta-data": meta, "dynamic": identity, **user_data}}

    def _role(self, machine: Machine) -> str:
        """As EC2 sees it by now."""
        seen = self._cloud.part(Iam).consistency.now()
        profile = seen.profiles.get(machine.profile)
        role = profile.role if profile is not None else None
        return role if role is not None and role in seen.roles else ""


def _token(machine: Machine, environ: Mapping[str, Any]) -> Answer:
    if "HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS" not in environ:
        return Answer(400)
    token = uuid.uuid4().hex
    machine.tokens.add(token)
    ttl = str(environ["HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS"])
    return Answer(200, {"X-aws-ec2-metadata-token-ttl-seconds": ttl}, token.encode())


def _found(tree: Any, path: list[str]) -> Answer:
    for each in path:
        if not isinstance(tree, Mapping) or each not in tree:
            return Answer(404)
        tree = tree[each]
    if isinstance(tree, Mapping):
        tree = "\n".join(f"{name}/" if isinstance(below, Mapping) else name for name, below in tree.items())
    content = tree() if callable(tree) else tree
    return Answer(200, {"Content-Type": "text/plain"}, content if isinstance(content, bytes) else str(content).encode())


def _credentials(machine: Machine, role: str) -> str:
    if machine.session is None or machine.session.expires - time.time() < _RENEW_SECONDS:
        machine.session = make_session(role, machine.id)
    session: Credentials = machine.session
    return json.dumps(
        {
            "Code": "Success",
            "LastUpdated": _timestamp(time.time()),
            "Type": "AWS-HMAC",
            "AccessKeyId": session.access_key,
            "SecretAccessKey": session.secret,
            "Token": session.token,
            "Expiration": _timestamp(session.expires),
        },
        indent=2,
    )


def _timestamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
