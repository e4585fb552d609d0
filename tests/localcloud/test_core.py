"""The cloud itself: which calls are meant, many connections, broken requests, and the ends of processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from commands import PATIENCE
from ecs_cloud import EcsCloud, container
from ends import wait_for_end
from scaler.testing.localcloud import LocalCloud, LocalCloudError

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=localcloudroot/20260101/us-east-1/ecs/aws4_request, SignedHeaders=host, Signature=0"
)
LIST = {"Authorization": SIGNED, "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters"}


def connection(cloud: LocalCloud) -> contextlib.closing[http.client.HTTPConnection]:
    host = cloud.endpoint.removeprefix("http://")
    return contextlib.closing(http.client.HTTPConnection(host, timeout=PATIENCE))


def read(path: Path) -> str:
    """A file that somebody else writes."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists() or not path.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return path.read_text().strip()


@pytest.mark.leaves
def test_calls_of_s3_are_told_apart_by_query_and_headers(cloud: LocalCloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="a/b c", Body=b"1")
    s3.copy_object(Bucket="bucket", Key="d", CopySource={"Bucket": "bucket", "Key": "a/b c"})
    s3.get_object(Bucket="bucket", Key="d")
    s3.head_object(Bucket="bucket", Key="d")
    s3.list_objects_v2(Bucket="bucket", Prefix="a/")
    upload = s3.create_multipart_upload(Bucket="bucket", Key="m")["UploadId"]
    s3.upload_part(Bucket="bucket", Key="m", UploadId=upload, PartNumber=1, Body=b"1")
    s3.list_parts(Bucket="bucket", Key="m", UploadId=upload)
    s3.abort_multipart_upload(Bucket="bucket", Key="m", UploadId=upload)
    s3.put_bucket_lifecycle_configuration(
        Bucket="bucket",
        LifecycleConfiguration={"Rules": [{"Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]},
    )
    s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "d"}]})
    s3.delete_object(Bucket="bucket", Key="a/b c")
    s3.delete_bucket(Bucket="bucket")
    s3.list_buckets()
    assert [each["operation"] for each in cloud.calls("s3")] == [
        "CreateBucket",
        "PutObject",
        "CopyObject",
        "GetObject",
        "HeadObject",
        "ListObjectsV2",
        "CreateMultipartUpload",
        "UploadPart",
        "ListParts",
        "AbortMultipartUpload",
        "PutBucketLifecycleConfiguration",
        "DeleteObjects",
        "DeleteObject",
        "DeleteBucket",
        "ListBuckets",
    ]
    put = cloud.calls("s3:PutObject")[0]
    assert (put["parameters"]["Bucket"], put["parameters"]["Key"]) == ("bucket", "a/b c")


def test_every_call_is_recorded_with_who_made_it_and_what_came_of_it(cloud: LocalCloud) -> None:
    cloud.client("ecs").list_clusters()
    for service, call in {"ecs": "describe_task_definition", "iam": "get_role"}.items():
        arguments = {"taskDefinition": "no"} if service == "ecs" else {"RoleName": "no"}
        with pytest.raises(Exception, match="calling"):
            getattr(cloud.client(service), call)(**arguments)
    calls = cloud.calls()
    assert [each["number"] for each in calls] == [1, 2, 3]
    assert [each["outcome"] for each in calls] == ["ok", "ClientException", "NoSuchEntity"]
    assert {each["access_key"] for each in calls} == {"localcloudroot"}
    assert calls[1]["parameters"] == {"taskDefinition": "no"}


def test_a_hundred_connections_are_served_at_a_time_and_kept(cloud: LocalCloud) -> None:
    everybody = threading.Barrier(100)
    statuses: list[int] = []

    def ask() -> None:
        with connection(cloud) as own:
            for _ in range(3):
                everybody.wait(PATIENCE)
                own.request("POST", "/", b"{}", LIST)
                answer = own.getresponse()
                answer.read()
                statuses.append(answer.status)

    threads = [threading.Thread(target=ask) for _ in range(100)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert statuses == [200] * 300


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
def test_a_request_that_cannot_be_read_is_answered(cloud: LocalCloud, body: bytes) -> None:
    with connection(cloud) as own:
        own.request("POST", "/", body, LIST)
        answer = own.getresponse()
        assert answer.status == 400
        assert json.loads(answer.read())["__type"] == "SerializationException"


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", {}),
        ("POST", "/", {"X-Amz-Target": "Nobody.Nothing"}),
        ("POST", "/", {"Authorization": "nonsense"}),
        ("POST", "/", {**LIST, "X-Amz-Target": "AmazonEC2ContainerServiceV20141113.NoSuchOperation"}),
        ("PUT", "/%ff/%00", {}),
    ],
)
def test_whatever_is_sent_the_server_lives_on(
    cloud: LocalCloud, method: str, path: str, headers: dict[str, str]
) -> None:
    with connection(cloud) as own:
        own.request(method, path, b"", headers)
        assert own.getresponse().status >= 200
    assert cloud.client("ecs").list_clusters()["clusterArns"] == []


def test_there_is_a_page_of_calls_resources_and_leftovers(ecs: EcsCloud) -> None:
    with connection(ecs.cloud) as own:
        own.request("GET", "/_localcloud/")
        page = json.loads(own.getresponse().read())
    assert list(page) == ["leftovers", "resources", "calls"]
    assert any(each.startswith("ecs cluster ") for each in page["leftovers"])
    assert page["calls"][-1]["operation"] == "CreateCluster"


def test_what_cannot_be_done_says_what_can(cloud: LocalCloud) -> None:
    with pytest.raises(LocalCloudError, match=r"there is no 'no'; there are .*'kill_task'"):
        cloud.do("no")


def test_every_control_that_is_documented_is_there(cloud: LocalCloud) -> None:
    page = (Path(__file__).parents[2] / "docs/local-cloud.md").read_text()
    rows = page[page.index("| control | ") :].partition("\n\n")[0]
    told = set(re.findall(r"`(\w+)\([\w, ]*\)`", rows))
    with pytest.raises(LocalCloudError) as caught:
        cloud.do("no")
    assert told
    assert told <= set(re.findall(r"'(\w+)'", str(caught.value)))


def test_a_reset_leaves_nothing_but_the_default_network(cloud: LocalCloud, tmp_path: Path) -> None:
    ecs = EcsCloud(cloud)
    script = f"echo $$ > {tmp_path / 'pid'}; exec sleep 1000"
    arn = ecs.run(ecs.register(), ["sh", "-c", script])
    pid = int(read(tmp_path / "pid"))
    cloud.reset()
    wait_for_end(pid)
    assert cloud.calls() == []
    assert cloud.leftovers() == []
    ec2 = cloud.client("ec2")
    assert len(ec2.describe_subnets()["Subnets"]) >= 2
    assert [each["IsDefault"] for each in ec2.describe_vpcs()["Vpcs"]] == [True]
    assert [each["GroupName"] for each in ec2.describe_security_groups()["SecurityGroups"]] == ["default"]
    assert cloud.do("tasks") == []
    ecs = EcsCloud(cloud)
    assert ecs.describe(arn) == []
    ecs.clean()


@pytest.mark.leaves
def test_the_baseline_does_not_count_as_left(cloud: LocalCloud) -> None:
    cloud.client("ecs").create_cluster(clusterName="before")
    cloud.baseline()
    assert cloud.leftovers() == []
    cloud.client("ecs").create_cluster(clusterName="after")
    assert cloud.leftovers() == ["ecs cluster arn:aws:ecs:us-east-1:123456789012:cluster/after ACTIVE"]


@pytest.mark.leaves
def test_everything_that_costs_is_left_over(cloud: LocalCloud) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="k", Body=b"1")
    cloud.client("ecr").create_repository(repositoryName="repository")
    cloud.client("ssm").put_parameter(Name="/p", Value="v", Type="String")
    cloud.client("secretsmanager").create_secret(Name="secret", SecretString="v")
    cloud.client("logs").create_log_group(logGroupName="g")
    kinds = [each.split(" arn:")[0] for each in cloud.leftovers()]
    assert kinds == ["ecr repository", "log group", "s3 bucket bucket", "s3 object bucket/k", "secret", "ssm parameter"]


# Starts a cloud and a task in it, says what is where, and waits to be killed.
OWNER = """
import sys
sys.path[:0] = {path!r}
from ecs_cloud import EcsCloud
from scaler.testing.localcloud import LocalCloud
with LocalCloud() as cloud:
    ecs = EcsCloud(cloud)
    ecs.run(ecs.register(), ["sh", "-c", {script!r}])
    print(cloud.pid, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("killed", ["the test", "the cloud"])
def test_nothing_lives_on_when_somebody_is_killed(folders: Path, tmp_path: Path, killed: str) -> None:
    script = f"cd {tmp_path}; echo $HOME > home; sleep 1000 & echo $! > child; echo $$ > pid; wait"
    path = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER.format(path=path, script=script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with owner:
        assert owner.stdout is not None
        cloud = int(owner.stdout.readline())
        task = int(read(tmp_path / "pid"))
        os.kill(owner.pid if killed == "the test" else cloud, signal.SIGKILL)
        for each in (task, int(read(tmp_path / "child")), cloud):
            wait_for_end(each)
        deadline = time.monotonic() + PATIENCE
        while Path(read(tmp_path / "home")).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        owner.kill()


def test_a_cloud_that_cannot_start_says_so(folders: Path) -> None:
    with pytest.raises(LocalCloudError, match="it does not start"), LocalCloud(faults=["no"]):
        pass


def test_options_have_the_names_of_the_settings() -> None:
    with pytest.raises(TypeError, match="step_second"):
        LocalCloud(step_second=1)


def test_a_process_has_no_more_than_it_was_given(ecs: EcsCloud, tmp_path: Path) -> None:
    """No descriptor of the server's, either."""
    script = f"ls -l /proc/self/fd > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/fds"
    ecs.ended(ecs.register("tasks", container()), ["sh", "-c", script])
    assert "socket:" not in read(tmp_path / "fds")
