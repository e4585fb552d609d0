"""`python -m scaler.managers.examining NAME`: imports one driver and says what it is, as JSON.

In a process of its own: whatever the driver does when it is imported, the one that asked goes on.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from scaler.config.options import ATTRIBUTES, Component
from scaler.managers.checking import check_driver, check_name, told
from scaler.managers.installed import HOST, Installed
from scaler.managers.loading import import_driver
from scaler.transport.errors import ConfigurationError

# What the host itself has imported, or may without harm: no driver's burden.
_LIGHT = {"scaler", "pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection", "pluggy"}


def examine(found: Installed) -> dict[str, Any]:
    """Plain values: what `Described` takes, or {"problem", "mend"}. Imports the driver."""
    before = set(sys.modules)
    try:
        check_name(found)
        module = import_driver(found)
        new = set(sys.modules) - before
        info, component = check_driver(found, module)
        commands = sorted(getattr(module, "commands", dict)() or ())
    except ConfigurationError as error:
        return {"problem": error.what, "mend": error.mend}
    except BaseException as error:
        return {"problem": f"The driver {found.name!r} raises {told(error)}.", "mend": "mend or reinstall it"}
    return {
        "version": _version(found),
        "family": info.family.value,
        "api_version": info.api_version,
        "doc_url": info.doc_url,
        "note": _note(found, new),
        "commands": [str(each) for each in commands],
        "options": _rows(component),
        "sources": _sources(found),
    }


def _version(found: Installed) -> str:
    if found.distribution == HOST:
        from scaler import __version__

        return __version__
    return found.version


def _rows(component: Component) -> list[dict[str, Any]]:
    return [{name: getattr(option, name) for name in ATTRIBUTES} for option in component.options]


def _sources(found: Installed) -> dict[str, int]:
    """The files of the driver's package that its import has read, and when each was changed."""
    package = found.module.partition(".")[0]
    if found.distribution == HOST:
        package = found.module
    files = {}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if path and (name == package or name.startswith(f"{package}.")):
            files[path] = os.stat(path).st_mtime_ns
    return files


def _note(found: Installed, new: set[str]) -> str:
    """What the import has brought along that `--help` would wait for."""
    own = found.module.partition(".")[0]
    tops = {name.partition(".")[0] for name in new}
    heavy = sorted(
        name
        for name in tops
        if name not in sys.stdlib_module_names and name not in _LIGHT and name != own and name[0] != "_"
    )
    return f"imports {', '.join(heavy)} when it is loaded, for which --help waits" if heavy else ""


def main() -> None:
    found = Installed(*json.loads(sys.argv[1]))
    # What the driver prints is not our answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    text = json.dumps(examine(found))
    os.write(answer, text.encode())
    # Not `sys.exit`: threads that it has started may go on for ever.
    os._exit(0)


if __name__ == "__main__":
    main()
