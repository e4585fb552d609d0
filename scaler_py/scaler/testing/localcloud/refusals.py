"""How each service says what all of them can say: slow down, an error of mine, your token is too old, you may not."""

from __future__ import annotations

import uuid

from scaler.testing.localcloud.answers import AwsError
from scaler.testing.localcloud.call import Call

# Code, sentence and status, by service; "" is for the services that are not there.
_THROTTLED = {
    "": ("ThrottlingException", "Rate exceeded", 400),
    "batch": ("TooManyRequestsException", "Too Many Requests", 429),
    "ec2": ("RequestLimitExceeded", "Request limit exceeded.", 503),
    "iam": ("Throttling", "Rate exceeded", 400),
    "sts": ("Throttling", "Rate exceeded", 400),
    "s3": ("SlowDown", "Please reduce your request rate.", 503),
}
_FAILED = {
    "": ("InternalFailure", "The request processing has failed because of an unknown error.", 500),
    "ecs": ("ServerException", "Service Unavailable. Please try again later.", 500),
    "ecr": ("ServerException", "Service Unavailable. Please try again later.", 500),
    "batch": ("ServerException", "These errors are usually caused by a server issue.", 500),
    "ec2": ("InternalError", "An internal error has occurred", 500),
    "iam": ("ServiceFailure", "The request processing has failed because of an unknown error.", 500),
    "s3": ("InternalError", "We encountered an internal error. Please try again.", 500),
    "logs": ("ServiceUnavailableException", "The service cannot complete the request.", 503),
    "ssm": ("InternalServerError", "An error occurred on the server side.", 500),
}
_EXPIRED = {
    "": ("ExpiredTokenException", "The security token included in the request is expired", 400),
    "batch": ("ExpiredTokenException", "The security token included in the request is expired", 403),
    "ec2": ("RequestExpired", "Request has expired.", 400),
    "iam": ("ExpiredToken", "The security token included in the request is expired", 403),
    "sts": ("ExpiredToken", "The security token included in the request is expired", 403),
    "s3": ("ExpiredToken", "The provided token has expired.", 400),
}
_INVALID = {
    "": ("UnrecognizedClientException", "The security token included in the request is invalid.", 400),
    "batch": ("UnrecognizedClientException", "The security token included in the request is invalid.", 403),
    "ec2": ("AuthFailure", "AWS was not able to validate the provided access credentials", 401),
    "iam": ("InvalidClientTokenId", "The security token included in the request is invalid.", 403),
    "sts": ("InvalidClientTokenId", "The security token included in the request is invalid.", 403),
    "s3": ("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403),
}
_DENIED = {
    "": ("AccessDeniedException", 400),
    "batch": ("AccessDeniedException", 403),
    "ec2": ("UnauthorizedOperation", 403),
    "iam": ("AccessDenied", 403),
    "sts": ("AccessDenied", 403),
    "s3": ("AccessDenied", 403),
}


def throttled(call: Call) -> AwsError:
    return AwsError(*_of(_THROTTLED, call))


def failed(call: Call) -> AwsError:
    return AwsError(*_of(_FAILED, call))


def expired(call: Call) -> AwsError:
    return AwsError(*_of(_EXPIRED, call))


def invalid(call: Call) -> AwsError:
    """The key is nobody's any more."""
    return AwsError(*_of(_INVALID, call))


def denied(call: Call, sentence: str) -> AwsError:
    """sentence: who may not do what, and why, as `iam.access` has it."""
    code, status = _DENIED.get(call.service, _DENIED[""])
    if call.service == "ec2":
        encoded = f"Encoded authorization failure message: {uuid.uuid4().hex}"
        sentence = f"You are not authorized to perform this operation. {sentence}. {encoded}"
    return AwsError(code, sentence, status)


def _of(table: dict[str, tuple[str, str, int]], call: Call) -> tuple[str, str, int]:
    return table.get(call.service, table[""])
