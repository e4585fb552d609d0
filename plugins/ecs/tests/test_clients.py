"""Credentials, and what AWS's errors mean."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions
from driving import Driven
from scaler.managers.api import ConfigurationError, CredentialsExpired, TemporaryError, Throttled
from scaler.testing.localcloud import LocalCloud
from scaler_plugin_ecs.clients import Aws
from scaler_plugin_ecs.errors import Denied, Refused, UnknownOutcome, Unreachable, translated
from scaler_plugin_ecs.options import EcsOptions


def keys_of(aws: Aws) -> tuple[str, str, str | None]:
    """What calls are signed with."""
    found = aws._session.get_credentials().get_frozen_credentials()
    return found.access_key, found.secret_key, found.token


def options(**given: Any) -> EcsOptions:
    return EcsOptions.model_validate({"ecs_subnets": "subnet-1", **given})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AWS configuration files with a profile, and nothing in the environment."""
    credentials = tmp_path / "credentials"
    credentials.write_text("[mine]\naws_access_key_id = profilekey\naws_secret_access_key = profilesecret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_keys_of_the_options_go_before_a_profile(home: Path) -> None:
    given = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "aws_profile": "mine"}
    assert keys_of(Aws(options(**given))) == ("key", "secret", None)


def test_profile_that_was_named_goes_before_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    # As the host reads them: the options have the environment's keys.
    given = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    assert keys_of(Aws(options(aws_profile="mine", **given))) == ("profilekey", "profilesecret", None)


def test_temporary_keys_of_the_environment_have_their_token(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    for name, value in (*given.items(), ("aws_session_token", "token")):
        monkeypatch.setenv(name.upper(), value)
    assert keys_of(Aws(options(**given))) == ("key", "secret", "token")


def test_new_context_reads_new_credentials(home: Path) -> None:
    before = keys_of(Aws(options(aws_profile="mine")))
    text = "[mine]\naws_access_key_id = newer\naws_secret_access_key = newer\naws_session_token = newer\n"
    (home / "credentials").write_text(text)
    assert before != keys_of(Aws(options(aws_profile="mine"))) == ("newer",) * 3


def test_secret_is_in_no_text_of_the_options() -> None:
    given = options(aws_access_key_id="key", aws_secret_access_key="hidden-secret")
    assert "hidden-secret" not in repr(given) + str(given)


SESSION = "arn:aws:iam::123456789012:user/joe"


@pytest.fixture
def login(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile as `aws login` makes it; where its login is kept, which is not there yet."""
    pytest.importorskip("awscrt", reason="comes with boto3[crt]")
    (home / "config").write_text(f"[profile login]\nlogin_session = {SESSION}\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_LOGIN_CACHE_DIRECTORY", str(home))
    return home / f"{hashlib.sha256(SESSION.encode()).hexdigest()}.json"


def test_profile_of_aws_login_works(
    used_cloud: LocalCloud, subnet: str, login: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = {
        "accessToken": {
            "accessKeyId": "localcloudroot",
            "secretAccessKey": "localcloudroot",
            "sessionToken": "token",
            "accountId": "123456789012",
            "expiresAt": "2099-01-01T00:00:00Z",
        },
        "refreshToken": "refresh",
        "dpopKey": "key",
        "clientId": "client",
    }
    login.write_text(json.dumps(token))
    driven = Driven({"ecs_subnets": subnet, "aws_profile": "login"}, tmp_path)
    before = len(used_cloud.calls())
    driven.validate()
    assert {each["access_key"] for each in used_cloud.calls()[before:]} == {"localcloudroot"}
    assert driven.units() == {}


def test_profile_of_aws_login_whose_login_is_gone_says_what_to_run(login: Path) -> None:
    aws = Aws(options(aws_profile="login"))
    with pytest.raises(CredentialsExpired, match="aws login --profile login"):
        aws.call("ecs:ListTasks", cluster="none")


def client_error(code: str, message: str = "no", status: int = 400, **headers: str) -> exceptions.ClientError:
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    return exceptions.ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, "RunTask"
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("ThrottlingException"), Throttled),
        (client_error("RequestLimitExceeded", status=503), Throttled),
        (client_error("ClientException", "Rate exceeded"), Throttled),
        (client_error("ExpiredTokenException"), CredentialsExpired),
        (client_error("UnrecognizedClientException"), CredentialsExpired),
        (client_error("AccessDeniedException"), Denied),
        (client_error("ServerException", status=500), UnknownOutcome),
        (client_error("SomethingNew", status=502), UnknownOutcome),
        (client_error("InvalidParameterException"), Refused),
        (exceptions.NoCredentialsError(), CredentialsExpired),
        (exceptions.ReadTimeoutError(endpoint_url="x"), UnknownOutcome),
        (exceptions.ConnectionClosedError(endpoint_url="x"), UnknownOutcome),
        (exceptions.EndpointConnectionError(endpoint_url="x"), Unreachable),
        (exceptions.ConnectTimeoutError(endpoint_url="x"), Unreachable),
        (exceptions.InvalidRegionError(region_name="x"), ConfigurationError),
        (exceptions.NoRegionError(), ConfigurationError),
        (exceptions.ParamValidationError(report="x"), ConfigurationError),
        (exceptions.MissingDependencyException(msg="x"), ConfigurationError),
    ],
)
def test_each_error_of_aws_says_what_the_host_does_next(error: Exception, expected: type[Exception]) -> None:
    assert type(translated(error, "ecs:RunTask", True, "")) is expected


@pytest.mark.parametrize(
    "error", [client_error("ServerException", status=500), exceptions.ReadTimeoutError(endpoint_url="x")]
)
def test_question_that_was_not_answered_may_be_asked_again(error: Exception) -> None:
    assert type(translated(error, "ecs:DescribeTasks", False, "")) is TemporaryError


def test_time_that_aws_wants_to_be_left_alone_is_handed_on() -> None:
    found = translated(client_error("ThrottlingException", **{"retry-after": "7"}), "ecs:RunTask", True, "")
    assert isinstance(found, Throttled)
    assert found.retry_after == 7.0


def test_denied_action_is_the_one_that_aws_names() -> None:
    message = "User: arn:aws:iam::123456789012:user/joe is not authorized to perform: iam:PassRole on resource: x"
    found = translated(client_error("AccessDeniedException", message), "ecs:RunTask", True, "")
    assert isinstance(found, Denied)
    assert found.action == "iam:PassRole"
    assert "iam-policy" in found.mend


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("LoginRefreshRequired", "aws login --profile mine"),
        ("LoginTokenLoadError", "aws login --profile mine"),
        ("UnauthorizedSSOTokenError", "aws sso login --profile mine"),
        ("SSOTokenLoadError", "aws sso login --profile mine"),
        ("TokenRetrievalError", "aws sso login --profile mine"),
    ],
)
def test_login_that_has_run_out_says_which_command_renews_it(name: str, command: str) -> None:
    error = getattr(exceptions, name)(error_msg="gone", provider="sso")
    found = translated(error, "ecs:RunTask", True, "mine")
    assert isinstance(found, CredentialsExpired)
    assert command in str(found)


def test_expired_credentials_of_a_call_say_what_to_run(used_cloud: LocalCloud, subnet: str, tmp_path: Path) -> None:
    driven = Driven({"ecs_subnets": subnet}, tmp_path)
    with used_cloud.fault("expired"), pytest.raises(CredentialsExpired, match="aws login"):
        driven.start("g-1")


def test_unknown_member_of_an_answer_is_kept() -> None:
    answer = {"Error": {"Code": "ConflictException", "Message": "no"}, "resourceIds": ["arn"], "ResponseMetadata": {}}
    found = translated(exceptions.ClientError(json.loads(json.dumps(answer)), "RunTask"), "ecs:RunTask", True, "")
    assert isinstance(found, Refused)
    assert found.more["resourceIds"] == ["arn"]
