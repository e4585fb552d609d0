"""Tasks that say when they have started and end when they are let go, by named pipes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


class Gate:
    """Pass `gate.hold` with `gate.names` as the task."""

    def __init__(self, folder: Path) -> None:
        self.names = (str(folder / "started"), str(folder / "release"))
        for name in self.names:
            os.mkfifo(name)

    @staticmethod
    def hold(started: str, release: str, value: Any = "held") -> Any:
        with open(started, "w"):
            pass  # opening waits for the other end
        with open(release):
            return value

    def wait(self) -> None:
        """Until a task holds."""
        with open(self.names[0]):
            pass

    def release(self) -> None:
        """Lets the task go that holds."""
        with open(self.names[1], "w"):
            pass
