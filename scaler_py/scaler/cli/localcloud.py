"""`scaler_localcloud`: AWS on this machine, for trying and testing drivers."""

import os
import sys
from collections.abc import Sequence

from scaler.cli.command import run_command
from scaler.config.command_line import answered, usage_error
from scaler.testing.localcloud.command_line import help_text, read_settings


def main() -> None:
    code = run_command(_main)
    sys.stdout.flush()
    # Nothing is left to do, and an interpreter takes its time to forget as much as this one knows.
    os._exit(code)


def _main(arguments: Sequence[str]) -> int:
    if answered(arguments, help_text):
        return 0
    settings, as_json = read_settings(arguments)
    try:
        from scaler.testing.localcloud.running import run
    except ModuleNotFoundError as error:
        raise usage_error(
            f"There is no module {error.name}.", "scaler_localcloud", "pip install 'scaler-py[testing]'"
        ) from None
    return run(settings, as_json)


if __name__ == "__main__":
    main()
