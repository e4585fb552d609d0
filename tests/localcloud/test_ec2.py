"""Instances run their user data as processes, and go through AWS's states."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from scaler.testing.localcloud import LocalCloud
from scaler.testing.localcloud.client import REGION, ROOT

PATIENCE = 60.0


@pytest.fixture(scope="module")
def cloud_options() -> dict[str, Any]:
    return {"step_seconds": 0.02, "grace_seconds": 3.0, "spot_seconds": 0.5}


@pytest.fixture(scope="module")
def ec2(module_cloud: LocalCloud) -> Any:
    """Tries nothing twice."""
    import boto3

    return boto3.client(
        "ec2",
        endpoint_url=module_cloud.endpoint,
        region_name=REGION,
        aws_access_key_id=ROOT[0],
        aws_secret_access_key=ROOT[1],
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture(scope="module")
def image(ec2: Any) -> str:
    wanted = [{"Name": "name", "Values": ["al2023-ami-2023.*-kernel-*-x86_64"]}]
    found: str = ec2.describe_images(Filters=wanted)["Images"][0]["ImageId"]
    return found


@pytest.fixture
def launch(cloud: LocalCloud, ec2: Any, image: str) -> Iterator[Any]:
    """Launches one with this script, and gives back its id. All are terminated after the test."""

    def run(script: str = "", count: int = 1, **more: Any) -> Any:
        arguments = {"ImageId": image, "MinCount": count, "MaxCount": count, "InstanceType": "t3.micro", **more}
        made = ec2.run_instances(**arguments, **({"UserData": script} if script else {}))
        ids = [each["InstanceId"] for each in made["Instances"]]
        return ids if count > 1 else ids[0]

    yield run
    living = [each["id"] for each in cloud.resources("ec2 instance") if each["state"] != "terminated"]
    if living:
        ec2.terminate_instances(InstanceIds=living)
    for each in living:
        until_state(ec2, each, "terminated")


def described(ec2: Any, instance: str) -> dict[str, Any]:
    found: dict[str, Any] = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return found


def until(holds: Any) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def until_state(ec2: Any, instance: str, state: str) -> dict[str, Any]:
    def there() -> dict[str, Any] | None:
        found = described(ec2, instance)
        return found if found["State"]["Name"] == state else None

    found: dict[str, Any] = until(there)
    return found


def console(ec2: Any, instance: str) -> str:
    return str(ec2.get_console_output(InstanceId=instance)["Output"])


def until_console(ec2: Any, instance: str, text: str) -> str:
    def said() -> str:
        found = console(ec2, instance)
        return found if text in found else ""

    found: str = until(said)
    return found


def refused(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def make_profile(cloud: LocalCloud, *actions: str) -> str:
    iam = cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allow = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    iam.create_role(
        RoleName="role", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_role_policy(RoleName="role", PolicyName="own", PolicyDocument=document)
    profile: str = iam.create_instance_profile(InstanceProfileName="profile")["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName="role")
    return profile


def launch_when_seen(launch: Any, *arguments: Any, **more: Any) -> str:
    """As drivers have to: until EC2 has seen the profile."""

    def tried() -> str:
        try:
            return str(launch(*arguments, **more))
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidParameterValue":
                raise
            return ""

    found: str = until(tried)
    return found


def test_an_instance_is_pending_then_running_and_its_user_data_runs(ec2: Any, launch: Any, image: str) -> None:
    made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, UserData="#!/bin/bash\necho here $PWD $USER\n")
    (instance,) = made["Instances"]
    assert instance["State"] == {"Code": 0, "Name": "pending"}
    until_state(ec2, instance["InstanceId"], "running")
    said = until_console(ec2, instance["InstanceId"], "ended with exit code 0")
    assert f"{instance['InstanceId']} root\n" in said


def test_an_instance_goes_on_when_its_user_data_has_ended(ec2: Any, launch: Any) -> None:
    instance = launch("#!/bin/sh\nnohup sh -c 'sleep 0.2; echo still here; exec sleep 1000' &\nexit 3\n")
    until_console(ec2, instance, "ended with exit code 3")
    until_console(ec2, instance, "still here")
    assert described(ec2, instance)["State"]["Name"] == "running"


def test_termination_is_sigterm_first_and_ends_what_was_left_running(
    cloud: LocalCloud, ec2: Any, launch: Any, tmp_path: Path
) -> None:
    daemon = f"trap 'echo bye >{tmp_path}/daemon; exit' TERM; echo $$ >{tmp_path}/pid; while :; do sleep 0.05; done"
    instance = launch(f'#!/bin/bash\nsetsid bash -c "{daemon.replace("$", chr(92) + "$")}" &\nexit 0\n')
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    answer = ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    assert (answer["PreviousState"]["Name"], answer["CurrentState"]["Name"]) == ("running", "shutting-down")
    ended = until_state(ec2, instance, "terminated")
    assert ended["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert (tmp_path / "daemon").read_text() == "bye\n"
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_what_does_not_end_by_itself_is_killed(ec2: Any, launch: Any, tmp_path: Path) -> None:
    instance = launch(f"#!/bin/bash\ntrap '' TERM\necho $$ >{tmp_path}/pid\nwhile :; do sleep 0.05; done\n")
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    ec2.terminate_instances(InstanceIds=[instance])
    until_state(ec2, instance, "terminated")
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_nothing_of_an_instance_outlives_the_cloud(image: str, tmp_path: Path) -> None:
    """Nor can it be found at once, where that is wanted."""
    with LocalCloud(step_seconds=0.02, ec2_seconds=3600) as other:
        client = other.client("ec2")
        script = f"#!/bin/bash\nsetsid sh -c 'echo $$ >{tmp_path}/pid; exec sleep 1000' &\n"
        made = client.run_instances(ImageId=image, MinCount=1, MaxCount=1, UserData=script)
        named = {"InstanceIds": [made["Instances"][0]["InstanceId"]]}
        assert client.describe_instances()["Reservations"] == []
        assert refused(client.describe_instances, **named)[0] == "InvalidInstanceID.NotFound"
        assert refused(client.terminate_instances, **named)[0] == "InvalidInstanceID.NotFound"
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    until(lambda: not psutil.pid_exists(int((tmp_path / "pid").read_text())))


@pytest.mark.parametrize("command", ["shutdown -h now", "poweroff", "halt", "sudo systemctl poweroff"])
def test_an_instance_that_powers_off_stops_unless_it_is_told_to_terminate(ec2: Any, launch: Any, command: str) -> None:
    script = f"#!/bin/bash\n{command}\nsleep 1000\n"
    stays = launch(script)
    goes = launch(script, InstanceInitiatedShutdownBehavior="terminate")
    assert until_state(ec2, stays, "stopped")["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert until_state(ec2, goes, "terminated")["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_a_planned_shutdown_can_be_cancelled(ec2: Any, launch: Any) -> None:
    instance = launch("#!/bin/bash\nshutdown -h +1\ncat ~/.planned-shutdown\nshutdown -c\necho cancelled\n")
    until_console(ec2, instance, "cancelled")
    assert described(ec2, instance)["State"]["Name"] == "running"


def test_a_stopped_instance_starts_again_without_its_user_data(ec2: Any, launch: Any) -> None:
    instance = launch("#!/bin/sh\necho once\nexec sleep 1000\n")
    until_console(ec2, instance, "once")
    answer = ec2.stop_instances(InstanceIds=[instance])["StoppingInstances"][0]
    assert answer["CurrentState"]["Name"] == "stopping"
    until_state(ec2, instance, "stopped")
    assert ec2.start_instances(InstanceIds=[instance])["StartingInstances"][0]["CurrentState"]["Name"] == "pending"
    until_state(ec2, instance, "running")
    assert console(ec2, instance).count("once") == 1


def test_a_reboot_ends_what_runs_and_the_instance_stays(cloud: LocalCloud, ec2: Any, launch: Any) -> None:
    instance = launch("#!/bin/sh\necho up\nexec sleep 1000\n")
    until_console(ec2, instance, "up")

    def process() -> Any:
        return next(each["more"]["process"] for each in cloud.resources("ec2 instance") if each["id"] == instance)

    before = process()
    ec2.reboot_instances(InstanceIds=[instance])
    until(lambda: process() not in (None, before))
    assert described(ec2, instance)["State"]["Name"] == "running"


def test_user_data_has_sixteen_kibibytes_before_base64(ec2: Any, launch: Any) -> None:
    script = "#!/bin/sh\necho fits\n#"
    instance = launch(script + "x" * (16384 - len(script)))
    until_console(ec2, instance, "fits")
    told = ("InvalidParameterValue", "User data is limited to 16384 bytes")
    assert refused(launch, script="x" * 16385) == told
    data = {"UserData": base64.b64encode(b"x" * 16385).decode()}
    assert refused(ec2.create_launch_template, LaunchTemplateName="template", LaunchTemplateData=data) == told


def test_text_that_is_no_script_does_not_run(ec2: Any, launch: Any) -> None:
    instance = launch("echo never\n")
    until_state(ec2, instance, "running")
    assert "never" not in console(ec2, instance)


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        ({"ImageId": "ami-00000000"}, "InvalidAMIID.NotFound", "The image id '[ami-00000000]' does not exist"),
        ({"InstanceType": "t3.tiny"}, "InvalidParameterValue", "Invalid value 't3.tiny' for InstanceType."),
        ({"KeyName": "none"}, "InvalidKeyPair.NotFound", "The key pair 'none' does not exist"),
        ({"SubnetId": "subnet-00000000"}, "InvalidSubnetID.NotFound", "subnet-00000000"),
        ({"SecurityGroupIds": ["sg-00000000"]}, "InvalidGroup.NotFound", "sg-00000000"),
        ({"MinCount": 3, "MaxCount": 2}, "InvalidParameterValue", "minCount"),
        (
            {"IamInstanceProfile": {"Name": "none"}},
            "InvalidParameterValue",
            "Value (none) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name",
        ),
    ],
)
def test_what_is_not_there_cannot_be_launched_with(launch: Any, more: dict[str, Any], code: str, told: str) -> None:
    got, message = refused(launch, **more)
    assert got == code
    assert told in message


def test_a_profile_is_seen_a_little_later_and_gives_credentials(cloud: LocalCloud, ec2: Any, launch: Any) -> None:
    profile = make_profile(cloud, "ecs:ListClusters")
    script = (
        "#!/usr/bin/env python\n"
        "import boto3, botocore\n"
        "print(boto3.client('sts', 'us-east-1').get_caller_identity()['Arn'])\n"
        "boto3.client('ecs', 'us-east-1').list_clusters()\n"
        "try:\n    boto3.client('ecs', 'us-east-1').list_task_definitions()\n"
        "except botocore.exceptions.ClientError as error:\n    print(error)\n"
    )
    instance = launch_when_seen(launch, script, IamInstanceProfile={"Name": "profile"})
    said = until_console(ec2, instance, "ended with exit code")
    assert f"arn:aws:sts::123456789012:assumed-role/role/{instance}\n" in said
    assert "is not authorized to perform: ecs:ListTaskDefinitions" in said
    assert described(ec2, instance)["IamInstanceProfile"]["Arn"] == profile
    delete_profile(cloud)


def delete_profile(cloud: LocalCloud) -> None:
    iam = cloud.client("iam")
    iam.remove_role_from_instance_profile(InstanceProfileName="profile", RoleName="role")
    iam.delete_instance_profile(InstanceProfileName="profile")
    iam.delete_role_policy(RoleName="role", PolicyName="own")
    iam.delete_role(RoleName="role")


def test_the_same_token_launches_once(cloud: LocalCloud, ec2: Any, launch: Any) -> None:
    first = launch(ClientToken="token")
    until_state(ec2, first, "running")
    assert launch(ClientToken="token") == first
    assert len(cloud.resources("ec2 instance")) == 1
    code, _ = refused(launch, ClientToken="token", InstanceType="t3.small")
    assert code == "IdempotentParameterMismatch"


def test_a_lost_answer_with_a_token_launches_once(cloud: LocalCloud, image: str, launch: Any) -> None:
    with cloud.fault("drop:operation=RunInstances,count=1"):
        cloud.client("ec2").run_instances(ImageId=image, MinCount=2, MaxCount=2)
    assert len(cloud.calls("ec2:RunInstances")) == 2
    assert len(cloud.resources("ec2 instance")) == 2


def test_without_capacity_it_is_all_that_was_asked_for_at_least_or_nothing(
    cloud: LocalCloud, ec2: Any, launch: Any, image: str
) -> None:
    with cloud.fault("capacity:count=2"):
        code, message = refused(launch, count=4)
    assert code == "InsufficientInstanceCapacity"
    assert "sufficient t3.micro capacity" in message
    assert cloud.resources("ec2 instance") == []
    with cloud.fault("capacity:count=2"):
        made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=4)
    assert len(made["Instances"]) == 2


def test_a_launch_template_alone_says_everything(cloud: LocalCloud, ec2: Any, launch: Any, image: str) -> None:
    profile = make_profile(cloud, "ecs:ListClusters")
    script = "#!/bin/sh\necho from the template\nexec sleep 1000\n"
    data = {
        "ImageId": image,
        "InstanceType": "t3.small",
        "UserData": base64.b64encode(script.encode()).decode(),
        "IamInstanceProfile": {"Arn": profile},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "InstanceMarketOptions": {"MarketType": "spot"},
        "MetadataOptions": {"HttpTokens": "required"},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "owner", "Value": "me"}]}],
    }
    ec2.create_launch_template(LaunchTemplateName="template", LaunchTemplateData=data)

    def run() -> dict[str, Any]:
        made = ec2.run_instances(MinCount=1, MaxCount=1, LaunchTemplate={"LaunchTemplateName": "template"})
        return dict(made["Instances"][0])

    def tried() -> dict[str, Any] | None:
        try:
            return run()
        except ClientError:
            return None

    instance = until(tried)["InstanceId"]
    until_console(ec2, instance, "from the template")
    found = described(ec2, instance)
    assert found["InstanceType"] == "t3.small"
    assert found["IamInstanceProfile"]["Arn"] == profile
    assert found["InstanceLifecycle"] == "spot"
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    assert {"Key": "owner", "Value": "me"} in found["Tags"]
    attribute = ec2.describe_instance_attribute(InstanceId=instance, Attribute="instanceInitiatedShutdownBehavior")
    assert attribute["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"
    ec2.delete_launch_template(LaunchTemplateName="template")
    delete_profile(cloud)


def metadata(cloud: LocalCloud, instance: str, path: str, token: str = "") -> str:
    address = f"{cloud.endpoint}/_instances/{instance}/latest/{path}"
    headers = {"X-aws-ec2-metadata-token": token} if token else {}
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
        return str(answer.read().decode())


def metadata_token(cloud: LocalCloud, instance: str) -> str:
    address = f"{cloud.endpoint}/_instances/{instance}/latest/api/token"
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers, method="PUT")) as answer:
        return str(answer.read().decode())


def test_the_metadata_service_wants_a_token_when_it_is_told_to(cloud: LocalCloud, ec2: Any, launch: Any) -> None:
    instance = launch(MetadataOptions={"HttpTokens": "required"})
    until_state(ec2, instance, "running")
    with pytest.raises(urllib.error.HTTPError) as caught:
        metadata(cloud, instance, "meta-data/instance-id")
    assert caught.value.code == 401
    token = metadata_token(cloud, instance)
    assert metadata(cloud, instance, "meta-data/instance-id", token) == instance
    assert "instance-type" in metadata(cloud, instance, "meta-data/", token).split("\n")
    document = json.loads(metadata(cloud, instance, "dynamic/instance-identity/document", token))
    assert document["region"] == REGION


def test_a_spot_instance_gets_a_notice_and_then_its_end(cloud: LocalCloud, ec2: Any, launch: Any) -> None:
    script = "#!/bin/sh\ntrap 'echo told to end; exit 0' TERM\necho up\nwhile :; do sleep 0.05; done\n"
    instance = launch(script, InstanceMarketOptions={"MarketType": "spot"})
    until_console(ec2, instance, "up")
    with pytest.raises(urllib.error.HTTPError) as caught:
        metadata(cloud, instance, "meta-data/spot/instance-action")
    assert caught.value.code == 404
    cloud.do("interrupt_instance", instance=instance)
    assert json.loads(metadata(cloud, instance, "meta-data/spot/instance-action"))["action"] == "terminate"
    (resource,) = cloud.resources("ec2 instance")
    assert resource["more"]["instance_action"]["action"] == "terminate"
    ended = until_state(ec2, instance, "terminated")
    assert ended["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    assert "told to end" in console(ec2, instance)


def test_a_crash_comes_without_notice(cloud: LocalCloud, ec2: Any, launch: Any) -> None:
    instance = launch("#!/bin/sh\ntrap 'echo told to end; exit 0' TERM\necho up\nwhile :; do sleep 0.05; done\n")
    until_console(ec2, instance, "up")
    cloud.do("kill_instance", instance=instance)
    assert until_state(ec2, instance, "terminated")["StateReason"]["Code"] == "Server.InternalError"
    assert "told to end" not in console(ec2, instance)


def test_a_security_group_in_use_cannot_be_deleted(cloud: LocalCloud, ec2: Any, launch: Any) -> None:
    group = ec2.create_security_group(GroupName="mine", Description="mine")["GroupId"]
    instance = launch("#!/bin/sh\nexec sleep 1000\n", SecurityGroupIds=[group])
    assert refused(ec2.delete_security_group, GroupId=group)[0] == "DependencyViolation"
    ec2.terminate_instances(InstanceIds=[instance])
    until_state(ec2, instance, "terminated")
    ec2.delete_security_group(GroupId=group)


def test_what_is_left_of_ec2_is_told(cloud: LocalCloud, ec2: Any, launch: Any) -> None:
    ec2.create_key_pair(KeyName="key")
    group = ec2.create_security_group(GroupName="mine", Description="mine")["GroupId"]
    data = {"InstanceType": "t3.micro"}
    made = ec2.create_launch_template(LaunchTemplateName="template", LaunchTemplateData=data)["LaunchTemplate"]
    instance = launch()
    until_state(ec2, instance, "running")
    assert cloud.leftovers() == [
        f"ec2 instance {instance} running",
        "ec2 key pair key",
        f"ec2 launch template {made['LaunchTemplateId']}",
        f"ec2 security group {group}",
    ]
    ec2.terminate_instances(InstanceIds=[instance])
    until_state(ec2, instance, "terminated")
    ec2.delete_key_pair(KeyName="key")
    ec2.delete_launch_template(LaunchTemplateName="template")
    ec2.delete_security_group(GroupId=group)
    assert cloud.leftovers() == []


def test_unknown_and_ended_instances_are_answered_as_aws_does(ec2: Any, launch: Any) -> None:
    code, message = refused(ec2.terminate_instances, InstanceIds=["i-00000000000000000"])
    assert (code, message) == ("InvalidInstanceID.NotFound", "The instance ID 'i-00000000000000000' does not exist")
    assert refused(ec2.stop_instances, InstanceIds=["nonsense"])[0] == "InvalidInstanceID.Malformed"
    instance = launch()
    ec2.terminate_instances(InstanceIds=[instance])
    until_state(ec2, instance, "terminated")
    again = ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    assert again["CurrentState"]["Name"] == "terminated"
    assert refused(ec2.start_instances, InstanceIds=[instance])[0] == "IncorrectInstanceState"


def test_an_instance_sees_nothing_of_the_clouds_environment(ec2: Any, launch: Any) -> None:
    instance = launch("#!/bin/sh\nenv\necho done\n")
    said = until_console(ec2, instance, "done")
    names = {line.partition("=")[0] for line in said.split("\n") if "=" in line}
    assert names <= {
        *("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL", "HOME", "LANG", "PATH", "PWD", "TMPDIR", "USER"),
        *("LOCALCLOUD_FIRST", "LOCALCLOUD_INSTANCE", "OLDPWD", "SHLVL", "_"),
    }
    assert os.environ["HOME"] not in said.split()


def test_a_hundred_at_a_time_run_and_end(cloud: LocalCloud, ec2: Any, launch: Any) -> None:
    ids = launch("#!/bin/sh\necho up\nexec sleep 1000\n", count=100)
    for each in ids:
        until_console(ec2, each, "up")
    ec2.terminate_instances(InstanceIds=ids)
    for each in ids:
        until_state(ec2, each, "terminated")
    assert cloud.leftovers() == []
