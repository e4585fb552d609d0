"""One installed driver by its name, without importing it."""

from __future__ import annotations

from collections.abc import Sequence

from scaler.config.nearest import nearest
from scaler.managers.installed import Installed, installed
from scaler.managers.names import KNOWN, SHORT, full_name

# Not from `typing`: help must be fast.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from scaler.transport.errors import ConfigurationError


def find_driver(name: str) -> Installed:
    """The one entry point of that name, short ones accepted. ConfigurationError: there is none, or more than one."""
    name = full_name(name)
    everything = installed()
    found = [each for each in everything if each.name == name]
    if not found:
        raise _not_installed(name, everything)
    if len(found) > 1:
        raise one_too_many(found)
    return found[0]


def one_too_many(found: Sequence[Installed]) -> ConfigurationError:
    packages = [each.distribution for each in found]
    return _error(
        f"Two packages have a driver {found[0].name!r}.", " and ".join(packages), f"pip uninstall {packages[-1]}"
    )


def _not_installed(name: str, everything: Sequence[Installed]) -> ConfigurationError:
    if name in KNOWN:
        return _error(f"The driver {name!r} is not installed.", "", f"pip install {KNOWN[name]}")
    near = nearest(name, [*KNOWN, *(each.name for each in everything), *SHORT])
    mend = f"did you mean {near}? " if near else ""
    return _error(f"There is no driver {name!r}.", "", f"{mend}scaler_worker_manager --list shows them")


def _error(what: str, where: str, mend: str) -> ConfigurationError:
    # Imported here: help does without.
    from scaler.transport.errors import ConfigurationError

    return ConfigurationError(what, where, mend)
