"""`python -m scaler.scheduler`: a scheduler, started by `scaler.process`."""

from typing import Any

from scaler.part import Announce, Ending, serve_part
from scaler.scheduler.host import run_scheduler
from scaler.scheduler.settings import SchedulerSettings


def run(settings: dict[str, Any], ending: Ending, ready: Announce) -> int:
    return run_scheduler(SchedulerSettings.of(settings), ending, ready)


if __name__ == "__main__":
    serve_part(run)
