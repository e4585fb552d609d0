"""What each call needs to be allowed: actions, and the resources that a statement must name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from scaler.testing.localcloud import LocalCloud

# What is asked here is another question than what is left.
pytestmark = pytest.mark.leaves

HERE = "us-east-1:123456789012"
ROLE = "arn:aws:iam::123456789012:role/role"


@pytest.mark.parametrize(
    ("service", "call", "arguments", "needs"),
    [
        ("s3", "list_buckets", {}, {"s3:ListAllMyBuckets": ["*"]}),
        ("s3", "put_object", {"Bucket": "b", "Key": "a b", "Body": b"x"}, {"s3:PutObject": ["arn:aws:s3:::b/a b"]}),
        ("s3", "head_object", {"Bucket": "b", "Key": "k"}, {"s3:GetObject": ["arn:aws:s3:::b/k"]}),
        ("s3", "head_bucket", {"Bucket": "b"}, {"s3:ListBucket": ["arn:aws:s3:::b"]}),
        (
            "s3",
            "copy_object",
            {"Bucket": "b", "Key": "k", "CopySource": {"Bucket": "c", "Key": "l"}},
            {"s3:PutObject": ["arn:aws:s3:::b/k"], "s3:GetObject": ["arn:aws:s3:::c/l"]},
        ),
        (
            "s3",
            "delete_objects",
            {"Bucket": "b", "Delete": {"Objects": [{"Key": "k"}, {"Key": "l<>"}]}},
            {"s3:DeleteObject": ["arn:aws:s3:::b/k", "arn:aws:s3:::b/l<>"]},
        ),
        (
            "s3",
            "put_bucket_lifecycle_configuration",
            {"Bucket": "b", "LifecycleConfiguration": {"Rules": []}},
            {"s3:PutLifecycleConfiguration": ["arn:aws:s3:::b"]},
        ),
        (
            "batch",
            "submit_job",
            {"jobName": "j", "jobQueue": "q", "jobDefinition": "d", "tags": {"a": "b"}},
            {
                "batch:SubmitJob": [f"arn:aws:batch:{HERE}:job-definition/d", f"arn:aws:batch:{HERE}:job-queue/q"],
                "batch:TagResource": [f"arn:aws:batch:{HERE}:job/*"],
            },
        ),
        (
            "batch",
            "register_job_definition",
            {
                "jobDefinitionName": "d",
                "type": "container",
                "containerProperties": {"image": "i", "executionRoleArn": ROLE},
            },
            {"batch:RegisterJobDefinition": [f"arn:aws:batch:{HERE}:job-definition/d"], "iam:PassRole": [ROLE]},
        ),
        (
            "batch",
            "create_compute_environment",
            {
                "computeEnvironmentName": "c",
                "type": "MANAGED",
                "computeResources": {"type": "EC2", "maxvCpus": 1, "subnets": [], "instanceRole": "profile"},
            },
            {"batch:CreateComputeEnvironment": [f"arn:aws:batch:{HERE}:compute-environment/c"], "iam:PassRole": [ROLE]},
        ),
        ("batch", "describe_jobs", {"jobs": ["j"]}, {"batch:DescribeJobs": ["*"]}),
        (
            "logs",
            "create_log_group",
            {"logGroupName": "/g", "tags": {"a": "b"}},
            {
                "logs:CreateLogGroup": [f"arn:aws:logs:{HERE}:log-group:/g:log-stream:"],
                "logs:TagResource": [f"arn:aws:logs:{HERE}:log-group:/g"],
            },
        ),
        (
            "iam",
            "create_role",
            {"RoleName": "new", "AssumeRolePolicyDocument": "{}", "Path": "/p/", "Tags": [{"Key": "a", "Value": "b"}]},
            {
                "iam:CreateRole": ["arn:aws:iam::123456789012:role/p/new"],
                "iam:TagRole": ["arn:aws:iam::123456789012:role/p/new"],
            },
        ),
        (
            "iam",
            "add_role_to_instance_profile",
            {"InstanceProfileName": "profile", "RoleName": "role"},
            {
                "iam:AddRoleToInstanceProfile": ["arn:aws:iam::123456789012:instance-profile/profile"],
                "iam:PassRole": [ROLE],
            },
        ),
        ("iam", "get_policy", {"PolicyArn": ROLE + "-policy"}, {"iam:GetPolicy": [ROLE + "-policy"]}),
        ("ssm", "get_parameter", {"Name": "/a/b"}, {"ssm:GetParameter": [f"arn:aws:ssm:{HERE}:parameter/a/b"]}),
        ("ecr", "get_authorization_token", {}, {"ecr:GetAuthorizationToken": ["*"]}),
        (
            "ecr",
            "describe_repositories",
            {"repositoryNames": ["repository"]},
            {"ecr:DescribeRepositories": [f"arn:aws:ecr:{HERE}:repository/repository"]},
        ),
        (
            "ecs",
            "stop_task",
            {"cluster": "c", "task": "t"},
            {"ecs:StopTask": [f"arn:aws:ecs:{HERE}:task/c/t"]},
        ),
        (
            "ecs",
            "put_cluster_capacity_providers",
            {"cluster": "c", "capacityProviders": [], "defaultCapacityProviderStrategy": []},
            {"ecs:PutClusterCapacityProviders": [f"arn:aws:ecs:{HERE}:cluster/c"]},
        ),
        (
            "ec2",
            "terminate_instances",
            {"InstanceIds": ["i-1", "i-2"]},
            {"ec2:TerminateInstances": [f"arn:aws:ec2:{HERE}:instance/i-1", f"arn:aws:ec2:{HERE}:instance/i-2"]},
        ),
        (
            "ec2",
            "create_security_group",
            {
                "GroupName": "g",
                "Description": "g",
                "VpcId": "vpc-1",
                "TagSpecifications": [{"ResourceType": "security-group", "Tags": [{"Key": "a", "Value": "b"}]}],
            },
            {
                "ec2:CreateSecurityGroup": [f"arn:aws:ec2:{HERE}:security-group/*", f"arn:aws:ec2:{HERE}:vpc/vpc-1"],
                "ec2:CreateTags": [f"arn:aws:ec2:{HERE}:security-group/*"],
            },
        ),
        ("ec2", "delete_key_pair", {"KeyName": "k"}, {"ec2:DeleteKeyPair": [f"arn:aws:ec2:{HERE}:key-pair/k"]}),
        ("ec2", "describe_instances", {}, {"ec2:DescribeInstances": ["*"]}),
        ("sns", "list_topics", {}, {"sns:ListTopics": ["*"]}),
    ],
)
def test_a_call_needs(
    cloud: LocalCloud, service: str, call: str, arguments: dict[str, Any], needs: dict[str, list[str]]
) -> None:
    make_profile(cloud)
    key = cloud.user("joe")
    with pytest.raises(ClientError, match=r"not authorized to perform|403"):
        getattr(cloud.client(service, *key), call)(**arguments)
    assert cloud.do("needs", access_key=key[0]) == needs


def test_a_launch_by_a_template_needs_what_the_template_says(cloud: LocalCloud) -> None:
    make_profile(cloud)
    data = {
        "ImageId": "ami-1",
        "IamInstanceProfile": {"Name": "profile"},
        "TagSpecifications": [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}],
    }
    made = cloud.client("ec2").create_launch_template(LaunchTemplateName="template", LaunchTemplateData=data)
    template = made["LaunchTemplate"]["LaunchTemplateId"]
    key = cloud.user("joe")
    ec2 = cloud.client("ec2", *key)
    with pytest.raises(ClientError, match="not authorized to perform: ec2:RunInstances"):
        ec2.run_instances(
            MinCount=1, MaxCount=1, SubnetId="subnet-1", LaunchTemplate={"LaunchTemplateName": "template"}
        )
    begin = f"arn:aws:ec2:{HERE}:"
    assert cloud.do("needs", access_key=key[0]) == {
        "ec2:RunInstances": [
            *(begin + each for each in ("instance/*", f"launch-template/{template}", "network-interface/*")),
            *(begin + each for each in ("security-group/*", "subnet/subnet-1", "volume/*")),
            "arn:aws:ec2:us-east-1::image/ami-1",
        ],
        "ec2:CreateTags": [begin + "volume/*"],
        "iam:PassRole": [ROLE],
    }


def make_profile(cloud: LocalCloud) -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam = cloud.client("iam")
    iam.create_role(RoleName="role", AssumeRolePolicyDocument=trust)
    iam.create_instance_profile(InstanceProfileName="profile")
    iam.add_role_to_instance_profile(InstanceProfileName="profile", RoleName="role")
