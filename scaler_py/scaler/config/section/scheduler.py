"""The policies of a scheduler as `SchedulerClusterCombo(scaler_policy=…)` takes them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PolicyConfig:
    """policy_engine_type: simple or waterfall_v1. policy_content: like `allocate=even_load; scaling=no`."""

    policy_engine_type: str = "simple"
    policy_content: str = "allocate=even_load; scaling=no"
