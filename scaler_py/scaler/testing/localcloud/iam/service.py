"""IAM: who may do what is really asked, and what is made is seen by others a little later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scaler.testing.localcloud.answers import Answer
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import Cloud, Handler, Next, Resource
from scaler.testing.localcloud.iam.access import Access
from scaler.testing.localcloud.iam.consistency import Consistency
from scaler.testing.localcloud.iam.identity import Principal, caller
from scaler.testing.localcloud.iam.needs import Need, needs_of
from scaler.testing.localcloud.iam.policies import Decision, trusts, trusts_principal
from scaler.testing.localcloud.iam.simulate import simulate
from scaler.testing.localcloud.moto_part import backend
from scaler.testing.localcloud.refusals import denied, expired, invalid
from scaler.testing.localcloud.settings import Settings

# Calls that change nothing.
_READING = ("Get", "List", "Simulate", "Generate")


class Iam:
    """consistency: what other services see of roles and profiles."""

    def __init__(self, cloud: Cloud, settings: Settings) -> None:
        self._cloud = cloud
        self.consistency = Consistency(settings.iam_seconds)
        self._access = Access(self.consistency)
        # Of each key, by action, the resources that it was done to.
        self._needed: dict[str, dict[str, set[str]]] = {}
        # Keys that nobody has made are the root's; these were a user's.
        self._deleted: set[str] = set()

    def stage(self, call: Call, go_on: Next) -> Answer:
        """Refuses what the caller may not do."""
        with self._cloud.lock:
            who = caller(call.access_key)
            if who.expired:
                raise expired(call)
            if who.inactive or call.access_key in self._deleted:
                raise invalid(call)
            needs = needs_of(call)
            of_key = self._needed.setdefault(call.access_key, {})
            for need in needs:
                of_key.setdefault(need.action, set()).add(need.resource)
            for need in needs:
                if refusal := self._access.refusal(who, need):
                    raise denied(call, refusal)
        return go_on(call)

    def allowed(self, arn: str, action: str, resource: str = "*", **context: str) -> bool:
        """Whether a user or role (an ARN) may. A role's policies as others see them. With the cloud's lock held.

        context: condition keys, with two underscores for the colon.
        """
        keys = {name.replace("__", ":"): value for name, value in context.items()}
        return self._access.decide(Principal(arn, arn), Need(action, resource, keys))[0] is Decision.ALLOWED

    def seen(self, arn: str) -> bool:
        """Whether other services know of this role or instance profile. With the cloud's lock held."""
        return self.consistency.seen(arn)

    def trusts(self, role_arn: str, service: str) -> bool:
        """Whether the others see this role, and it lets a service, like "ecs-tasks.amazonaws.com", assume it."""
        role = self.consistency.now().roles.get(role_arn)
        return role is not None and trusts(role.trust, service)

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "iam:*": self._iam,
            "iam:SimulatePrincipalPolicy": self._simulate,
            "sts:AssumeRole": self._assume,
        }

    def _simulate(self, call: Call, _: Next) -> Answer:
        with self._cloud.lock:
            return simulate(call, self._access)

    def _assume(self, call: Call, go_on: Next) -> Answer:
        """moto gives sessions of roles that are not there."""
        with self._cloud.lock:
            who, role = caller(call.access_key), str(call.parameters.get("RoleArn", ""))
            seen = self.consistency.now().roles.get(role)
            if seen is None or not trusts_principal(seen.trust, who.source or who.arn):
                raise denied(call, f"User: {who.arn} is not authorized to perform: sts:AssumeRole on resource: {role}")
            return go_on(call)

    def _iam(self, call: Call, go_on: Next) -> Answer:
        with self._cloud.lock:
            answer = go_on(call)
            if call.operation == "DeleteAccessKey":
                self._deleted.add(str(call.parameters.get("AccessKeyId", "")))
            if not call.operation.startswith(_READING):
                self.consistency.changed()
            return answer

    def resources(self) -> Iterable[Resource]:
        """Users and groups are there for who calls; services' own roles are AWS's business: they are not left."""
        iam = backend("iam", "aws")
        for role in iam.roles.values():
            left = not role.path.startswith("/aws-service-role/")
            yield Resource("iam role", role.arn, tags=_tags(role.tags), left=left)
        for policy in iam.managed_policies.values():
            if not policy.arn.startswith("arn:aws:iam::aws:"):
                yield Resource("iam policy", policy.arn, tags=_tags(policy.tags))
        for profile in iam.instance_profiles.values():
            roles = [each.arn for each in profile.roles]
            yield Resource("iam instance profile", profile.arn, tags=_tags(profile.tags), more={"roles": roles})
        for user in iam.users.values():
            yield Resource("iam user", user.arn, left=False)
        for group in iam.groups.values():
            yield Resource("iam group", group.arn, left=False)

    def controls(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {"actions": self._actions, "needs": self._needs, "allowed": self._allowed}

    def _actions(self, arguments: Mapping[str, Any]) -> list[str]:
        """access_key: whose calls. All actions that they have needed so far, allowed or not."""
        return sorted(self._needs(arguments))

    def _needs(self, arguments: Mapping[str, Any]) -> dict[str, list[str]]:
        """access_key: whose calls. By action the resources."""
        with self._cloud.lock:
            found = self._needed.get(str(arguments["access_key"]), {})
            return {action: sorted(resources) for action, resources in found.items()}

    def _allowed(self, arguments: Mapping[str, Any]) -> bool:
        """arn, action, resource, and context as a mapping of condition keys."""
        need = Need(str(arguments["action"]), str(arguments.get("resource", "*")), arguments.get("context", {}))
        arn = str(arguments["arn"])
        with self._cloud.lock:
            return self._access.decide(Principal(arn, arn), need)[0] is Decision.ALLOWED

    def reset(self) -> None:
        self._needed.clear()
        self._deleted.clear()
        self.consistency.reset()


def _tags(tags: Any) -> dict[str, str]:
    """moto keeps them as lists here and as mappings there."""
    each = tags.values() if isinstance(tags, dict) else tags or []
    return {str(tag["Key"]): str(tag["Value"]) for tag in each if isinstance(tag, dict) and "Key" in tag}
