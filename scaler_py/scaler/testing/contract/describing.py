"""Rules about what a driver says of itself before it does anything."""

import inspect
import json
import os
import re
import subprocess
import sys
from typing import Any

from scaler.config.fields import component_of
from scaler.config.options import Option
from scaler.config.table import WORKER_MANAGER
from scaler.managers.api import API_VERSION, Context, DriverInfo, Family, HookSpec, OptionModel
from scaler.testing.contract.rule import NotApplicable, expect, rule
from scaler.testing.contract.trial import Trial, describe

# Of clouds and clusters, by the name of their top module: what takes long to import, or is not there for everybody.
SDKS = {
    "aioboto3",
    "aiobotocore",
    "alibabacloud_tea_openapi",
    "awscrt",
    "azure",
    "boto3",
    "botocore",
    "dask_jobqueue",
    "digitalocean",
    "docker",
    "drmaa",
    "fabric",
    "google",
    "googleapiclient",
    "hcloud",
    "htcondor",
    "ibm_cloud_sdk_core",
    "ibm_vpc",
    "kubernetes",
    "kubernetes_asyncio",
    "libcloud",
    "linode_api4",
    "moto",
    "nomad",
    "oci",
    "openstack",
    "orb",
    "orb_py",
    "paramiko",
    "podman",
    "pyVmomi",
    "pyslurm",
    "ray",
    "requests",
    "s3fs",
    "soamapi",
    "tencentcloud",
    "vastai",
}

_NEEDED = ("describe", "start", "heartbeat", "shutdown", "cleanup")
_DESCRIBE = """
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[2])
before = set(sys.modules)
importlib.import_module(sys.argv[1]).describe()
print(json.dumps(sorted(set(sys.modules) - before)))
"""
_SECRET = re.compile(r"(^|_)(secret|password|passphrase|passwd|token|credential|credentials|private_key|api_key)(_|$)")


@rule("Import SDKs inside the hooks that use them (or in `open`); `--list` and `--help` import every driver.")
def describe_imports_no_sdk(trial: Trial) -> None:
    """Importing the driver and calling `describe` loads no SDK: commands that only look at drivers stay quick, and a
    driver whose SDK is not installed can still be listed."""
    path = json.dumps([os.path.abspath(each) for each in sys.path])
    name = trial.case.module.__name__
    done = subprocess.run([sys.executable, "-c", _DESCRIBE, name, path], capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"in a new interpreter: {done.stderr.strip()}")
    loaded = {each.partition(".")[0] for each in json.loads(done.stdout.splitlines()[-1])}
    found = loaded & {*SDKS, *trial.case.sdks}
    expect(not found, f"importing {name} and calling describe() imported {', '.join(sorted(found))}")


@rule("Return a DriverInfo of constants: a name of lower-case letters, digits and _, and the model itself.")
def describe_is_stable(trial: Trial) -> None:
    """`describe` says the same whenever it is called, in the form that the host reads."""
    info, again = describe(trial.case), describe(trial.case)
    expect(isinstance(info, DriverInfo), f"describe gave {info!r}")
    expect(info == again, f"first it was {info!r}, then {again!r}")
    expect(re.fullmatch(r"[a-z][a-z0-9_]*", info.name), f"the name is {info.name!r}")
    expect(isinstance(info.family, Family), f"the family is {info.family!r}")
    expect(info.api_version == API_VERSION, f"the interface is {info.api_version!r}, the host's is {API_VERSION}")
    model = info.options
    expect(isinstance(model, type) and issubclass(model, OptionModel), f"the options are {model!r}")
    expect(not info.doc_url or re.match(r"https?://\S+$", info.doc_url), f"doc_url is {info.doc_url!r}")


@rule("Define the verb as a plain function with arguments that the spec has (fewer are fine).")
def hooks_are_functions_with_the_arguments_of_the_spec(trial: Trial) -> None:
    """`describe` and the four verbs are there, an offload driver has `collect` too, and no hook asks for an argument
    that the host does not have."""
    module = trial.case.module
    needed = (*_NEEDED, "collect") if trial.offload else _NEEDED
    missing = [name for name in needed if not inspect.isfunction(getattr(module, name, None))]
    expect(not missing, f"{module.__name__} lacks {', '.join(missing)}")
    for name, spec in inspect.getmembers(HookSpec, inspect.isfunction):
        hook = getattr(module, name, None)
        if not name.startswith("_") and inspect.isfunction(hook):
            unknown = set(inspect.signature(hook).parameters) - set(inspect.signature(spec).parameters)
            expect(not unknown, f"{name} asks for {', '.join(sorted(unknown))}")


def _own(trial: Trial) -> tuple[Option, ...]:
    return component_of(trial.info.options, WORKER_MANAGER.table).options


@rule('Give each option a help text: option(default, "what it is, and its unit").')
def options_are_documented(trial: Trial) -> None:
    """Every option has a help text: from it are made the flags' help, the reference page and the errors."""
    silent = [each.flag for each in _own(trial) if not each.hidden and len(each.help.strip()) < 5]
    expect(not silent, f"no help text: {', '.join(silent)}")


@rule("Name options in lower_case_with_underscores, and unlike the host's (scaler_worker_manager NAME --help).")
def options_become_flags_that_nobody_else_has(trial: Trial) -> None:
    """An option's name makes a flag in kebab-case, a key and a variable; none of them is the host's."""
    taken = {each.name for each in WORKER_MANAGER.options}
    short = {each.short for each in WORKER_MANAGER.options} - {""}
    for each in _own(trial):
        expect(re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", each.name), f"an option is named {each.name!r}")
        expect(each.name not in taken, f"the host has {each.flag}")
        expect(each.short not in short, f"the host has {each.short}, which is short for another option")


@rule("Leave a secret's default empty, and read it from the environment or the infrastructure's own place.")
def secrets_have_no_default_that_help_shows(trial: Trial) -> None:
    """No default of a password, token or key is shown: what is in `--help` is in logs and on screens."""
    for each in _own(trial):
        if _SECRET.search(each.name) and not each.name.endswith(("_file", "_path", "_name", "_arn")):
            expect(not each.default, f"{each.flag} shows {each.default!r}")


def _subcommands(trial: Trial) -> dict[str, Any]:
    commands = getattr(trial.case.module, "commands", None)
    if commands is None:
        raise NotApplicable("the driver has no subcommands")
    return dict(commands())


@rule("Return {name: function(arguments, context) -> exit code}, with names that the host does not have.")
def commands_can_be_called(trial: Trial) -> None:
    """Each subcommand is a function of its arguments and a context, under a name in kebab-case that is not `cleanup`,
    which every driver has from the host."""
    for name, command in _subcommands(trial).items():
        expect(re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name), f"a subcommand is named {name!r}")
        expect(name != "cleanup", "the host has a subcommand `cleanup`")
        expect(callable(command), f"{name} is {command!r}")
        try:
            inspect.signature(command).bind([], _bare(trial))
        except TypeError as error:
            expect(False, f"{name} does not take (arguments, context): {error}")


def _bare(trial: Trial) -> Context:
    return trial.unopened(trial.owner())


@rule("Only look in `validate`; make what is missing in `start`, where the ledger has the intent.")
def validate_changes_nothing(trial: Trial) -> None:
    """`validate` is called whenever a manager starts: it only looks, and makes, changes and deletes nothing."""
    context = trial.context()
    before = trial.seen_ids()
    trial.case.module.__dict__.get("validate", lambda context: None)(context=context)
    expect(trial.seen_ids() == before, f"it left {sorted(trial.seen_ids() ^ before)}")


@rule(
    'Raise ConfigurationError(what is wrong, where: "--the-option", mend: "what to write instead").',
    needs=("wrong_options",),
)
def validate_names_the_option_and_the_mend(trial: Trial) -> None:
    """Options that cannot work are refused before anything is created, by an error that names the option and says
    what to write. What the model's own types refuse needs no more."""
    from pydantic import ValidationError

    from scaler.managers.api import ConfigurationError

    for name, options in (trial.case.wrong_options or {}).items():
        flag = "--" + name.replace("_", "-")
        try:
            context = trial.context(options=options)
            trial.case.module.__dict__.get("validate", lambda context: None)(context=context)
        except ValidationError as error:
            told = {str(part) for each in error.errors() for part in each["loc"]}
            expect(name in told, f"with a wrong {name} the model complained of {', '.join(sorted(told)) or 'nothing'}")
        except ConfigurationError as error:
            expect(flag in str(error) or name in str(error), f"with a wrong {flag} it said: {error}")
            expect(error.mend, f"with a wrong {flag} it did not say what to do: {error}")
        else:
            expect(False, f"a wrong {flag} ({options.get(name)!r}) was accepted")
