"""Condition operators of IAM's policies."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from scaler.testing.localcloud.iam.patterns import filled, fits

# Whether a value of the request is as one of the policy says.
_Test = Callable[[str, str], bool]


def holds(operator: str, keys: Mapping[str, Sequence[str]], context: Mapping[str, Sequence[str]]) -> bool:
    """keys: condition keys in lower case, with the policy's values, one of which must be met; all keys must hold.

    An operator that IAM does not have holds never.
    """
    quantifier, _, name = operator.rpartition(":")
    optional = name.endswith("IfExists")
    return all(
        _holds(quantifier, name.removesuffix("IfExists"), optional, wanted, context.get(key), context)
        for key, wanted in keys.items()
    )


def _holds(
    quantifier: str,
    name: str,
    optional: bool,
    wanted: Sequence[str],
    values: Sequence[str] | None,
    context: Mapping[str, Sequence[str]],
) -> bool:
    if name == "Null":
        return all((values is None) == (each == "true") for each in wanted)
    negated = name in _NEGATED
    test = _TESTS.get(_NEGATED.get(name, name))
    if test is None:
        return False
    if not values:
        return optional or quantifier == "ForAllValues" or (negated and quantifier != "ForAnyValue")
    patterns = [each for each in (filled(pattern, context) for pattern in wanted) if each is not None]

    def meets(value: str) -> bool:
        return any(_safely(test, pattern, value) for pattern in patterns) != negated

    # A negated operator without a quantifier denies what any of the values has.
    if quantifier == "ForAllValues" or (negated and not quantifier):
        return all(meets(each) for each in values)
    return any(meets(each) for each in values)


def _safely(test: _Test, pattern: str, value: str) -> bool:
    try:
        return test(pattern, value)
    except ValueError:
        return False


def _arns(pattern: str, value: str) -> bool:
    """Part by part: a `*` does not reach over a colon, but in the last one."""
    patterns, values = pattern.split(":", 5), value.split(":", 5)
    return len(patterns) == len(values) and all(fits(each, of) for each, of in zip(patterns, values, strict=True))


def _address(pattern: str, value: str) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(pattern, strict=False)


def _time(text: str) -> float:
    if text.replace(".", "", 1).isdigit():
        return float(text)
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


_TESTS: dict[str, _Test] = {
    "StringEquals": lambda pattern, value: pattern == value,
    "StringEqualsIgnoreCase": lambda pattern, value: pattern.lower() == value.lower(),
    "StringLike": fits,
    "NumericEquals": lambda pattern, value: float(value) == float(pattern),
    "NumericLessThan": lambda pattern, value: float(value) < float(pattern),
    "NumericLessThanEquals": lambda pattern, value: float(value) <= float(pattern),
    "NumericGreaterThan": lambda pattern, value: float(value) > float(pattern),
    "NumericGreaterThanEquals": lambda pattern, value: float(value) >= float(pattern),
    "DateEquals": lambda pattern, value: _time(value) == _time(pattern),
    "DateLessThan": lambda pattern, value: _time(value) < _time(pattern),
    "DateLessThanEquals": lambda pattern, value: _time(value) <= _time(pattern),
    "DateGreaterThan": lambda pattern, value: _time(value) > _time(pattern),
    "DateGreaterThanEquals": lambda pattern, value: _time(value) >= _time(pattern),
    "Bool": lambda pattern, value: pattern.lower() == value.lower(),
    "BinaryEquals": lambda pattern, value: pattern == value,
    "IpAddress": _address,
    # AWS makes no difference between the two.
    "ArnEquals": _arns,
    "ArnLike": _arns,
}
_NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
    "NotIpAddress": "IpAddress",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}
