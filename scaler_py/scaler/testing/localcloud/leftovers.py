"""What is left: every resource that was not there at the start."""

from __future__ import annotations

from scaler.testing.localcloud.cloud import Cloud, Resource


class Leftovers:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._before: set[tuple[str, str]] = set()

    def take_baseline(self) -> None:
        """What is there now is nobody's fault."""
        self._before = {(each.kind, each.id) for each in self.resources()}

    def resources(self) -> list[Resource]:
        with self._cloud.lock:
            return [each for service in self._cloud.services for each in service.resources()]

    def told(self) -> list[str]:
        """A line each; empty when nothing is left."""
        left = [each for each in self.resources() if each.left and (each.kind, each.id) not in self._before]
        return sorted(f"{each.kind} {each.id} {each.state}".strip() for each in left)
