"""`scaler_cluster ADDRESS -n N`: workers on this machine, by hand."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scaler.cli.command import run_command
from scaler.config.command_line import CommandLine
from scaler.config.table import CLUSTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scaler.config.models import ClusterOptions

COMMAND = CommandLine(
    "scaler_cluster",
    "Runs workers on this machine for the scheduler at ADDRESS.",
    [CLUSTER],
    "scaler_cluster tcp://127.0.0.1:8516 -n 8",
)


def main() -> None:
    sys.exit(run_command(_main))


def _main(arguments: Sequence[str]) -> int:
    typed = COMMAND.read(arguments)

    # Only now: help does without the rest.
    from scaler.config import load
    from scaler.config.logs import set_up_logging
    from scaler.config.models import ClusterOptions

    given = load.gather(typed, [CLUSTER])
    options = load.validate(ClusterOptions, given, [CLUSTER])
    set_up_logging(options.logging_level, options.logging_paths, options.logging_config_file)
    load.speak(given)
    return _run(options)


def _run(options: ClusterOptions) -> int:
    from dataclasses import replace

    from scaler.managers.launching import Names, agent_settings
    from scaler.node.agent import run_agent
    from scaler.part import Ending

    names = Names(options.worker_name, options.worker_manager_id, options.worker_group_id)
    settings = agent_settings(options, options.scheduler_address, options.num_of_workers, names)
    slots = settings.node.slots
    settings = replace(settings, node=replace(settings.node, drain_limit=options.drain_limit_seconds))

    def announce(told: dict[str, Any]) -> None:
        print(f"{slots} workers of {told['name']} serve {options.scheduler_address}", flush=True)

    return run_agent(settings, Ending(), announce)


if __name__ == "__main__":
    main()
