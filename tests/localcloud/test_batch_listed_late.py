"""Batch: a ListJobs that is behind, as AWS's is: whoever looks for a job by its name may not find it yet."""

from __future__ import annotations

from typing import Any

import pytest
from batch_site import Site, until
from scaler.testing.localcloud import LocalCloud


@pytest.fixture(scope="module")
def cloud_options() -> dict[str, Any]:
    return {"batch_seconds": 1.0}


def test_job_is_described_at_once_and_listed_later(cloud: LocalCloud) -> None:
    site = Site(cloud)
    name = site.submit(site.define("late", "true"), "late-1")

    def listed() -> list[str]:
        found = site.batch.list_jobs(jobQueue=site.queue, filters=[{"name": "JOB_NAME", "values": ["late-*"]}])
        return [each["jobId"] for each in found["jobSummaryList"]]

    created = site.job(name)["createdAt"]
    while not (found := listed()):
        assert site.job(name)["createdAt"] == created
    assert found == [name]
    site.ended(name)
    until(listed, [name])
    site.close()
