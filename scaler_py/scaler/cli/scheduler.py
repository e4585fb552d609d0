"""`scaler_scheduler ADDRESS`: a scheduler, and an object storage beside it unless another is named."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scaler.cli.command import run_command
from scaler.config.command_line import CommandLine
from scaler.config.table import SCHEDULER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scaler.config.models import SchedulerOptions
    from scaler.config.policy import Policy

COMMAND = CommandLine(
    "scaler_scheduler",
    "Runs a scheduler. Clients and worker managers connect to its address.",
    [SCHEDULER],
    "scaler_scheduler tcp://0.0.0.0:8516",
)


def main() -> None:
    sys.exit(run_command(_main))


def _main(arguments: Sequence[str]) -> int:
    typed = COMMAND.read(arguments)

    # Only now: help does without the rest.
    from scaler.config import load
    from scaler.config.logs import set_up_logging
    from scaler.config.models import SchedulerOptions
    from scaler.config.policy import chosen_policy

    given = load.gather(typed, [SCHEDULER])
    options = load.validate(SchedulerOptions, given, [SCHEDULER])
    policy = chosen_policy(options, given)
    set_up_logging(options.logging_level, options.logging_paths, options.logging_config_file)
    load.speak(given)
    return _run(options, policy)


def _run(options: SchedulerOptions, policy: Policy) -> int:
    from scaler.part import Ending
    from scaler.scheduler.host import run_scheduler
    from scaler.scheduler.settings import SchedulerSettings

    settings = SchedulerSettings.chosen(options, policy)
    return run_scheduler(settings, Ending(), lambda told: _announce(told, options.insecure))


def _announce(told: dict[str, Any], insecure: bool) -> None:
    from scaler.transport.announcing import how_others_join, warning_of_open

    print(f"scheduler listens at {told['address']}, object storage at {told['object_storage']}", flush=True)
    if insecure and (warning := warning_of_open(told["address"])):
        print(warning, file=sys.stderr, flush=True)
    if not insecure and (how := how_others_join(told["address"], told["cluster"])):
        print(how, flush=True)


if __name__ == "__main__":
    main()
