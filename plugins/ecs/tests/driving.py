"""A manager as the host makes one, for tests that call the hooks themselves."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clouds import until
from scaler.managers.api import Context, Launch, Owner, Resource, Scope, Unit, UnitState, WorkerGroup
from scaler_plugin_ecs import driver
from scaler_plugin_ecs.options import EcsOptions

CLUSTER = "0123456789abcdef"
LOG = "scaler.drivers.aws_raw_ecs"
_LIVE = (UnitState.PENDING, UnitState.RUNNING)


def group_of(name: str, *arguments: str, **environment: str) -> WorkerGroup:
    words = arguments or ("tcp://127.0.0.1:1", "--num-of-workers", "1")
    return WorkerGroup(name, 1, {}, Launch({}, environment, words))


class Driven:
    """A context of a manager, opened."""

    def __init__(
        self,
        options: Mapping[str, Any],
        folder: Path,
        manager: str = "wm-ecs",
        generation: int = 1,
        cluster: str = CLUSTER,
    ) -> None:
        home = folder / f"{cluster}-{manager}"
        home.mkdir(exist_ok=True)
        owner = Owner(cluster, manager, generation)
        self.context = Context(
            owner, EcsOptions.model_validate(dict(options)), logging.getLogger(LOG), state_directory=home
        )
        driver.open(self.context)

    def validate(self) -> None:
        driver.validate(self.context)

    def start(self, *names: str) -> list[Unit]:
        return driver.start(self.context, [group_of(each) for each in names])

    def start_group(self, group: WorkerGroup) -> Unit:
        (unit,) = driver.start(self.context, [group])
        return unit

    def units(self) -> dict[str, Unit]:
        return {each.id: each for each in driver.heartbeat(self.context)}

    def until(self, name: str, holds: Callable[[Unit], object]) -> Unit:
        """The unit of a heartbeat, once that holds of it."""

        def look() -> Unit | None:
            unit = self.units().get(name)
            return unit if unit is not None and holds(unit) else None

        found = until(look)
        assert found is not None
        return found

    def until_running(self, name: str) -> Unit:
        return self.until(name, lambda unit: unit.state is UnitState.RUNNING)

    def until_ended(self, name: str) -> Unit:
        return self.until(name, lambda unit: unit.state not in _LIVE)

    def shutdown(self, *names: str) -> None:
        driver.shutdown(self.context, names)

    def end(self, *names: str) -> None:
        """As the host does: it ends what there is, and waits for it."""
        self.shutdown(*(names or tuple(self.units())))
        until(lambda: not any(unit.state in _LIVE for name, unit in self.units().items() if not names or name in names))

    def cleanup(self, scope: Scope = Scope.RUN, dry_run: bool = False) -> Sequence[Resource]:
        return driver.cleanup(self.context, scope, dry_run)
