"""Whether somebody may do something, and AWS's sentence where not."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaler.testing.localcloud.cloud import ACCOUNT
from scaler.testing.localcloud.iam.consistency import Consistency, documents_of
from scaler.testing.localcloud.iam.identity import Principal
from scaler.testing.localcloud.iam.needs.need import Need
from scaler.testing.localcloud.iam.policies import Context, Decision, context_from, decide
from scaler.testing.localcloud.moto_part import backend


@dataclass(frozen=True)
class _Policies:
    documents: Sequence[str]
    boundary: str = ""


class Access:
    """With the cloud's lock held."""

    def __init__(self, consistency: Consistency) -> None:
        self._consistency = consistency

    def refusal(self, who: Principal, need: Need) -> str:
        """Empty when it is allowed."""
        if not who.source:
            return ""
        decision, why = self.decide(who, need)
        if decision is Decision.ALLOWED:
            return ""
        told = f"User: {who.arn} is not authorized to perform: {need.action} on resource: {need.resource}"
        if decision is Decision.DENIED:
            return f"{told} with an explicit deny in {why}"
        return f"{told} because no {why} allows the {need.action} action"

    def decide(self, who: Principal, need: Need) -> tuple[Decision, str]:
        """With the kind of policy that decided it."""
        policies = self._policies(who.source)
        context = _context(who, need.context)
        asked = [("identity-based policy", policies.documents)]
        if policies.boundary:
            asked.append(("permissions boundary", [policies.boundary]))
        if who.session_policy:
            asked.append(("session policy", [who.session_policy]))
        decisions = [(decide(documents, need.action, need.resource, context), kind) for kind, documents in asked]
        for decision, kind in decisions:
            if decision is Decision.DENIED:
                return decision, f"an {kind}" if kind[0] == "i" else f"a {kind}"
        return next((each for each in decisions if each[0] is Decision.UNDECIDED), decisions[0])

    def _policies(self, arn: str) -> _Policies:
        """A user's as IAM has them now, a role's as the others see it."""
        if (role := self._consistency.now().roles.get(arn)) is not None:
            return _Policies(role.documents, role.boundary)
        iam = backend("iam", "aws")
        for user in iam.users.values():
            if user.arn == arn:
                groups = iam.get_groups_for_user(user.name)
                return _Policies([*documents_of(user), *(each for group in groups for each in documents_of(group))])
        return _Policies([])


def _context(who: Principal, more: Mapping[str, str | Sequence[str]]) -> Context:
    """What every request has, and this one's own."""
    kind, _, name = who.source.rpartition(":")[2].partition("/")
    common: dict[str, str | Sequence[str]] = {
        "aws:PrincipalArn": who.source,
        "aws:PrincipalAccount": ACCOUNT,
        "aws:ResourceAccount": ACCOUNT,
        "aws:SourceIp": "127.0.0.1",
        # Over loopback nothing is encrypted; at AWS it would be.
        "aws:SecureTransport": "true",
        "aws:CurrentTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "aws:EpochTime": str(int(time.time())),
    }
    if kind == "user":
        common["aws:username"] = name.rpartition("/")[2]
    return context_from({**common, **more})
