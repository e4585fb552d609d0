"""Writes `docs/commands.md` from the options of the commands: `python -m scaler.cli.reference`."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from scaler.cli import cluster, keys, object_storage_server, older, scheduler, stack, worker_manager
from scaler.config import retired
from scaler.config.command_line import CommandLine, flags
from scaler.config.options import Option
from scaler.config.sources import OLDER_TABLES, table_now
from scaler.config.table import BAREMETAL_NATIVE, WORKER_MANAGER

_HEAD = """\
# Commands

Every command has `--help` and `--version`. Below are all options, with their short forms and defaults. What is not
typed may be in the environment or in a TOML file: the option `--client-timeout-seconds` is the variable
`SCALER_CLIENT_TIMEOUT_SECONDS` and the key `client_timeout_seconds`; [configuration](configuration.md) tells the rest.
Exit codes: 0 in peace, 1 for what failed, 2 for what was typed or configured wrongly, 130 for a second Ctrl-C.
"""


def source() -> str:
    native = worker_manager.command_of("baremetal_native", [BAREMETAL_NATIVE, WORKER_MANAGER])
    commands = [scheduler.COMMAND, object_storage_server.COMMAND, native, cluster.COMMAND]
    parts = [_HEAD, _told("scaler", stack.HELP)]
    parts += [_command(each) for each in commands[:2]]
    parts += [_told("scaler_worker_manager", worker_manager.HELP)]
    parts += [_command(each) for each in commands[2:]]
    parts += [_told("scaler_keys", keys.HELP), _names_of_other_versions(commands), _without_effect()]
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


def path() -> Path:
    return Path(__file__).parents[3] / "docs" / "commands.md"


if __name__ == "__main__":
    path().write_text(source(), encoding="utf-8")
