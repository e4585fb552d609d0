"""Plugins as pip would install them, in a folder of their own."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

WHOLE = """
from typing import ClassVar

from scaler.managers.api import DriverInfo, Family, OptionModel, option


class Options(OptionModel):
    group: ClassVar[str] = "driver {name}"

    size: int = option(3, "how large", short="-sz", gt=0)


def describe():
    return DriverInfo("{name}", Family.CAPACITY, Options, 1, "https://example.org/{name}")


def start(context, requests):
    return []


def heartbeat(context):
    return []


def shutdown(context, ids):
    pass


def cleanup(context, scope, dry_run):
    return []
"""


def install(folder: Path, name: str, source: str = WHOLE, *, distribution: str = "", version: str = "1.0") -> Path:
    """A distribution with one driver; its module, which `source` is the text of."""
    distribution = distribution or f"scaler-plugin-{name}"
    package = distribution.replace("-", "_")
    module = folder / package / "driver.py"
    module.parent.mkdir(parents=True)
    (module.parent / "__init__.py").write_text("")
    module.write_text(textwrap.dedent(source.replace("{name}", name)))
    metadata = folder / f"{package}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(
        f"[console_scripts]\nother = a:b\n\n[scaler.drivers]\n{name} = {package}.driver\n"
    )
    (metadata / "RECORD").write_text("")
    return module


def touch(path: Path) -> None:
    """Changed, also to a clock of few ticks."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))
