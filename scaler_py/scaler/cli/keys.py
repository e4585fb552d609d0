"""`scaler_keys create | show | export`: the cluster's key."""

import argparse
import sys
from collections.abc import Sequence

from scaler.cli.command import run_command
from scaler.config.command_line import UsageError
from scaler.config.nearest import nearest

_DESCRIPTION = """\
The cluster's key, made on first use by whatever needs it.

  create   make it now, if there is none, and say where it is
  show     say which key is used, and of which cluster it is; no secrets
  export   print a join token for other machines: export SCALER_KEY=<that line>
"""
_COMMANDS = ("create", "show", "export")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UsageError(message[0].upper() + message[1:] + ".", self.prog, f"see {self.prog} --help")


def main() -> None:
    sys.exit(run_command(_main))


def _main(arguments: Sequence[str]) -> int:
    parser = _Parser(
        "scaler_keys",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("command", metavar="create|show|export", help="what to do")
    parser.add_argument(
        "--key-file", metavar="FILE", default=None, help="the key's file (default: ~/.config/scaler/cluster.key)"
    )
    options = parser.parse_args(list(arguments))
    if options.command not in _COMMANDS:
        near = nearest(options.command, _COMMANDS)
        mend = f"did you mean {near}?" if near else "create, show or export"
        raise UsageError(f"There is no command {options.command!r}.", "scaler_keys", mend)
    return {"create": _create, "show": _show, "export": _export}[options.command](options.key_file)


def _create(key_file: str | None) -> int:
    from pathlib import Path

    from scaler.transport import keys

    path = Path(key_file).expanduser() if key_file else keys.default_key_file()
    there = path.exists()
    key = keys.read_key_file(path) or keys.make_key_file(path)
    print(f"{path} {'was there already' if there else 'made'}: cluster {key.cluster}")
    return 0


def _show(key_file: str | None) -> int:
    from scaler.transport import keys
    from scaler.transport.errors import ClusterKeyError

    key = keys.find_key(None, key_file)
    where = key_file or keys.key_source()
    if key is None:
        raise ClusterKeyError("There is no key yet.", where, "scaler_keys create, or start a scheduler")
    kind = "cluster key" if isinstance(key, keys.ClusterKey) else "join token"
    print(f"{kind} of cluster {key.cluster}, from {where}")
    return 0


def _export(key_file: str | None) -> int:
    from scaler.transport import keys

    print(keys.find_cluster_key(None, key_file).token())
    return 0


if __name__ == "__main__":
    main()
