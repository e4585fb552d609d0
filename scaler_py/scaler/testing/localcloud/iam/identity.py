"""Who calls: the owner of an access key."""

from __future__ import annotations

import time
from dataclasses import dataclass

from scaler.testing.localcloud.cloud import ACCOUNT
from scaler.testing.localcloud.moto_part import backend

ROOT_ARN = f"arn:aws:iam::{ACCOUNT}:root"


@dataclass(frozen=True)
class Principal:
    """arn: as AWS names it in refusals. source: the user or role whose policies count; empty for root, who may do all.

    session_policy: JSON, what the session was narrowed to. expired: it was a session's key, whose time is over.
    inactive: it is a user's key that was switched off.
    """

    arn: str
    source: str = ""
    session_policy: str = ""
    expired: bool = False
    inactive: bool = False


ROOT = Principal(ROOT_ARN)


@dataclass(frozen=True)
class Credentials:
    """Of a session. expires: seconds since 1970."""

    access_key: str
    secret: str
    token: str
    expires: float


def caller(access_key: str) -> Principal:
    """A key that nobody has made is the root's. To be called with the cloud's lock held."""
    if (user := backend("iam", "aws").get_user_from_access_key_id(access_key)) is not None:
        return Principal(user.arn, user.arn, inactive=user.get_access_key_by_id(access_key).status != "Active")
    if (role := backend("sts", "aws").get_assumed_role_from_access_key(access_key)) is not None:
        expired = bool(role.expiration.timestamp() < time.time())
        return Principal(role.arn, role.role_arn, role.policy or "", expired)
    return ROOT


def make_session(role_arn: str, name: str, seconds: int = 3600) -> Credentials:
    """As a service hands it to what it runs: ECS to a task, EC2 to an instance. With the cloud's lock held."""
    session = backend("sts", "aws").assume_role(
        region_name="us-east-1",
        role_session_name=name,
        role_arn=role_arn,
        policy="",
        duration=seconds,
        external_id="",
    )
    return Credentials(
        session.access_key_id, session.secret_access_key, session.session_token, session.expiration.timestamp()
    )
