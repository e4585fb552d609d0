"""`scaler_keys create | show | export`: the cluster's key."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scaler.cli.command import printed, run_command
from scaler.config.command_line import usage_error
from scaler.config.nearest import nearest

HELP = """\
usage: scaler_keys create|show|export [--key-file FILE]

The cluster's key, made on first use by whatever needs it.

  create   make it now, if there is none, and say where it is
  show     say which key is used, and of which cluster it is; no secrets
  export   print a join token for other machines: export SCALER_KEY=<that line>

  --key-file FILE   the key's file (default: ~/.config/scaler/cluster.key)
  -v, --version     print the version and end
  -h, --help        print this and end
"""


def main() -> None:
    sys.exit(run_command(_main))


def _main(arguments: Sequence[str]) -> int:
    if (code := printed(arguments, HELP)) is not None:
        return code
    command, key_file = _parse(arguments)
    commands = {"create": _create, "show": _show, "export": _export}
    if command not in commands:
        near = nearest(command, commands)
        mend = f"did you mean {near}?" if near else "create, show or export"
        raise usage_error(f"There is no command {command!r}.", "scaler_keys", mend)
    return commands[command](key_file)


def _parse(arguments: Sequence[str]) -> tuple[str, str | None]:
    rest = list(arguments)
    key_file = None
    for index, each in enumerate(rest):
        flag, equals, value = each.partition("=")
        if flag == "--key-file":
            if not equals and index + 1 == len(rest):
                raise usage_error("--key-file needs a file.", "scaler_keys", "--key-file FILE")
            key_file = value if equals else rest[index + 1]
            del rest[index : index + (1 if equals else 2)]
            break
    if len(rest) != 1:
        raise usage_error("One command is needed.", "scaler_keys", "create, show or export")
    return rest[0], key_file


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
