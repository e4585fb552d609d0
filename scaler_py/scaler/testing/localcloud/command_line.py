"""What is typed after `scaler_localcloud`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scaler.config.command_line import usage_error
from scaler.config.nearest import nearest
from scaler.testing.localcloud.settings import Settings, options

_PROGRAM = "scaler_localcloud"
_HELP = """\
usage: scaler_localcloud [options]

AWS on this machine: its API answered by moto, and its tasks, jobs and instances really run, as processes. For trying
and testing drivers without an account. What to type so that AWS's tools and SDKs use it is printed at the start; all
calls and all that is there are a page of JSON. It ends, with everything that runs in it, by Ctrl-C.

{options}
  --json{space}say where it listens as a line of JSON, and end when the standard input does
  -v, --version{version}print the version and end
  -h, --help{help}print this and end

Faults are KIND[:key=value[,key=value…]]. Kinds: throttle, error (500), drop (done, and the answer lost), hang, expired,
denied, any (throttle, error or drop, by chance), capacity (there is none), pull (an image cannot be had). Keys:
service, operation, match (text in the request), image, rate (0 to 1), count (so often, and then it is mended).

examples:
  scaler_localcloud --port 4566
  scaler_localcloud --fault any:rate=0.1 --seed 7
  scaler_localcloud --fault capacity:service=ecs,count=3 --step-seconds 2
"""


def help_text() -> str:
    left = {flag: f"{flag} {each.metadata['metavar']}" for flag, each in options().items()}
    width = max(map(len, left.values())) + 2
    lines = []
    for flag, each in options().items():
        default = "may be repeated" if each.metadata["flag"] else f"default: {each.default:g}"
        lines.append(f"  {left[flag]:{width}}{each.metadata['help']} ({default})")
    spaces = {name: " " * (width - len(flag)) for name, flag in _OTHERS.items()}
    return _HELP.format(options="\n".join(lines), **spaces)


_OTHERS = {"space": "--json", "version": "-v, --version", "help": "-h, --help"}


def read_settings(arguments: Sequence[str]) -> tuple[Settings, bool]:
    """The settings, and whether `--json` was there. Raises UsageError."""
    rest = list(arguments)
    found: dict[str, Any] = {}
    as_json = False
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if flag == "--json" and not equals:
            as_json = True
            continue
        option = options().get(flag)
        if option is None:
            near = nearest(flag, options())
            raise usage_error(f"There is no option {flag}.", _PROGRAM, f"did you mean {near}?" if near else "--help")
        if not equals:
            if not rest:
                raise usage_error(f"{flag} needs a value.", _PROGRAM, f"{flag} {option.metadata['metavar']}")
            value = rest.pop(0)
        if option.metadata["flag"]:
            found.setdefault(option.name, []).append(value)
        else:
            found[option.name] = _number(flag, type(option.default), value)
    return Settings(**found), as_json


def _number(flag: str, kind: type, value: str) -> Any:
    try:
        number = kind(value)
    except ValueError:
        number = -1
    if number < 0:
        raise usage_error(f"{flag}: {value!r} is no number of at least 0.", _PROGRAM, f"{flag} 1")
    return number
