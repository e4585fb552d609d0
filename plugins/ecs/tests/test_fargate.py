"""Sizes of tasks."""

import pytest
from scaler.managers.api import ConfigurationError
from scaler_plugin_ecs import fargate


@pytest.mark.parametrize(
    ("cpu", "memory", "expected"),
    [
        (0.25, 0.5, (256, 512)),
        (0.5, 4, (512, 4096)),
        (1, 2, (1024, 2048)),
        (2, 16, (2048, 16384)),
        (4, 30, (4096, 30720)),
        (8, 60, (8192, 61440)),
        (16, 120, (16384, 122880)),
    ],
)
def test_size_that_fargate_has_is_given_in_its_units(cpu: float, memory: float, expected: tuple[int, int]) -> None:
    assert fargate.size(cpu, memory) == expected


@pytest.mark.parametrize(
    ("cpu", "memory", "where", "mend"),
    [
        (3, 8, "--ecs-task-cpu", "one of 0.25, 0.5, 1, 2, 4, 8, 16"),
        (0.3, 1, "--ecs-task-cpu", "one of 0.25"),
        (4, 31, "--ecs-task-memory", "with 4 vCPU: 8 to 30 GB"),
        (8, 17, "--ecs-task-memory", "with 8 vCPU: 16 to 60 in steps of 4 GB"),
        (0.25, 4, "--ecs-task-memory", "with 0.25 vCPU: 0.5, 1, 2 GB"),
        (1, 2.5, "--ecs-task-memory", "with 1 vCPU: 2 to 8 GB"),
    ],
)
def test_size_that_fargate_lacks_is_refused_with_those_there_are(
    cpu: float, memory: float, where: str, mend: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        fargate.size(cpu, memory)
    assert caught.value.where == where
    assert caught.value.mend.startswith(mend)
    for units in ("0.25 vCPU: 0.5, 1, 2", "16 vCPU: 32 to 120 in steps of 8"):
        assert units in caught.value.mend
