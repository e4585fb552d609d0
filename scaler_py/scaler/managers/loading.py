"""Importing the driver that runs, and that one alone: a broken plugin harms nobody else."""

import importlib
import inspect
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scaler.config.options import Component
from scaler.managers.finding import find_driver
from scaler.managers.installed import Installed
from scaler.transport.errors import ConfigurationError

if TYPE_CHECKING:
    import pluggy

    from scaler.managers.api import DriverInfo


@dataclass(frozen=True)
class Driver:
    """A loaded driver. `hook` calls its hooks; those that it lacks give None. `options`: the plain table of its own."""

    info: "DriverInfo"
    hook: Any
    options: Component


def load_driver(name: str) -> Driver:
    """Imports the driver of that name. ConfigurationError: it is not installed, or it is broken."""
    return load_installed(find_driver(name))


def load_installed(found: Installed) -> Driver:
    """As `load_driver`, of one that was found."""
    from scaler.managers import checking

    checking.check_name(found)
    module = import_driver(found)
    info, component = checking.check_driver(found, module)
    plugins = _plugin_manager()
    plugins.register(module, found.name)
    return Driver(info, plugins.hook, component)


def import_driver(found: Installed) -> types.ModuleType:
    """Its module. ConfigurationError: it cannot be had; whatever importing it raises, but Ctrl-C."""
    from scaler.managers.checking import told

    try:
        return importlib.import_module(found.module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        mend = "mend or reinstall the package that has it"
        if isinstance(error, ModuleNotFoundError) and error.name and not found.module.startswith(error.name):
            mend = f"install what it needs: {error.name}"
        elif isinstance(error, ImportError) and (error.name or "").startswith("scaler.managers.api"):
            mend = f"it is for another version of the host: pip install --upgrade scaler-py {found.distribution}"
        raise ConfigurationError(
            f"The driver {found.name!r} cannot be loaded: {told(error)}.",
            f"{found.module} of {found.distribution}",
            mend,
        ) from error


def _plugin_manager() -> "pluggy.PluginManager":
    import pluggy

    from scaler.managers.api import HookSpec

    class PlainFunctions(pluggy.PluginManager):
        """Takes a module's public functions with a hook's name, undecorated."""

        def parse_hookimpl_opts(self, plugin: object, name: str) -> "pluggy.HookimplOpts | None":
            if not hasattr(self.hook, name) or not inspect.isfunction(getattr(plugin, name)):
                return None
            return {
                "wrapper": False,
                "hookwrapper": False,
                "optionalhook": False,
                "tryfirst": False,
                "trylast": False,
                "specname": None,
            }

    plugins = PlainFunctions("scaler")
    plugins.add_hookspecs(HookSpec)
    return plugins
