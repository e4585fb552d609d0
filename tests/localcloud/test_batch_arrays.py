"""Batch: array jobs, their children, and what waits for whom."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from batch_site import Site, until
from scaler.testing.localcloud import LocalCloud

STATUSES = ["SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED"]


@pytest.fixture
def site(cloud: LocalCloud) -> Iterator[Site]:
    site = Site(cloud)
    yield site
    site.close()


def array(site: Site, size: int, *command: str, **more: Any) -> str:
    return site.submit(site.define("array", *command), arrayProperties={"size": size}, **more)


def children(name: str, size: int) -> list[str]:
    return [f"{name}:{index}" for index in range(size)]


def test_each_child_knows_its_index_and_the_size(site: Site) -> None:
    name = array(site, 3, "sh", "-c", "echo $AWS_BATCH_JOB_ID $AWS_BATCH_JOB_ARRAY_INDEX $AWS_BATCH_JOB_ARRAY_SIZE")
    parent = site.ended(name)
    assert parent["status"] == "SUCCEEDED"
    assert parent["arrayProperties"]["size"] == 3
    summary = parent["arrayProperties"]["statusSummary"]
    assert sorted(summary) == sorted(STATUSES)
    assert {status: number for status, number in summary.items() if number} == {"SUCCEEDED": 3}
    for index, child in enumerate(site.jobs(children(name, 3))):
        assert child["arrayProperties"] == {"index": index}
        assert site.logs(child) == [f"{name}:{index} {index} 3"]


def test_array_fails_with_one_of_its_children_after_all_have_ended(site: Site) -> None:
    name = array(site, 4, "sh", "-c", 'test "$AWS_BATCH_JOB_ARRAY_INDEX" != 2')
    parent = site.ended(name)
    assert (parent["status"], parent["statusReason"]) == ("FAILED", "Array Child Job failed")
    assert [each["status"] for each in site.jobs(children(name, 4))] == [
        "SUCCEEDED",
        "SUCCEEDED",
        "FAILED",
        "SUCCEEDED",
    ]


def test_array_is_pending_while_its_children_run(site: Site) -> None:
    name = array(site, 2, "sleep", "1000")
    for each in children(name, 2):
        site.running(each)
    assert site.status(name) == "PENDING"
    listed = site.batch.list_jobs(arrayJobId=name)["jobSummaryList"]
    assert [each["jobId"] for each in listed] == children(name, 2)
    assert site.batch.list_jobs(arrayJobId=name, jobStatus="FAILED")["jobSummaryList"] == []
    assert [
        each["jobId"] for each in site.batch.list_jobs(jobQueue=site.queue, jobStatus="PENDING")["jobSummaryList"]
    ] == [name]
    site.batch.terminate_job(jobId=name, reason="enough")
    parent = site.ended(name)
    assert (parent["status"], parent["statusReason"]) == ("FAILED", "enough")
    assert {each["statusReason"] for each in site.jobs(children(name, 2))} == {"enough"}


def test_one_child_can_be_ended_alone(site: Site) -> None:
    name = array(site, 2, "sh", "-c", 'test "$AWS_BATCH_JOB_ARRAY_INDEX" = 0 || sleep 1000')
    site.running(f"{name}:1")
    site.batch.terminate_job(jobId=f"{name}:1", reason="this one")
    assert site.ended(name)["statusReason"] == "Array Child Job failed"
    assert site.status(f"{name}:0") == "SUCCEEDED"
    assert site.job(f"{name}:1")["statusReason"] == "this one"


def test_cancelled_array_ends_children_that_have_not_started(cloud: LocalCloud) -> None:
    site = Site(cloud, max_vcpus=1)
    name = array(site, 3, "sh", "-c", "echo up; sleep 1000")
    site.says(f"{name}:0", "up")
    until(lambda: [site.status(each) for each in children(name, 3)[1:]], ["RUNNABLE", "RUNNABLE"])
    site.batch.cancel_job(jobId=name, reason="no more")
    assert [each["statusReason"] for each in site.all_ended(children(name, 3)[1:])] == ["no more", "no more"]
    assert site.status(f"{name}:0") == "RUNNING"
    site.batch.terminate_job(jobId=f"{name}:0", reason="end")
    assert site.ended(name)["status"] == "FAILED"
    site.close()


def test_each_child_waits_for_its_counterpart(cloud: LocalCloud) -> None:
    site = Site(cloud)
    first = array(site, 2, "sh", "-c", 'test "$AWS_BATCH_JOB_ARRAY_INDEX" = 0 || sleep 1000')
    second = array(site, 2, "true", dependsOn=[{"jobId": first, "type": "N_TO_N"}])
    site.running(f"{first}:1")
    assert site.ended(f"{second}:0")["status"] == "SUCCEEDED"
    assert site.status(f"{second}:1") == "PENDING"
    site.batch.terminate_job(jobId=first, reason="end")
    assert site.ended(second)["statusReason"] == "Array Child Job failed"
    assert site.job(f"{second}:1")["statusReason"] == "Dependent Job failed"
    site.close()


def test_children_one_after_the_other(site: Site) -> None:
    name = array(site, 5, "true", dependsOn=[{"type": "SEQUENTIAL"}])
    assert site.ended(name)["status"] == "SUCCEEDED"
    done = site.jobs(children(name, 5))
    for before, after in itertools.pairwise(done):
        assert before["stoppedAt"] <= after["startedAt"]


def test_a_chain_of_a_thousand_ends_with_its_first_failure(site: Site) -> None:
    name = array(site, 1000, "false", dependsOn=[{"type": "SEQUENTIAL"}])
    parent = site.ended(name)
    assert parent["arrayProperties"]["statusSummary"]["FAILED"] == 1000
    assert len(site.job(f"{name}:0")["attempts"]) == 1
    assert site.job(f"{name}:999")["attempts"] == []


def test_an_array_of_a_thousand(site: Site) -> None:
    name = array(site, 1000, "true")
    parent = site.ended(name)
    assert parent["status"] == "SUCCEEDED"
    pages = site.batch.get_paginator("list_jobs").paginate(arrayJobId=name, jobStatus="SUCCEEDED")
    assert {each["jobId"] for page in pages for each in page["jobSummaryList"]} == set(children(name, 1000))
