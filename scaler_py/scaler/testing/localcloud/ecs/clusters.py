"""Which cluster a call means."""

from __future__ import annotations

from typing import Any

from scaler.testing.localcloud.answers import AwsError
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.moto_part import backend


def find_cluster(call: Call) -> Any:
    """moto's, by the call's `cluster`: a name or ARN, "default" where there is none. Raises AwsError."""
    given = str(call.parameters.get("cluster") or "default")
    found = backend("ecs", call.region).clusters.get(given.rpartition("/")[2])
    if found is None or (given.startswith("arn:") and given != found.arn):
        raise AwsError("ClusterNotFoundException", "Cluster not found.")
    return found


def active_cluster(call: Call) -> Any:
    found = find_cluster(call)
    if found.status != "ACTIVE":
        raise AwsError("ClusterNotFoundException", "The referenced cluster was inactive.")
    return found
