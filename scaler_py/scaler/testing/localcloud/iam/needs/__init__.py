"""What a call needs: actions on resources, each of which somebody must be allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.iam.needs import batch, ec2, ecs, iam, others, storage
from scaler.testing.localcloud.iam.needs.need import Need

__all__ = ["Need", "needs_of"]

_BY_SERVICE: dict[str, Callable[[Call], Iterable[Need]]] = {
    "batch": batch.needs,
    "ec2": ec2.needs,
    "ecr": others.ecr,
    "ecs": ecs.needs,
    "iam": iam.needs,
    "logs": others.logs,
    "s3": storage.needs,
    "secretsmanager": others.secretsmanager,
    "ssm": others.ssm,
    "sts": others.sts,
}


def needs_of(call: Call) -> list[Need]:
    """With the cloud's lock held: some is looked up, like the roles of a task definition."""
    of = _BY_SERVICE.get(call.service)
    return list(of(call)) if of is not None else [Need(call.name)]
