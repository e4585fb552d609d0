"""How a cloud is to be: what AWS decides, made short enough for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """port: 0 for a free one. step_seconds: how long each state before RUNNING takes. latency_seconds: of each call.
    iam_seconds: how long it takes until others see what IAM has made. faults: as `--fault` has them; seed: of their
    chances. grace_seconds: at most so long between SIGTERM and SIGKILL (AWS's own limits, where they are less);
    spot_seconds: from the notice of an interruption to its end, 120 at AWS. stopped_seconds: how long stopped tasks
    can be described. images: what their containers find in PATH, "GLOB=FOLDER" each. batch_minute_seconds: how
    long a minute of a Batch job's time-out takes.
    """

    port: int = 0
    step_seconds: float = 0.05
    latency_seconds: float = 0.0
    iam_seconds: float = 0.2
    faults: Sequence[str] = ()
    seed: int = 0
    grace_seconds: float = 120.0
    spot_seconds: float = 120.0
    stopped_seconds: float = 3600.0
    batch_minute_seconds: float = 60.0
    images: Sequence[str] = ()
