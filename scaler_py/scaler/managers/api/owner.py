"""Whose units these are."""

from dataclasses import dataclass
from functools import cached_property

from scaler import _core

# Keys of the tags that every unit and resource carries.
CLUSTER = "scaler:cluster"
MANAGER = "scaler:manager"
GENERATION = "scaler:generation"


@dataclass(frozen=True)
class Owner:
    """Whose units these are: every one carries it as tags from its creating call on; nothing without is ever touched.

    cluster: 16 hexadecimal digits. manager: its id, of the characters that `scaler_worker_manager --help` names.
    generation: counts the starts of this manager, from 1; a unit belongs to the owner whatever its generation.
    """

    cluster: str
    manager: str
    generation: int = 1

    def tags(self) -> dict[str, str]:
        """For infrastructures with key-value tags."""
        return {CLUSTER: self.cluster, MANAGER: self.manager, GENERATION: str(self.generation)}

    @cached_property
    def hash(self) -> str:
        """32 hexadecimal digits of cluster and manager, where there is only room for a short plain name (`startedBy`).

        The same in all generations.
        """
        return _core.blake3(f"{self.cluster}/{self.manager}".encode()).hex()[:32]
