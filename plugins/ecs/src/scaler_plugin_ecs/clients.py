"""Calls to AWS: one session a context, a client a service, every call with a time-out and made once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any, Protocol

from scaler.managers.api import ConfigurationError, Pace

from scaler_plugin_ecs.errors import translated
from scaler_plugin_ecs.options import EcsOptions

CONNECT_SECONDS = 5.0
READ_SECONDS = 12.0
# Of calls at a time; more would wait for a connection.
_CONNECTIONS = 16
# What AWS lets an account do: RunTask on Fargate 20 a second, what changes clusters' resources 20, all else above.
_PACES = {"ecs:RunTask": (18.0, 50), "ecs:StopTask": (36.0, 80)}


class Calling(Protocol):
    """Who makes calls."""

    region: str

    def call(self, action: str, *, creates: bool = False, region: str = "", **parameters: Any) -> dict[str, Any]: ...

    def pages(self, action: str, key: str, **parameters: Any) -> Iterator[Any]: ...


def pages(aws: Calling, action: str, key: str, **parameters: Any) -> Iterator[Any]:
    """What all pages of a list have under `key`."""
    token: dict[str, Any] = {}
    while True:
        answer = aws.call(action, **parameters, **token)
        yield from answer.get(key, ())
        if not answer.get("nextToken"):
            return
        token = {"nextToken": answer["nextToken"]}


class Aws:
    """For all threads of a context."""

    def __init__(self, options: EcsOptions) -> None:
        """ConfigurationError: the profile is not there, or a key lacks its other half."""
        self._options = options
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        self._paces = {name: Pace(*each) for name, each in _PACES.items()}
        self._session = _session(options)
        self.profile = options.aws_profile or os.environ.get("AWS_PROFILE", "")
        self.region = options.aws_region

    def call(self, action: str, *, creates: bool = False, region: str = "", **parameters: Any) -> dict[str, Any]:
        """Calls "ecs:RunTask" and the like.

        creates: whether it changes something. Throttled, CredentialsExpired, TemporaryError; `Denied`; `UnknownOutcome`
        of what changes something; `Refused` with all other codes.
        """
        from botocore import xform_name

        service, _, operation = action.partition(":")
        with self._translating(action, creates):
            client = self._client(service, region or self.region)
            if pace := self._paces.get(action):
                pace.wait()
            answer: dict[str, Any] = getattr(client, xform_name(operation))(**parameters)
        return answer

    def pages(self, action: str, key: str, **parameters: Any) -> Iterator[Any]:
        return pages(self, action, key, **parameters)

    def has_credentials(self) -> bool:
        """Whether there are any; not whether they are good for something."""
        with self._translating("credentials", False):
            return self._session.get_credentials() is not None

    @contextlib.contextmanager
    def _translating(self, action: str, creates: bool) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            instead = translated(error, action, creates, self.profile)
            if instead is error:
                raise
            raise instead from error

    def _client(self, service: str, region: str) -> Any:
        from botocore.config import Config

        with self._lock:
            if (service, region) not in self._clients:
                config = Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                    # The host repeats calls, with patience that all of them share.
                    retries={"total_max_attempts": 1, "mode": "standard"},
                    max_pool_connections=_CONNECTIONS,
                )
                self._clients[service, region] = self._session.client(service, region_name=region, config=config)
            return self._clients[service, region]


def _session(options: EcsOptions) -> Any:
    import boto3
    from botocore.exceptions import ProfileNotFound

    key = options.aws_access_key_id
    secret = options.aws_secret_access_key.get_secret_value() if options.aws_secret_access_key else None
    if bool(key) != bool(secret):
        lacking = "--aws-secret-access-key" if key else "--aws-access-key-id"
        mend = "give both, in the environment best: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise ConfigurationError("An AWS access key is of two halves, and one is missing.", lacking, mend)
    given: dict[str, Any] = {"region_name": options.aws_region}
    # Those of the environment boto3 finds itself, and with them the token that temporary ones need. A profile that was
    # named goes before them.
    if key and not (key == os.environ.get("AWS_ACCESS_KEY_ID") and secret == os.environ.get("AWS_SECRET_ACCESS_KEY")):
        given |= {"aws_access_key_id": key, "aws_secret_access_key": secret}
    elif options.aws_profile:
        given["profile_name"] = options.aws_profile
    try:
        return boto3.Session(**given)
    except ProfileNotFound:
        raise ConfigurationError(
            f"There is no profile {options.aws_profile or os.environ.get('AWS_PROFILE')!r}.",
            "--aws-profile" if options.aws_profile else "AWS_PROFILE",
            "`aws configure list-profiles` shows those that there are; `aws login --profile NAME` makes one",
        ) from None
