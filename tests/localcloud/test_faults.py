"""Calls fail as each service fails them, only those that are meant, and as often as was said."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from scaler.testing.localcloud import LocalCloud, LocalCloudError
from scaler.testing.localcloud.client import REGION, ROOT
from scaler.testing.localcloud.faults import FaultError, read_fault

# Its clusters show what was done; others test that nothing stays.
pytestmark = pytest.mark.leaves


# What is asked here is another question than what is left.
pytestmark = pytest.mark.leaves


def once(cloud: LocalCloud, service: str) -> Any:
    """A client that tries nothing twice."""
    import boto3

    return boto3.client(
        service,
        endpoint_url=cloud.endpoint,
        region_name=REGION,
        aws_access_key_id=ROOT[0],
        aws_secret_access_key=ROOT[1],
        config=Config(retries={"total_max_attempts": 1}),
    )


CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "ecs": ("list_clusters", {}),
    "batch": ("describe_job_queues", {}),
    "ec2": ("describe_subnets", {}),
    "iam": ("list_roles", {}),
    "sts": ("get_caller_identity", {}),
    "s3": ("list_buckets", {}),
    "logs": ("describe_log_groups", {}),
    "ecr": ("describe_repositories", {}),
    "ssm": ("describe_parameters", {}),
}


def refusal(cloud: LocalCloud, service: str) -> tuple[str, int]:
    name, arguments = CALLS[service]
    with pytest.raises(ClientError) as caught:
        getattr(once(cloud, service), name)(**arguments)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (
            "throttle",
            {
                "ecs": ("ThrottlingException", 400),
                "batch": ("TooManyRequestsException", 429),
                "ec2": ("RequestLimitExceeded", 503),
                "iam": ("Throttling", 400),
                "sts": ("Throttling", 400),
                "s3": ("SlowDown", 503),
                "logs": ("ThrottlingException", 400),
                "ecr": ("ThrottlingException", 400),
                "ssm": ("ThrottlingException", 400),
            },
        ),
        (
            "error",
            {
                "ecs": ("ServerException", 500),
                "batch": ("ServerException", 500),
                "ec2": ("InternalError", 500),
                "iam": ("ServiceFailure", 500),
                "sts": ("InternalFailure", 500),
                "s3": ("InternalError", 500),
                "logs": ("ServiceUnavailableException", 503),
                "ecr": ("ServerException", 500),
                "ssm": ("InternalServerError", 500),
            },
        ),
        (
            "expired",
            {
                "ecs": ("ExpiredTokenException", 400),
                "batch": ("ExpiredTokenException", 403),
                "ec2": ("RequestExpired", 400),
                "iam": ("ExpiredToken", 403),
                "sts": ("ExpiredToken", 403),
                "s3": ("ExpiredToken", 400),
                "logs": ("ExpiredTokenException", 400),
            },
        ),
        (
            "denied",
            {
                "ecs": ("AccessDeniedException", 400),
                "batch": ("AccessDeniedException", 403),
                "ec2": ("UnauthorizedOperation", 403),
                "iam": ("AccessDenied", 403),
                "sts": ("AccessDenied", 403),
                "s3": ("AccessDenied", 403),
                "logs": ("AccessDeniedException", 400),
            },
        ),
    ],
)
def test_a_call_fails_in_its_services_own_words(
    cloud: LocalCloud, kind: str, codes: dict[str, tuple[str, int]]
) -> None:
    with cloud.fault(kind):
        assert {service: refusal(cloud, service) for service in codes} == codes


def test_a_lost_answer_is_one_to_a_call_that_was_done(cloud: LocalCloud) -> None:
    with cloud.fault("drop:operation=CreateCluster"), pytest.raises(ConnectionClosedError):
        once(cloud, "ecs").create_cluster(clusterName="there")
    assert cloud.client("ecs").describe_clusters(clusters=["there"])["clusters"]
    assert [each["outcome"] for each in cloud.calls("ecs:CreateCluster")] == ["dropped"]


def test_sdks_try_again_what_was_dropped_or_throttled(cloud: LocalCloud) -> None:
    with cloud.fault("drop:count=1"), cloud.fault("throttle:count=1"):
        cloud.client("ecs").list_clusters()
    assert [each["outcome"] for each in cloud.calls()] == ["dropped", "ThrottlingException", "ok"]


def test_a_fault_ends_with_its_block(cloud: LocalCloud) -> None:
    with cloud.fault("throttle"):
        assert refusal(cloud, "ecs")[0] == "ThrottlingException"
    once(cloud, "ecs").list_clusters()


def test_a_fault_strikes_only_what_its_keys_say(cloud: LocalCloud) -> None:
    with cloud.fault("throttle:service=ecs,operation=Create*,match=g-2"):
        once(cloud, "iam").create_group(GroupName="g-2")
        once(cloud, "ecs").create_cluster(clusterName="g-1")
        with pytest.raises(ClientError):
            once(cloud, "ecs").create_cluster(clusterName="g-2")


def test_match_reads_forms_and_addresses(cloud: LocalCloud) -> None:
    with cloud.fault("throttle:match=a b/c"):
        with pytest.raises(ClientError):
            once(cloud, "ec2").create_security_group(GroupName="x", Description="a b/c")
        with pytest.raises(ClientError):
            once(cloud, "s3").get_object(Bucket="bucket", Key="a b/c")


def test_a_count_mends_itself(cloud: LocalCloud) -> None:
    with cloud.fault("error:count=2"):
        assert [refusal(cloud, "ecs")[0] for _ in range(2)] == ["ServerException"] * 2
        once(cloud, "ecs").list_clusters()


def test_several_faults_strike_together(cloud: LocalCloud) -> None:
    with cloud.fault("throttle:service=ecs"), cloud.fault("expired:service=sts"):
        assert (refusal(cloud, "ecs")[0], refusal(cloud, "sts")[0]) == ("ThrottlingException", "ExpiredToken")


def outcomes(cloud: LocalCloud) -> list[str]:
    ecs = once(cloud, "ecs")
    for _ in range(40):
        with contextlib.suppress(ClientError, ConnectionClosedError):
            ecs.list_clusters()
    return [each["outcome"] for each in cloud.calls()]


def test_a_seed_says_which_calls_fail() -> None:
    """A reset is a new start, with the faults that were given for it."""
    with LocalCloud(faults=["any:rate=0.5"], seed=1) as cloud:
        first = outcomes(cloud)
        assert set(first) == {"ok", "ThrottlingException", "ServerException", "dropped"}
        cloud.do("fault", fault="error:operation=DescribeSubnets")
        cloud.reset()
        assert list(cloud.do("faults").values()) == ["any:rate=0.5"]
        assert outcomes(cloud) == first
    with LocalCloud(faults=["any:rate=0.5"], seed=2, latency_seconds=0.05) as cloud:
        assert outcomes(cloud) != first
        # Latency is of every call, those that fail too.
        assert all(each["seconds"] >= 0.05 for each in cloud.calls())


def hanging_call(cloud: LocalCloud) -> threading.Thread:
    """Of CreateCluster; it has come to the cloud."""
    thread = threading.Thread(target=once(cloud, "ecs").create_cluster, kwargs={"clusterName": "late"})
    thread.start()
    while not cloud.calls("ecs:CreateCluster"):
        time.sleep(0.01)
    return thread


def test_a_call_hangs_until_it_is_mended(cloud: LocalCloud) -> None:
    with cloud.fault("hang:operation=CreateCluster,count=1"):
        thread = hanging_call(cloud)
        assert not cloud.client("ecs").list_clusters()["clusterArns"]
        assert thread.is_alive()
    thread.join()
    assert len(cloud.client("ecs").list_clusters()["clusterArns"]) == 1


def test_a_call_that_nobody_waits_for_any_more_is_not_done(cloud: LocalCloud) -> None:
    import boto3

    impatient = boto3.client(
        "ecs",
        endpoint_url=cloud.endpoint,
        region_name=REGION,
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=0.5),
    )
    with cloud.fault("hang:operation=CreateCluster"), pytest.raises(Exception, match="timeout"):
        impatient.create_cluster(clusterName="late")
    while [each["outcome"] for each in cloud.calls("ecs:CreateCluster")] != ["dropped"]:
        time.sleep(0.01)
    assert not cloud.client("ecs").list_clusters()["clusterArns"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("trottle", "there is no kind 'trottle'. Kinds: throttle, error, drop, hang"),
        ("throttle:operatoin=RunTask", "there is no key 'operatoin=RunTask'. Keys: service, operation"),
        ("throttle:RunTask", "there is no key 'RunTask'"),
        ("throttle:rate=often", "rate is a number from 0 to 1"),
        ("throttle:rate=2", "rate is a number from 0 to 1"),
        ("throttle:count=0", "count 1 or more"),
        ("throttle:service=esc", "there is no service 'esc'"),
        ("throttle:operation=RunTasks", "has no operation 'RunTasks'"),
        ("throttle:service=batch,operation=RunTask", "batch has no operation 'RunTask'"),
    ],
)
def test_a_fault_that_could_never_strike_is_refused(text: str, told: str) -> None:
    with pytest.raises(FaultError, match="fault .*" + told.replace(".", r"\.")):
        read_fault(text)


def test_a_wrong_fault_is_told_to_who_asks_for_it(cloud: LocalCloud) -> None:
    with pytest.raises(LocalCloudError, match="there is no kind 'no'"), cloud.fault("no"):
        pass
