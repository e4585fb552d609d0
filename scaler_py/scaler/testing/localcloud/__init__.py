"""AWS on this machine: the API by moto, tasks, jobs and instances as processes that really run.

`LocalCloud` starts one for tests; `scaler_localcloud` for everybody else. Both are of the extra `scaler-py[testing]`.
"""

from scaler.testing.localcloud.client import LocalCloud, LocalCloudError

__all__ = ["LocalCloud", "LocalCloudError"]
