"""IAM's policy language, document by document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scaler.testing.localcloud.iam.policies import Decision, context_from, decide, trusts

ALLOWED, DENIED, UNDECIDED = Decision.ALLOWED, Decision.DENIED, Decision.UNDECIDED


def decision(
    statement: Any, action: str = "s3:GetObject", resource: str = "arn:aws:s3:::b/k", **context: Any
) -> Decision:
    document = json.dumps({"Version": "2012-10-17", "Statement": statement})
    return decide([document], action, resource, context_from({k.replace("__", ":"): v for k, v in context.items()}))


def allow(**more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", **({} if "NotAction" in more else {"Action": "*"}), "Resource": "*", **more}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (allow(), ALLOWED),
        (allow(Action="s3:Get*"), ALLOWED),
        (allow(Action=["s3:Put*", "S3:GETOBJECT"]), ALLOWED),
        (allow(Action="s3:GetObjec?"), ALLOWED),
        (allow(Action="s3:GetObjec??"), UNDECIDED),
        (allow(NotAction="s3:Put*"), ALLOWED),
        (allow(NotAction=["s3:Put*", "s3:Get*"]), UNDECIDED),
        (allow(Resource="arn:aws:s3:::b/*"), ALLOWED),
        (allow(Resource="arn:aws:s3:::B/*"), UNDECIDED),
        (allow(Resource="arn:aws:s3:::b"), UNDECIDED),
        (allow(Resource="arn:aws:s3:::[b]/k"), UNDECIDED),
        ({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::c/*"}, ALLOWED),
        ({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::b/*"}, UNDECIDED),
        ([allow(), allow(Effect="Deny")], DENIED),
        ([allow(Effect="Deny"), allow()], DENIED),
        ([allow(), allow(Effect="Deny", Action="s3:Put*")], ALLOWED),
        ([], UNDECIDED),
    ],
)
def test_actions_resources_and_effects(statement: Any, expected: Decision) -> None:
    assert decision(statement) is expected


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"StringEquals": {"aws:PrincipalTag/A": "x"}}, {"aws:PRINCIPALTAG/a": "x"}, True),
        ({"StringEquals": {"k": ["x", "y"]}}, {"k": "y"}, True),
        ({"StringEquals": {"k": "x*"}}, {"k": "xy"}, False),
        ({"StringEquals": {"k": "x"}}, {}, False),
        ({"StringEqualsIfExists": {"k": "x"}}, {}, True),
        ({"StringEqualsIfExists": {"k": "x"}}, {"k": "y"}, False),
        ({"StringNotEquals": {"k": ["x", "y"]}}, {"k": "y"}, False),
        ({"StringNotEquals": {"k": "x"}}, {}, True),
        ({"StringEqualsIgnoreCase": {"k": "X"}}, {"k": "x"}, True),
        ({"StringLike": {"k": "x*"}}, {"k": "xy"}, True),
        ({"StringNotLike": {"k": "x*"}}, {"k": "xy"}, False),
        ({"StringEquals": {"k": "x", "l": "x"}}, {"k": "x", "l": "y"}, False),
        ({"StringEquals": {"k": "x"}, "StringLike": {"l": "x"}}, {"k": "x"}, False),
        ({"ForAllValues:StringEquals": {"k": ["x", "y"]}}, {"k": ["x"]}, True),
        ({"ForAllValues:StringEquals": {"k": ["x", "y"]}}, {"k": ["x", "z"]}, False),
        ({"ForAllValues:StringEquals": {"k": "x"}}, {}, True),
        ({"ForAnyValue:StringLike": {"k": "x*"}}, {"k": ["a", "xb"]}, True),
        ({"ForAnyValue:StringEquals": {"k": "x"}}, {}, False),
        ({"ForAnyValue:StringNotEquals": {"k": "x"}}, {"k": ["x", "y"]}, True),
        ({"Bool": {"k": "true"}}, {"k": "true"}, True),
        ({"Bool": {"k": True}}, {"k": "true"}, True),
        ({"Null": {"k": "true"}}, {}, True),
        ({"Null": {"k": "false"}}, {}, False),
        ({"NumericLessThan": {"k": "10"}}, {"k": "9"}, True),
        ({"NumericGreaterThanEquals": {"k": 10}}, {"k": "9"}, False),
        ({"NumericEquals": {"k": "10"}}, {"k": "ten"}, False),
        ({"DateGreaterThan": {"k": "2020-01-01T00:00:00Z"}}, {"k": "2026-01-01T00:00:00Z"}, True),
        ({"DateLessThan": {"k": "2020-01-01T00:00:00Z"}}, {"k": "2026-01-01T00:00:00Z"}, False),
        ({"IpAddress": {"k": "127.0.0.0/8"}}, {"k": "127.0.0.1"}, True),
        ({"NotIpAddress": {"k": ["10.0.0.0/8", "127.0.0.1"]}}, {"k": "127.0.0.1"}, False),
        ({"ArnLike": {"k": "arn:aws:ecs:*:*:cluster/*"}}, {"k": "arn:aws:ecs:us-east-1:1:cluster/c"}, True),
        ({"ArnEquals": {"k": "arn:aws:*:cluster/c"}}, {"k": "arn:aws:ecs:us-east-1:1:cluster/c"}, False),
        ({"ArnNotEquals": {"k": "arn:aws:ecs:*:*:cluster/*"}}, {"k": "arn:aws:ecs:us-east-1:1:task/c"}, True),
        ({"StringSounds": {"k": "x"}}, {"k": "x"}, False),
    ],
)
def test_conditions(condition: Any, context: dict[str, Any], holds: bool) -> None:
    assert (decision(allow(Condition=condition), **context) is ALLOWED) == holds


def test_variables_are_filled_from_the_request() -> None:
    own = allow(Resource="arn:aws:s3:::b/${aws:username}/*")
    assert decision(own, resource="arn:aws:s3:::b/joe/k", aws__username="joe") is ALLOWED
    assert decision(own, resource="arn:aws:s3:::b/jim/k", aws__username="joe") is UNDECIDED
    assert decision(own, resource="arn:aws:s3:::b/jim/k", aws__username="*") is UNDECIDED
    assert decision(own, resource="arn:aws:s3:::b/joe/k") is UNDECIDED


def test_a_star_that_is_meant_literally() -> None:
    literal = allow(Resource="arn:aws:s3:::b/${*}")
    assert decision(literal, resource="arn:aws:s3:::b/*") is ALLOWED
    assert decision(literal, resource="arn:aws:s3:::b/k") is UNDECIDED


@pytest.mark.parametrize(
    ("principal", "trusted"),
    [
        ({"Service": "ecs-tasks.amazonaws.com"}, True),
        ({"Service": ["ec2.amazonaws.com", "ecs-tasks.amazonaws.com"]}, True),
        ({"Service": "ec2.amazonaws.com"}, False),
        ({"AWS": "*"}, False),
        ("*", True),
    ],
)
def test_whom_a_role_trusts(principal: Any, trusted: bool) -> None:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    assert trusts(document, "ecs-tasks.amazonaws.com") is trusted
