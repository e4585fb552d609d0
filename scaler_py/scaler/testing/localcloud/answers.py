"""What AWS answers, in the form that each of its protocols has."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

_JSON = "application/x-amz-json-1.1"


@dataclass(frozen=True)
class Answer:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class AwsError(Exception):
    """Raised by a handler: the call failed as AWS fails it. more: fields of the error besides its message."""

    def __init__(self, code: str, message: str, status: int = 400, **more: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.more = more


def json_answer(content: Mapping[str, Any]) -> Answer:
    """Of the protocols "json" and "rest-json"."""
    return Answer(200, {"Content-Type": _JSON}, json.dumps(content).encode())


def error_answer(error: AwsError, protocol: str) -> Answer:
    request = str(uuid.uuid4())
    headers = {"x-amzn-RequestId": request, "x-amzn-ErrorType": error.code}
    if protocol in ("json", "rest-json"):
        content = {"__type": error.code, "message": error.message, "Message": error.message, **error.more}
        return Answer(error.status, {**headers, "Content-Type": _JSON}, json.dumps(content).encode())
    code, message = escape(error.code), escape(error.message)
    inner = f"<Code>{code}</Code><Message>{message}</Message>"
    if protocol == "ec2":
        text = f"<Response><Errors><Error>{inner}</Error></Errors><RequestID>{request}</RequestID></Response>"
    elif protocol == "query":
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error><RequestId>{request}</RequestId></ErrorResponse>"
        )
    else:
        text = f"<Error>{inner}<RequestId>{request}</RequestId></Error>"
    return Answer(error.status, {**headers, "Content-Type": "text/xml"}, f'<?xml version="1.0"?>{text}'.encode())
