"""Writes `docs/commands.md` and `docs/worker-manager-parameters.md` from the options: `python -m scaler.cli.reference`.

`python -m scaler.cli.reference DRIVER` prints the reference of one driver's options, a plugin's too, for its own pages.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from scaler.cli import cleanup, cluster, keys, object_storage_server, older, ping, scheduler, stack, worker_manager
from scaler.config import retired
from scaler.config.command_line import CommandLine, flags
from scaler.config.options import Component, Option
from scaler.config.sources import OLDER_TABLES, table_now
from scaler.config.table import BAREMETAL_NATIVE, WORKER_MANAGER
from scaler.testing.localcloud.command_line import help_text

_HEAD = """\
# Commands

Every command has `--help` and `--version`. Below are all options, with their short forms and defaults. What is not
typed may be in the environment or in a TOML file: the option `--client-timeout-seconds` is the variable
`SCALER_CLIENT_TIMEOUT_SECONDS` and the key `client_timeout_seconds`; [configuration](configuration.md) tells the rest.
Exit codes: 0 in peace, 1 for what failed, 2 for what was typed or configured wrongly, 130 for a second Ctrl-C.
"""


def source() -> str:
    native = worker_manager.command_of("baremetal_native", [BAREMETAL_NATIVE, WORKER_MANAGER])
    clean_up = cleanup.command_of("baremetal_native", BAREMETAL_NATIVE)
    commands = [scheduler.COMMAND, object_storage_server.COMMAND, native, cluster.COMMAND]
    parts = [_HEAD, _told("scaler", stack.HELP), _command(ping.COMMAND)]
    parts += [_command(each) for each in commands[:2]]
    parts += [_told("scaler_worker_manager", worker_manager.HELP)]
    parts += [_command(each) for each in (native, clean_up, cluster.COMMAND)]
    parts += [
        _told("scaler_keys", keys.HELP),
        _told("scaler_localcloud", help_text()),
        _names_of_other_versions(commands),
        _without_effect(),
    ]
    return "\n".join(parts)


def _told(program: str, text: str) -> str:
    """A command whose help has no table."""
    return f"## {program}\n\n```text\n{text}```\n"


def _command(command: CommandLine) -> str:
    lines = [f"## {command.program}", "", command.description, "", "```bash", command.example, "```", ""]
    for option in command.options:
        if option.kind == "positional":
            lines.append(
                f"`{option.metavar}` (key `{option.name}`, variable `{option.variable}`): {option.help}. "
                f"Its TOML table is `[{command.components[0].table}]`."
            )
    for group, options in command.groups().items():
        lines += ["", *_table((group, "meaning", "default"), map(_row, options))]
    return "\n".join(lines) + "\n"


def _row(option: Option) -> tuple[str, str, str]:
    return f"`{flags(option)}`", option.help, option.default


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [_line(titles), "|" + "---|" * len(titles)]
    return lines + [_line(row) for row in rows]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _names_of_other_versions(commands: Sequence[CommandLine]) -> str:
    lines = ["## Names of other versions", "", "They work; a line in the log tells the new one.", ""]
    keys_now = [
        (f"`{name}`", f"`{option.name}` in `[{command.components[0].table}]`")
        for command in commands
        for option in command.options
        for name in option.older
        if not name.startswith("-")
    ]
    lines += _table(("key or option", "now"), keys_now)
    lines += ["", *_table(("table", "now"), ((f"`[{name}]`", f"`{table_now(name)}`") for name in OLDER_TABLES))]
    commands_now = ((f"`{name}`", f"`scaler_worker_manager {' '.join(now)}`") for name, now in older.MANAGERS.items())
    lines += ["", *_table(("command", "now"), commands_now)]
    return "\n".join(lines) + "\n"


def _without_effect() -> str:
    lines = ["## Options without effect", ""]
    lines += ["They are accepted by every command, in files and in the environment, and answered by one line.", ""]
    rows = ((f"`{each.name}`", f"`{each.short}`" if each.short else "", each.answer) for each in retired.RETIRED)
    lines += _table(("option", "short", "why"), rows)
    return "\n".join(lines) + "\n"


_COMMON = """\
# Common worker manager parameters

`scaler_worker_manager DRIVER ADDRESS` takes these whatever the driver is; so does a `[[worker_manager]]` table. Those
under *workers*, *keys and network* and *logging* reach the agents and the processes that run tasks, wherever the driver
starts them. What is typed goes before the environment, that before the file, that before the default. Values that a
variable of the environment names hold for all managers that are started in it.

`scaler_worker_manager DRIVER --help` shows them with the driver's own. How it works: [worker managers](managers.md).
"""


def common_source() -> str:
    """The page of what all worker managers take, and of the options of the driver that comes along."""
    parts = [_COMMON, *_parameters([WORKER_MANAGER]), driver_source("baremetal_native", BAREMETAL_NATIVE)]
    return "\n".join(parts)


def driver_source(name: str, options: Component) -> str:
    """What a driver takes besides: part of a page."""
    return "\n".join([f"## Driver {name}", "", *_rows_of(options.options)]) + "\n"


def _parameters(components: Sequence[Component]) -> Iterable[str]:
    command = CommandLine("", "", components)
    positional = [option for option in command.options if option.kind == "positional"]
    for group, options in {"address": positional, **command.groups()}.items():
        yield "\n".join([f"## {group[0].upper()}{group[1:]}", "", *_rows_of(options)]) + "\n"


def _rows_of(options: Sequence[Option]) -> list[str]:
    rows = [
        (
            f"`{flags(option) if option.kind != 'positional' else option.metavar}`",
            f"`{option.name}`",
            f"`{option.variable}`",
            option.help + ("; a secret, better not typed" if option.secret else ""),
            option.default or ("required" if option.required else ""),
        )
        for option in options
        if not option.hidden
    ]
    return _table(("typed", "key in a file", "in the environment", "meaning", "default"), rows)


_DOCS = Path(__file__).parents[3] / "docs"


def path() -> Path:
    return _DOCS / "commands.md"


def common_path() -> Path:
    return _DOCS / "worker-manager-parameters.md"


def _write() -> None:
    path().write_text(source(), encoding="utf-8")
    common_path().write_text(common_source(), encoding="utf-8")


def _print(name: str) -> None:
    from scaler.managers.loading import load_driver

    driver = load_driver(name)
    print(driver_source(driver.info.name, driver.options), end="")


if __name__ == "__main__":
    _print(sys.argv[1]) if len(sys.argv) > 1 else _write()
