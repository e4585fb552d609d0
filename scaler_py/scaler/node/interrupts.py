"""SIGINT in an executor: the agent's word that the running element is cancelled."""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # `signal` itself brings `enum`

from scaler._core import ExecutorPort, Steps

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from types import FrameType


class TaskCancelled(KeyboardInterrupt):
    """What a cancelled task sees. It may clean up; its outcome is settled."""


class Interrupts:
    """Raises TaskCancelled in the element that the shared line names, and nowhere else.

    A signal may arrive late: when the element that it meant has ended, it must not hit the next one, nor this
    program's own code. `running` is set while the user's code runs; the line says which element is meant.
    """

    def __init__(self) -> None:
        self.port: ExecutorPort | None = None
        # The steps that give out the running elements; None outside of the user's code.
        self.running: Steps | None = None
        # Index of the element that was hit last.
        self.hit = -1
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        running = self.running
        if running is not None and self.port is not None and self.port.cancelled_here():
            self.hit = running.index
            raise TaskCancelled("the task was cancelled")
