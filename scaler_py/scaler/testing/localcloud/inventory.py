"""What is there of the services that this cloud leaves to moto."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scaler.testing.localcloud.cloud import ACCOUNT, Cloud, Handler, Resource
from scaler.testing.localcloud.moto_part import backends
from scaler.testing.localcloud.settings import Settings


class Inventory:
    """Only of resources: nothing is answered here."""

    def __init__(self, cloud: Cloud, settings: Settings) -> None:
        return

    def handlers(self) -> Mapping[str, Handler]:
        return {}

    def controls(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {}

    def reset(self) -> None:
        return

    def resources(self) -> Iterable[Resource]:
        for _, s3 in backends("s3"):
            for bucket in s3.buckets.values():
                yield Resource("s3 bucket", bucket.name)
                for key in bucket.keys:
                    yield Resource("s3 object", f"{bucket.name}/{key}")
        for _, ecr in backends("ecr"):
            for repository in ecr.repositories.values():
                yield Resource("ecr repository", repository.arn)
        for region, ssm in backends("ssm"):
            for parameter in ssm.describe_parameters([], []):
                # AWS's own are public.
                if not parameter.name.startswith("/aws/"):
                    arn = f"arn:aws:ssm:{region}:{ACCOUNT}:parameter/{parameter.name.lstrip('/')}"
                    yield Resource("ssm parameter", arn)
        for _, secrets in backends("secretsmanager"):
            for secret in secrets.secrets.values():
                yield Resource("secret", secret.arn)
