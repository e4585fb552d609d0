"""What this manager may have made, in its own folder: by names that options had once, `cleanup` finds it again."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scaler_plugin_ecs.options import DEFAULT_EXECUTION_ROLE, EcsOptions

_FILE = "aws_raw_ecs.json"


@dataclass(frozen=True)
class Names:
    """Of what the driver makes. role, log_group: empty where it makes none."""

    region: str
    cluster: str
    family: str
    role: str
    log_group: str


def names_of(options: EcsOptions) -> Names:
    role = "" if options.ecs_execution_role_arn else DEFAULT_EXECUTION_ROLE
    return Names(options.aws_region, options.ecs_cluster, options.ecs_task_definition, role, options.ecs_log_group)


class Record:
    """The file is written as a whole, before anything of a name is made."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._lock = threading.Lock()

    def names(self) -> list[Names]:
        return [Names(**each) for each in self._read().get("names", ())]

    def is_used_by(self, generation: int) -> bool:
        """Whether that run of the manager has used what there is."""
        return bool(self._read().get("used") == generation)

    def use(self, names: Names, generation: int) -> None:
        with self._lock:
            known = self.names()
            wanted = known if names in known else [*known, names]
            if wanted != known or not self.is_used_by(generation):
                self._write(wanted, generation)

    def forget(self, names: Iterable[Names]) -> None:
        """What is not there any more."""
        gone = set(names)
        with self._lock:
            known = self.names()
            if left := [each for each in known if each not in gone]:
                self._write(left, self._read().get("used", 0))
            elif known:
                self._path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, names: list[Names], generation: int) -> None:
        content = json.dumps({"names": [asdict(each) for each in names], "used": generation})
        descriptor, draft = tempfile.mkstemp(prefix=_FILE, dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
