"""Whether a module is a driver: what the host relies on, checked before any of its hooks is registered."""

import inspect
import types
from typing import Any

from scaler.config.fields import OptionModel, component_of
from scaler.config.options import Component
from scaler.config.table import WORKER_MANAGER
from scaler.managers.api import API_VERSION, DriverInfo, Family, HookSpec
from scaler.managers.installed import HOST, Installed
from scaler.managers.names import SHORT
from scaler.transport.errors import ConfigurationError

VERBS = ("describe", "start", "heartbeat", "shutdown", "cleanup")
HOOKS = tuple(name for name in vars(HookSpec) if not name.startswith("_"))
# Flags that every command has.
_COMMON = {"--config", "-c", "--help", "-h", "--version", "-v"}


def check_driver(found: Installed, module: types.ModuleType) -> tuple[DriverInfo, Component]:
    """What it says of itself, and its options. ConfigurationError: it cannot be run, why, and what mends that."""
    missing = [name for name in VERBS if getattr(module, name, None) is None]
    if missing:
        raise _broken(found, f"lacks {', '.join(missing)}", "define them as functions there")
    for name in HOOKS:
        if (hook := vars(module).get(name)) is not None:
            _check_hook(found, name, hook)
    info = _described(found, module)
    if info.api_version != API_VERSION:
        raise _incompatible(found, info.api_version)
    return info, _options(found, info)


def _check_hook(found: Installed, name: str, hook: object) -> None:
    if not inspect.isfunction(hook):
        if name in VERBS:
            raise _broken(found, f"has a {name} that is no function", "define it with def")
        return
    if inspect.iscoroutinefunction(hook) or inspect.isgeneratorfunction(hook) or inspect.isasyncgenfunction(hook):
        raise _broken(found, f"has a {name} that is no plain function", "hooks run in threads and may block: use def")
    wanted = [each for each in inspect.signature(getattr(HookSpec, name)).parameters if each != "self"]
    for each in inspect.signature(hook).parameters.values():
        if each.name not in wanted or each.kind not in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
            given = f"arguments {', '.join(wanted)}" if wanted else "no arguments"
            raise _broken(found, f"has a {name} with the argument {each.name!r}", f"{name} has {given}")


def _described(found: Installed, module: Any) -> DriverInfo:
    try:
        info = module.describe()
    except BaseException as error:
        raise _broken(found, f"has a describe that raises {told(error)}", "mend it") from error
    if not isinstance(info, DriverInfo):
        raise _broken(found, f"has a describe that returns {info!r:.80}", "return a DriverInfo")
    if not isinstance(info.api_version, int) or isinstance(info.api_version, bool):
        raise _broken(found, f"has an api_version of {info.api_version!r:.40}", "write a whole number")
    if info.name != found.name:
        mend = "let its entry point and describe have the same name"
        raise _broken(found, f"calls itself {info.name!r:.80}", mend)
    if not isinstance(info.family, Family):
        raise _broken(found, f"is of the family {info.family!r:.80}", "use Family.CAPACITY or Family.OFFLOAD")
    if not isinstance(info.doc_url, str):
        raise _broken(found, f"has a doc_url of {info.doc_url!r:.80}", "write a text")
    return info


def _options(found: Installed, info: DriverInfo) -> Component:
    model = info.options
    if not isinstance(model, type) or not issubclass(model, OptionModel):
        raise _broken(found, f"has options of {model!r:.80}", "make them a class that inherits from OptionModel")
    try:
        component = component_of(model, WORKER_MANAGER.table)
    except Exception as error:
        raise _broken(found, f"has options that cannot be used: {told(error)}", "mend the option") from error
    names = {each.name for each in WORKER_MANAGER.options}
    flags = {each for option in WORKER_MANAGER.options for each in (option.flag, option.short) if each} | _COMMON
    for option in component.options:
        if option.kind == "positional":
            raise _broken(found, f"has the positional option {option.name!r}", "only the scheduler's address is one")
        if option.name in names:
            raise _broken(found, f"has an option {option.name!r}, as the host has", "choose another name")
        for each in filter(None, (option.flag, option.short)):
            if each in flags:
                raise _broken(found, f"has two options, or one of the host's, at {each}", "choose another flag")
            flags.add(each)
    return component


def check_name(found: Installed) -> None:
    """ConfigurationError: nobody could type it."""
    reserved = {*SHORT, "cleanup", "new-driver"} if found.distribution != HOST else set()
    plain = found.name.isascii() and found.name.replace("_", "a").replace("-", "a").isalnum() and found.name[0] != "-"
    if not plain or found.name in reserved:
        mend = "choose another one, of letters, digits and _"
        raise _broken(found, "has a name that means something else", mend)


def told(error: BaseException) -> str:
    """Kind and text of an error, in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text:.300}" if text else type(error).__name__


def _broken(found: Installed, what: str, mend: str) -> ConfigurationError:
    return ConfigurationError(f"The driver {found.name!r} {what}.", f"{found.module} of {found.distribution}", mend)


def _incompatible(found: Installed, theirs: int) -> ConfigurationError:
    older = theirs < API_VERSION
    what = f"The driver {found.name!r} is for interface {theirs}; this host has {API_VERSION}."
    package = found.distribution if older else HOST
    mend = f"pip install --upgrade {package}"
    return ConfigurationError(what, f"{found.module} of {found.distribution}", mend)
