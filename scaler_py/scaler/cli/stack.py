"""`scaler FILE`: whatever a configuration file asks for, kept alive until one Ctrl-C; and `scaler ping`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scaler.cli.command import printed, run_command
from scaler.config.command_line import usage_error

_PROGRAM = "scaler"
HELP = """\
usage: scaler FILE
       scaler ping ADDRESS

Starts the parts that the TOML file FILE has tables for, starts again what dies, and ends all of it with one Ctrl-C.

  [object_storage_server]   keeps large values; without it, the scheduler does
  [scheduler]               clients and worker managers connect to it
  [[worker_manager]]        starts workers; as many of these tables as you like, each with a worker_manager_id
  [gui]                     nothing: this version has no web page

Keys are the long options of scaler_object_storage_server, scaler_scheduler and scaler_worker_manager, with
underscores. The environment (SCALER_…) goes before the file. Without a [scheduler], worker managers serve the
scheduler_address that they name.

scaler ping measures round trips through a running cluster; see scaler ping --help. (A file of that name: ./ping.)

  -v, --version   print the version and end
  -h, --help      print this and end

example:
  [scheduler]
  bind_address = "tcp://127.0.0.1:8516"

  [[worker_manager]]
  type = "baremetal_native"
  mode = "fixed"
  max_task_concurrency = 8
"""


def main() -> None:
    sys.exit(run_command(_main))


def _main(arguments: Sequence[str]) -> int:
    if arguments[:1] == ["ping"]:
        # Only now: the help of the rest does without.
        from scaler.cli import ping

        return ping._main(arguments[1:])
    if (code := printed(arguments, HELP)) is not None:
        return code
    for each in arguments:
        if each.startswith("-"):
            raise usage_error(f"There is no option {each}.", _PROGRAM, f"write it in the file; see {_PROGRAM} --help")
    if len(arguments) > 1:
        raise usage_error(f"There is no place for {arguments[1]!r}.", _PROGRAM, f"{_PROGRAM} {arguments[0]}")
    return _run(arguments[0])


def _run(path: str) -> int:
    # Only now: help does without the rest.
    from scaler.part import Ending
    from scaler.stack.plan import read_plan
    from scaler.stack.supervisor import Supervisor
    from scaler.stack.terminal import Terminal

    plan = read_plan(path)
    terminal = Terminal([_PROGRAM, *(part.name for part in plan.parts)])
    for word in plan.words:
        terminal.say(_PROGRAM, word)
    Supervisor(plan, terminal).run(Ending())
    return 0


if __name__ == "__main__":
    main()
