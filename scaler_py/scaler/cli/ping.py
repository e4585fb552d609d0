"""`scaler ping ADDRESS`: what a round trip through a running cluster takes, and what each hop takes of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scaler.cli.command import FAILED, run_command
from scaler.config.command_line import CommandLine
from scaler.config.options import Component, Option
from scaler.config.table import PING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from scaler.client.round_trips import RoundTrips
    from scaler.config.models import PingOptions

_JSON = Option("json", "flag", "one line of JSON instead of a table", group="ping", variable="SCALER_PING_JSON")
COMMAND = CommandLine(
    "scaler ping",
    "Sends values to workers and back, one after the other, as a client of the scheduler at ADDRESS, and prints how "
    "long that took: least, median, 99th percentile and most, and the same of each hop, measured at one end of it. "
    "Exit code 1 where not all came back.",
    [PING, Component(PING.table, (_JSON,))],
    "scaler ping tcp://127.0.0.1:8516 --size 1MiB --count 100",
)
INTERRUPTED = 130


def main() -> None:
    sys.exit(run_command(_main))


def _main(arguments: Sequence[str]) -> int:
    typed = COMMAND.read(arguments)

    # Only now: help does without the rest.
    from scaler.config import load
    from scaler.config.models import PingOptions

    as_json = bool(typed.values.pop("json", False))
    given = load.gather(typed, [PING])
    options = load.validate(PingOptions, given, [PING])
    for word in given.words:
        _say(word)
    return _run(options, as_json)


def _run(options: PingOptions, as_json: bool) -> int:
    from scaler import Client
    from scaler.client.round_trips import RoundTrips
    from scaler.transport.keys import find_key

    # Where no file is named, the key is found, or made, as for any client.
    key = None if options.key_file is None else find_key(None, options.key_file)
    client = Client(
        options.scheduler_address,
        timeout_seconds=options.timeout,
        key=key,
        insecure=options.insecure or None,
        compression=options.compression,
    )
    with client:
        trips = RoundTrips(client, int(options.size), options.timeout)
        code = _measure(trips, options.count)
    print(_json(trips, options) if as_json else _table(trips, options), flush=True)
    for text in filter(None, (trips.unmeasured, trips.why_not)):
        _say(text)
    return code


def _measure(trips: RoundTrips, count: int) -> int:
    """The exit code. What was measured until Ctrl-C is there."""
    try:
        trips.measure(count, _say)
    except KeyboardInterrupt:
        return INTERRUPTED
    return FAILED if trips.why_not else 0


def _say(text: str) -> None:
    """For people, beside what is measured."""
    print(text, file=sys.stderr, flush=True)


def _table(trips: RoundTrips, options: PingOptions) -> str:
    done = len(trips.whole)
    of = "" if done == options.count else f" of {options.count}"
    size = f"{int(options.size):,} bytes"
    lines = [
        f"{done:,}{of} round trips by {options.scheduler_address}, {size} there and {size} back",
        "",
        f"{'µs':<44}{'min':>10}{'median':>10}{'p99':>10}{'max':>10}",
    ]
    for name, summary in trips.summaries().items():
        lines.append(f"{_ROWS[name]:<44}{''.join(f'{value:>10,.0f}' for value in summary.values())}")
    rest = trips.rest()
    if rest is not None:
        lines.append(f"{_ROWS['rest']:<44}{'':>10}{rest:>10,.0f}")
    if trips.worker:
        lines += ["", f"The hop between worker and scheduler was measured by a task on {trips.worker}."]
    return "\n".join(lines)


_ROWS = {
    "whole": "submit to result",
    "client_scheduler": "  client to scheduler and back, empty",
    "scheduler_worker": "  scheduler to worker and back, empty",
    "worker": "  in the worker: argument, call, value",
    "rest": "  left: agent to executor, engines, bytes",
}


def _json(trips: RoundTrips, options: PingOptions) -> str:
    import json

    told = {
        "address": options.scheduler_address,
        "size": int(options.size),
        "count": options.count,
        "done": len(trips.whole),
        "worker": trips.worker,
        "why_not": trips.why_not,
        "unmeasured": trips.unmeasured,
        "microseconds": {**trips.summaries(), "rest": {"median": trips.rest()}},
    }
    return json.dumps(told)


if __name__ == "__main__":
    main()
