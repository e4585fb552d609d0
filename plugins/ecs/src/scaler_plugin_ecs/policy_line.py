"""The command line of `iam-policy`: the driver's options as the manager takes them, its other ones passed over."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from scaler.managers.api import ConfigurationError

from scaler_plugin_ecs.options import EcsOptions

PROGRAM = "scaler_worker_manager aws_raw_ecs iam-policy"
_DESCRIPTION = """\
Prints the IAM policy that a manager with these options needs, and nothing beyond: for an IAM user or role, by
`aws iam put-user-policy --user-name NAME --policy-name scaler --policy-document file://policy.json`.
It takes the manager's own options, from the environment too; those that change nothing are passed over."""
# Of every manager: they say nothing of what it may. A test compares them with the manager's.
VALUES = [
    *("--worker-scheduler-address", "-wsa", "--public-scheduler-address", "-psa"),
    *("--worker-manager-id", "-wmi", "--max-task-concurrency", "-mtc", "--max-workers", "-mw"),
    *("--num-of-workers", "-n", "--state-directory", "--scale-down-cooldown-seconds", "-sdc"),
    *("--shutdown-timeout-seconds", "--object-storage-address", "-osa", "--per-worker-capabilities"),
    *("-pwc", "--per-worker-task-queue-size", "-wtqs", "--heartbeat-interval-seconds", "-his"),
    *("--task-timeout-seconds", "-tts", "--death-timeout-seconds", "-dts", "--connect-timeout-seconds"),
    *("--per-worker-memory-limit", "-wml", "--garbage-collect-interval-seconds", "-gc"),
    *("--trim-memory-threshold-bytes", "-tm", "--tasks-per-process", "--preload", "--key-file"),
    *("--compression", "--logging-level", "-ll", "--logging-config-file", "-lcf"),
]
LISTS = ["--logging-paths", "-lp"]
FLAGS = ["--insecure"]


def read(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> tuple[dict[str, Any], str]:
    """(values by the driver's names, account). ConfigurationError: there is no such option, or it has no value."""
    parser = _Parser(
        PROGRAM,
        usage=f"{PROGRAM} [--aws-account ID] [options of the manager]",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.fill()
    found, rest = parser.parse_known_args(list(arguments))
    for word in rest:
        if "://" not in word or word.startswith("-"):
            parser.refuse(word)
    account = str(found.aws_account)
    if account != "*" and not (account.isdecimal() and len(account) == 12):
        raise ConfigurationError(f"{account!r} is no AWS account.", "--aws-account", "12 digits, like 123456789012")
    values = {}
    for name, field in EcsOptions.model_fields.items():
        typed = getattr(found, name)
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        told = environment.get(str(extra.get("variable") or f"SCALER_{name.upper()}"))
        if typed is not None or told:
            values[name] = told if typed is None else typed
    return values, account


class _Parser(argparse.ArgumentParser):
    """Its errors have three parts."""

    def fill(self) -> None:
        self.add_argument(
            "--aws-account", metavar="ID", default="*", help="account, 12 digits; any where it is left out"
        )
        for name, field in EcsOptions.model_fields.items():
            # % means something in the help of argparse.
            help = (field.description or "").replace("%", "%%")
            self.add_argument("--" + name.replace("_", "-"), dest=name, help=help, metavar=name.upper())
        for flag in VALUES:
            self.add_argument(flag, dest="others", help=argparse.SUPPRESS)
        for flag in LISTS:
            self.add_argument(flag, dest="others", nargs="+", help=argparse.SUPPRESS)
        for flag in FLAGS:
            self.add_argument(flag, dest="others", action="store_true", help=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message[0].upper()}{message[1:]}.", PROGRAM, f"see {PROGRAM} --help")

    def refuse(self, word: str) -> NoReturn:
        """It is no option, and no address."""
        flag = word.partition("=")[0]
        see = f"see {PROGRAM} --help"
        if flag in ("-c", "--config"):
            raise ConfigurationError("This command reads no file.", flag, f"type what the file has; {see}")
        if not flag.startswith("-"):
            raise ConfigurationError(f"There is no place for {word!r}.", PROGRAM, see)
        near = difflib.get_close_matches(flag, [each for each in self._option_string_actions if each[:2] == "--"], n=1)
        mend = f"did you mean {near[0]}? {see}" if near else see
        raise ConfigurationError(f"There is no option {flag}.", PROGRAM, mend)
