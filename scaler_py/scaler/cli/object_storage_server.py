"""`scaler_object_storage_server ADDRESS`: an object storage alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scaler.cli.command import run_command
from scaler.config.command_line import CommandLine
from scaler.config.table import OBJECT_STORAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scaler.config.models import ObjectStorageOptions

COMMAND = CommandLine(
    "scaler_object_storage_server",
    "Runs an object storage server. A scheduler starts one of its own unless it is told of another.",
    [OBJECT_STORAGE],
    "scaler_object_storage_server tcp://0.0.0.0:8517 --memory-limit 4GiB",
)


def main() -> None:
    sys.exit(run_command(_main))


def _main(arguments: Sequence[str]) -> int:
    typed = COMMAND.read(arguments)

    # Only now: help does without the rest.
    from scaler.config import load
    from scaler.config.logs import set_up_logging
    from scaler.config.models import ObjectStorageOptions

    given = load.gather(typed, [OBJECT_STORAGE])
    options = load.validate(ObjectStorageOptions, given, [OBJECT_STORAGE])
    set_up_logging(options.logging_level, options.logging_paths, options.logging_config_file)
    load.speak(given)
    return _run(options)


def _run(options: ObjectStorageOptions) -> int:
    from scaler.part import Ending
    from scaler.storage.host import run_storage
    from scaler.storage.settings import StorageSettings
    from scaler.transport.announcing import warning_of_open

    settings = StorageSettings.chosen(options)
    if options.insecure and (warning := warning_of_open(options.bind_address)):
        print(warning, file=sys.stderr, flush=True)

    def announce(told: dict[str, Any]) -> None:
        print(f"object storage listens at {told['address']}", flush=True)

    return run_storage(settings, Ending(), announce)


if __name__ == "__main__":
    main()
