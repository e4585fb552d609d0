"""Commands of other versions: each runs the one that there is now, and says so."""

import os
import sys

# What each is now, as arguments of `scaler_worker_manager`.
MANAGERS = {
    "scaler_symphony_cluster": ("symphony",),
    "scaler_worker_adapter_ecs": ("aws_raw_ecs",),
    "scaler_worker_adapter_fixed_native": ("baremetal_native", "--mode", "fixed"),
    "scaler_worker_adapter_native": ("baremetal_native",),
    "scaler_worker_adapter_orb": ("orb_aws_ec2",),
    "scaler_worker_adapter_symphony": ("symphony",),
    "scaler_worker_manager_aws_hpc_batch": ("aws_hpc",),
    "scaler_worker_manager_aws_raw_ecs": ("aws_raw_ecs",),
    "scaler_worker_manager_baremetal_native": ("baremetal_native",),
    "scaler_worker_manager_symphony": ("symphony",),
}


def main() -> None:
    name = os.path.basename(sys.argv[0])
    now = MANAGERS[name]
    print(f"{name} is called scaler_worker_manager {' '.join(now)} now", file=sys.stderr, flush=True)
    sys.argv[1:1] = now
    # Only now: it is not this module's business.
    from scaler.cli import worker_manager

    worker_manager.main()
