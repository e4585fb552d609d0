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
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _rest(model: ServiceModel, protocol: str, environ: Mapping[str, Any], body: bytes) -> tuple[str, dict[str, Any]]:
    """The operation with the most literal address that fits; of several the one whose fixed query is there."""
    method, path = str(environ["REQUEST_METHOD"]), str(environ.get("PATH_INFO", "/"))
    query = dict(parse_qsl(str(environ.get("QUERY_STRING", "")), True))
    best: tuple[int, str, dict[str, Any]] = (-1, "", {})
    for wanted, pattern, fixed, literal, name in _addresses(model):
        if wanted != method or not fixed <= query.keys() or not (found := pattern.fullmatch(path)):
            continue
        score = literal + 1000 * len(fixed)
        if score > best[0]:
            best = (score, name, found.groupdict())
    parameters: dict[str, Any] = {**query, **{name: unquote(value) for name, value in best[2].items() if value}}
    return best[1], {**parameters, **(_json(body) if protocol == "rest-json" else {})}


@functools.cache
def _addresses(model: ServiceModel) -> list[tuple[str, re.Pattern[str], frozenset[str], int, str]]:
    found = []
    for name in model.operation_names:
        http = model.operation_model(name).http
        path, _, query = http["requestUri"].partition("?")
        parts = re.split(r"\{(\w+)(\+?)\}", path)
        literal = "".join(parts[::3])
        pattern = re.escape(parts[0])
        for at in range(1, len(parts), 3):
            pattern += f"(?P<{parts[at]}>{'.+' if parts[at + 1] else '[^/]+'})" + re.escape(parts[at + 2])
        fixed = frozenset(each.partition("=")[0] for each in query.split("&") if each)
        found.append((http["method"], re.compile(pattern + "/?"), fixed, len(literal), name))
    return found
