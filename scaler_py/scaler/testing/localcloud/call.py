"""A request to AWS, as its sender meant it: which operation of which service, with what, by whom."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import botocore.session
from botocore.model import ServiceModel

# Services by the name that requests are signed for, where botocore has another.
_SIGNED_AS = {"elasticloadbalancing": "elbv2", "monitoring": "cloudwatch"}


@dataclass
class Call:
    """parameters: as botocore's models name them; of the query protocol they stay flat text ("Tag.1.Key").

    access_key: empty for a request that nobody signed. environ: the WSGI request, for who goes on to moto.
    number: in the record, from 1.
    """

    service: str
    operation: str
    parameters: dict[str, Any]
    access_key: str
    session_token: str
    region: str
    protocol: str
    environ: dict[str, Any] = field(repr=False)
    body: bytes = field(repr=False, default=b"")
    number: int = 0

    @property
    def name(self) -> str:
        """Like "ecs:RunTask"."""
        return f"{self.service}:{self.operation}"


def read_call(environ: dict[str, Any], body: bytes) -> Call:
    """Service and operation are empty where nobody can say."""
    scope = _scope(environ)
    access_key, region, signed = scope.get("key", ""), scope.get("region", "us-east-1"), scope.get("service", "s3")
    service = _SIGNED_AS.get(signed, signed)
    protocol, operation = "", ""
    parameters: dict[str, Any] = {}
    if (model := service_model(service)) is not None:
        protocol = str(model.metadata.get("protocol", ""))
        operation, parameters = _read(model, protocol, environ, body)
    token = str(environ.get("HTTP_X_AMZ_SECURITY_TOKEN", ""))
    return Call(service, operation, parameters, access_key, token, region, protocol, environ, body)


def _scope(environ: Mapping[str, Any]) -> dict[str, str]:
    """Of a signature of version 4, in the header or, presigned, in the address."""
    given = str(environ.get("HTTP_AUTHORIZATION", "")) or unquote(str(environ.get("QUERY_STRING", "")))
    found = re.search(r"Credential=(?P<key>[^/&,]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request", given)
    return found.groupdict() if found else {}


@functools.cache
def service_model(service: str) -> ServiceModel | None:
    session = botocore.session.get_session()
    try:
        return session.get_service_model(service)
    except Exception:  # botocore's own for what it does not know
        return None


def _read(model: ServiceModel, protocol: str, environ: Mapping[str, Any], body: bytes) -> tuple[str, dict[str, Any]]:
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return str(target).rpartition(".")[2], _json(body)
    if protocol in ("query", "ec2"):
        pairs = dict(parse_qsl((body or str(environ.get("QUERY_STRING", "")).encode()).decode(), True))
        return pairs.pop("Action", ""), pairs
    return _rest(model, protocol, environ, body)


def _json(body: bytes) -> dict[str, Any]:
    """ValueError: it is none, or none that is an object."""
    found = json.loads(body or b"{}")
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


@dataclass(frozen=True)
class _Address:
    """Where an operation is. fixed: what the query must have, with its value if it has one; headers: that must be
    there, as WSGI names them. weight: of two that fit the heavier one is meant."""

    method: str
    pattern: re.Pattern[str]
    fixed: Mapping[str, str]
    headers: frozenset[str]
    weight: int
    operation: str

    def parameters(self, environ: Mapping[str, Any], query: Mapping[str, str]) -> dict[str, str] | None:
        """Those that are in the path; None: the request is not for it."""
        if self.method != environ["REQUEST_METHOD"] or not self.headers <= environ.keys():
            return None
        if any(name not in query or value not in ("", query[name]) for name, value in self.fixed.items()):
            return None
        found = self.pattern.fullmatch(str(environ.get("PATH_INFO", "/")))
        return None if found is None else {name: unquote(value) for name, value in found.groupdict().items() if value}


def _rest(model: ServiceModel, protocol: str, environ: Mapping[str, Any], body: bytes) -> tuple[str, dict[str, Any]]:
    query = dict(parse_qsl(str(environ.get("QUERY_STRING", "")), True))
    for each in _addresses(model):
        if (own := each.parameters(environ, query)) is not None:
            return each.operation, {**query, **own, **(_json(body) if protocol == "rest-json" else {})}
    return "", dict(query)


@functools.cache
def _addresses(model: ServiceModel) -> list[_Address]:
    """The heaviest first: what says most about a request."""
    found = [_address(model, name) for name in model.operation_names]
    return sorted(found, key=lambda each: -each.weight)


def _address(model: ServiceModel, name: str) -> _Address:
    operation = model.operation_model(name)
    path, _, query = operation.http["requestUri"].partition("?")
    fixed = {key: value for key, _, value in (each.partition("=") for each in query.split("&") if each)}
    # Who reads the request sees the difference between PutObject, CopyObject and UploadPart only in these.
    headers = set()
    shape = operation.input_shape
    for member in shape.required_members if shape is not None else ():
        where = shape.members[member].serialization
        if where.get("location") == "querystring":
            fixed.setdefault(where["name"], "")
        elif where.get("location") == "header":
            headers.add("HTTP_" + where["name"].upper().replace("-", "_"))
    parts = re.split(r"\{(\w+)(\+?)\}", path)
    pattern = re.escape(parts[0])
    for at in range(1, len(parts), 3):
        pattern += f"(?P<{parts[at]}>{'.+' if parts[at + 1] else '[^/]+'})" + re.escape(parts[at + 2])
    weight = len("".join(parts[::3])) + 1000 * (len(fixed) + len(headers)) - operation.deprecated
    return _Address(operation.http["method"], re.compile(pattern + "/?"), fixed, frozenset(headers), weight, name)
