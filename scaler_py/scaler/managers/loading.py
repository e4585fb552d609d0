"""Finding drivers, and importing the one that runs: a broken plugin harms nobody else."""

import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from scaler.config.nearest import nearest
from scaler.managers.names import BUILT_IN, KNOWN, SHORT, full_name
from scaler.transport.errors import ConfigurationError

if TYPE_CHECKING:
    import pluggy

    from scaler.managers.api import DriverInfo

GROUP = "scaler.drivers"

# The host's own is there even where the package was not installed but is only on the path.
_BUILT_IN = EntryPoint(BUILT_IN, "scaler.drivers.baremetal_native", GROUP)

_NEEDED = ("describe", "start", "heartbeat", "shutdown", "cleanup")


@dataclass(frozen=True)
class Driver:
    """A loaded driver. `hook` calls its hooks; those that it lacks give None."""

    info: "DriverInfo"
    hook: Any


@dataclass(frozen=True)
class Listed:
    """A line of `--list`. `problem` is empty for a driver that can be loaded."""

    name: str
    distribution: str
    version: str
    family: str = ""
    api_version: int = 0
    problem: str = ""


def load_driver(name: str) -> Driver:
    """Imports the driver of that name. ConfigurationError: it is not installed, or it is broken."""
    name = full_name(name)
    found = _entry_points().get(name)
    if found is None:
        raise _not_installed(name)
    try:
        return _register(name, found.load())
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"The driver {name!r} cannot be loaded: {type(error).__name__}: {error}.",
            found.value,
            "mend or reinstall the package that has it",
        ) from error


def list_drivers() -> Iterator[Listed]:
    """Every driver that is installed, each imported under guard."""
    for name, found in sorted(_entry_points().items()):
        distribution = found.dist.name if found.dist is not None else "scaler-py"
        version = found.dist.version if found.dist is not None else ""
        try:
            info = load_driver(name).info
        except ConfigurationError as error:
            yield Listed(name, distribution, version, problem=error.what)
        else:
            yield Listed(name, distribution, version, info.family.value, info.api_version)


def _entry_points() -> dict[str, EntryPoint]:
    found = {_BUILT_IN.name: _BUILT_IN}
    found.update((each.name, each) for each in entry_points(group=GROUP))
    return found


def _not_installed(name: str) -> ConfigurationError:
    if name in KNOWN:
        return ConfigurationError(f"The driver {name!r} is not installed.", "", f"pip install {KNOWN[name]}")
    known = {*KNOWN, *_entry_points()}
    near = nearest(name, [*known, *SHORT])
    mend = f"did you mean {near}? " if near else ""
    return ConfigurationError(f"There is no driver {name!r}.", "", f"{mend}scaler_worker_manager --list shows them")


def _register(name: str, module: types.ModuleType) -> Driver:
    from scaler.managers.api import API_VERSION

    missing = [hook for hook in _NEEDED if not inspect.isfunction(getattr(module, hook, None))]
    if missing:
        raise ConfigurationError(
            f"The driver {name!r} lacks {', '.join(missing)}.", module.__name__, "define them as functions there"
        )
    plugins = _plugin_manager()
    plugins.register(module, name)
    info: DriverInfo = plugins.hook.describe()
    if info.api_version != API_VERSION:
        raise ConfigurationError(
            f"The driver {name!r} is for interface {info.api_version}; this host has {API_VERSION}.",
            module.__name__,
            f"install a version of {KNOWN.get(name, 'its package')} that fits",
        )
    return Driver(info, plugins.hook)


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
