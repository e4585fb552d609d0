"""moto, as the last stage: what no part of this cloud answers itself."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

# Before anything of moto's is imported: it reads these once.
os.environ.setdefault("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")

from moto.core.base_backend import BackendDict
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from scaler.testing.localcloud.answers import Answer
from scaler.testing.localcloud.call import Call

__all__ = ["Moto", "backend", "backends", "reset"]


class Moto:
    def __init__(self) -> None:
        self._application = DomainDispatcherApplication(create_backend_app)  # type: ignore[no-untyped-call, unused-ignore]

    def __call__(self, call: Call) -> Answer:
        environ = {**call.environ, "wsgi.input": io.BytesIO(call.body), "CONTENT_LENGTH": str(len(call.body))}
        told: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            told["status"] = int(status.split()[0])
            told["headers"] = dict(headers)

        parts = self._application(environ, start)
        try:
            body = b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        return Answer(told["status"], told["headers"], body)


def backend(service: str, region: str = "us-east-1", account: str = "123456789012") -> Any:
    """moto's own state of a service; "aws" is the region of those that have none."""
    from moto.backends import get_backend

    found: BackendDict[Any] = get_backend(service)  # type: ignore[call-overload]
    return found[account][region]


def backends(service: str, account: str = "123456789012") -> Iterator[tuple[str, Any]]:
    """moto's own state of a service in every region that it was used in."""
    from moto.backends import get_backend

    found: BackendDict[Any] = get_backend(service)  # type: ignore[call-overload]
    yield from list(found[account].items())


def reset() -> None:
    """All of moto's state as new. AWS's own policies are kept: to read them takes longer than everything else."""
    from moto.moto_api._internal.models import moto_api_backend

    kept = backend("iam", "aws").aws_managed_policies
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "false"
    try:
        moto_api_backend.reset()  # type: ignore[no-untyped-call, unused-ignore]
        new = backend("iam", "aws")
    finally:
        os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    for policy in kept:
        policy.attachment_count = 0
    new.aws_managed_policies = kept
    new.managed_policies = {policy.arn: policy for policy in kept}
