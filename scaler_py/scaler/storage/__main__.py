"""`python -m scaler.storage`: an object storage server, started by `scaler.process`."""

from typing import Any

from scaler.part import Announce, Ending, serve_part
from scaler.storage.host import run_storage
from scaler.storage.settings import StorageSettings


def run(settings: dict[str, Any], ending: Ending, ready: Announce) -> int:
    return run_storage(StorageSettings.of(settings), ending, ready)


if __name__ == "__main__":
    serve_part(run)
