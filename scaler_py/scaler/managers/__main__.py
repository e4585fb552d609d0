"""`python -m scaler.managers`: a worker manager, started by `scaler.process`."""

import os
from typing import Any

from scaler.config.models import WorkerManagerOptions
from scaler.managers.loading import load_driver
from scaler.managers.running import AGAIN, run_manager
from scaler.part import Announce, Ending, StartAnew, serve_part


def run(settings: dict[str, Any], ending: Ending, ready: Announce) -> int:
    """settings: `driver`, its name; `options`, those of all managers; `own`, the driver's."""
    driver = load_driver(settings["driver"])
    options = WorkerManagerOptions.model_validate(settings["options"])
    own = driver.info.options.model_validate(settings["own"])
    try:
        return run_manager(driver, options, own, lambda: ending, lambda greeting: ready(greeting._asdict()))
    except StartAnew:
        os.environ[AGAIN] = "1"
        raise


if __name__ == "__main__":
    serve_part(run)
