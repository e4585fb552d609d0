"""What AWS's errors mean to the host: one table, and the words for people."""

from __future__ import annotations

import re
from typing import Any

from scaler.managers.api import ConfigurationError, CredentialsExpired, DriverError, TemporaryError, Throttled

_THROTTLED = {
    *("Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException"),
    *(
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "SlowDown",
        "PriorRequestNotComplete",
    ),
}
_EXPIRED = {
    *("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired", "AuthFailure"),
    *("UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "MissingAuthenticationToken"),
    *("InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "InvalidToken"),
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized", "OptInRequired"}
_SERVERS = {
    *("ServerException", "InternalError", "InternalFailure", "InternalServerError", "InternalServiceError"),
    *("ServiceUnavailable", "ServiceUnavailableException", "Unavailable", "ServiceFailure", "ServiceFailureException"),
}
_POLICY = "scaler_worker_manager aws_raw_ecs iam-policy"


class Refused(DriverError):
    """AWS has refused a call, and nothing was done. code, message: in its words; more: the error's other fields."""

    def __init__(self, operation: str, code: str, message: str, more: dict[str, Any] | None = None) -> None:
        super().__init__(f"{operation}: {message} ({code})")
        self.operation = operation
        self.code = code
        self.message = message
        self.more = more or {}


class Denied(ConfigurationError):
    """A call that these credentials do not allow. action: like "ecs:RunTask"."""

    def __init__(self, action: str, message: str) -> None:
        what = f"AWS does not allow {action}: {message.rstrip('.')}."
        super().__init__(what, "the IAM user or role of this manager", f"give it the policy that `{_POLICY}` prints")
        self.action = action


class UnknownOutcome(DriverError):
    """AWS did not say whether it has done what it was asked for. late: it did not say anything in time."""

    def __init__(self, text: str, late: bool = False) -> None:
        super().__init__(text)
        self.late = late


class Unreachable(TemporaryError):
    """Nobody answers at AWS's address."""


def translated(error: BaseException, action: str, creates: bool, profile: str) -> BaseException:
    """What to raise instead of what boto3 has raised.

    action: like "ecs:RunTask". creates: whether the call changes something, so that its outcome can be unknown.
    profile: for the words of what to run; empty for none.
    """
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        return _of_answer(error.response, action, creates, profile)
    if isinstance(error, exceptions.MissingDependencyException):
        mend = "pip install 'boto3[crt]'"
        return ConfigurationError("The profile was made by `aws login`, which boto3 alone cannot read.", "boto3", mend)
    if isinstance(error, _lost_logins(exceptions)):
        return CredentialsExpired(f"{_one_line(error)}: {_log_in(error, profile)}")
    if isinstance(error, exceptions.ParamValidationError):
        return ConfigurationError(
            f"{action} cannot be asked for: {_one_line(error)}", "the options of this manager", ""
        )
    if isinstance(error, (exceptions.InvalidRegionError, exceptions.NoRegionError)):
        return ConfigurationError(f"{_one_line(error)}.", "--aws-region", "like us-east-1 or eu-central-1")
    if isinstance(error, (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError)):
        return Unreachable(f"{action}: AWS cannot be reached from here: {_one_line(error)}")
    if isinstance(error, exceptions.BotoCoreError):
        late = isinstance(error, exceptions.ReadTimeoutError)
        text = f"{action}: {_one_line(error)}"
        return UnknownOutcome(text, late) if creates else TemporaryError(text)
    return error


def _of_answer(answer: Any, action: str, creates: bool, profile: str) -> BaseException:
    found = answer.get("Error", {})
    code, message = str(found.get("Code", "")), str(found.get("Message", "")).strip()
    metadata = answer.get("ResponseMetadata", {})
    if code in _THROTTLED or message.startswith("Rate exceeded"):
        return Throttled(f"{action}: {message} ({code})", _retry_after(metadata.get("HTTPHeaders", {})))
    if code in _EXPIRED:
        return CredentialsExpired(f"{action}: {message} ({code}): {renewal(profile)}")
    if code in _DENIED:
        named = re.search(r"not authorized to perform:? ([\w-]+:\w+)", message)
        return Denied(named[1] if named else action, message)
    if code in _SERVERS or int(metadata.get("HTTPStatusCode", 0)) >= 500:
        text = f"{action}: {message} ({code})"
        return UnknownOutcome(text) if creates else TemporaryError(text)
    more = {name: value for name, value in answer.items() if name not in ("Error", "ResponseMetadata")}
    return Refused(action, code, message, more)


def _retry_after(headers: Any) -> float | None:
    try:
        return float(headers["retry-after"])
    except (KeyError, TypeError, ValueError):
        return None


def _lost_logins(exceptions: Any) -> tuple[type[BaseException], ...]:
    """Of credentials that were there once; those of `aws login` are of newer versions of botocore."""
    names = (
        *("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError"),
        *("NoAuthTokenError", "SSOError", "LoginError", "RefreshWithMFAUnsupportedError", "InvalidConfigError"),
    )
    return tuple(getattr(exceptions, name) for name in names if hasattr(exceptions, name))


def _log_in(error: BaseException, profile: str) -> str:
    kind = type(error).__name__
    named = f" --profile {profile}" if profile else ""
    if "SSO" in kind or ("Token" in kind and "Login" not in kind):
        return f"run `aws sso login{named}`"
    if "Login" in kind:
        return f"run `aws login{named}`"
    return renewal(profile)


def renewal(profile: str) -> str:
    """How people get new credentials."""
    named = f" --profile {profile}" if profile else ""
    return f"run `aws login{named}` (or `aws sso login{named}`), or give new keys"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")
