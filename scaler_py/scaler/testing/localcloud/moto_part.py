"""moto, as the last stage: what no part of this cloud answers itself."""

from __future__ import annotations

import functools
import io
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from moto.core.base_backend import BackendDict
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from scaler.testing.localcloud.answers import Answer
from scaler.testing.localcloud.call import Call

__all__ = ["Moto", "backend", "backends", "reset"]


class Moto:
    """lock: held while moto works, so that nobody else sees its state half changed."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._application = DomainDispatcherApplication(create_backend_app)  # type: ignore[no-untyped-call, unused-ignore]

    def __call__(self, call: Call) -> Answer:
        environ = {**call.environ, "wsgi.input": io.BytesIO(call.body), "CONTENT_LENGTH": str(len(call.body))}
        told: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            told["status"] = int(status.split()[0])
            told["headers"] = dict(headers)

        with self._lock:
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
    if f"moto.{service}.models" not in sys.modules:
        return  # and to look for some would take a second
    from moto.backends import get_backend

    found: BackendDict[Any] = get_backend(service)  # type: ignore[call-overload]
    yield from list(found[account].items())


def reset() -> None:
    """As new. Quicker than moto's own way, which makes all of its state anew before it is thrown away."""
    from moto.moto_api._internal.models import moto_api_backend

    for name, module in list(sys.modules.items()):
        if name.startswith("moto.") and name.endswith(".models"):
            for each in list(vars(module).values()):
                if isinstance(each, BackendDict):
                    each.clear()
    moto_api_backend.reset()  # type: ignore[no-untyped-call, unused-ignore]
    policies = _aws_policies()
    for each in policies:
        each.attachment_count = 0
    iam = backend("iam", "aws")
    iam.aws_managed_policies = policies
    iam.managed_policies = {each.arn: each for each in policies}


@functools.cache
def _aws_policies() -> list[Any]:
    """AWS's own. moto would read them for every partition of AWS and after every reset: longer than all the rest."""
    from moto.iam.models import IAMBackend

    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    try:
        return list(IAMBackend("aws", "123456789012").aws_managed_policies)  # type: ignore[no-untyped-call, unused-ignore]
    finally:
        del os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"]
