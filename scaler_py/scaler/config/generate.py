"""Writes `table.py` from the models: `python -m scaler.config.generate`."""

from pathlib import Path

from scaler.config import fields, models
from scaler.config.options import Component, Option

_HEAD = '''"""Options as plain data. Generated from the models by `python -m scaler.config.generate`; do not edit."""

# fmt: off
# ruff: noqa: E501
from scaler.config.options import Component, Option

'''


def components() -> dict[str, Component]:
    """The components of the host, by the name that their tables have in `table.py`."""
    from scaler.drivers.baremetal_native import BaremetalOptions

    return {
        "SCHEDULER": fields.component_of(models.SchedulerOptions, "scheduler"),
        "OBJECT_STORAGE": fields.component_of(models.ObjectStorageOptions, "object_storage_server"),
        "CLUSTER": fields.component_of(models.ClusterOptions, "cluster"),
        "PING": fields.component_of(models.PingOptions, "ping"),
        "WORKER_MANAGER": fields.component_of(models.WorkerManagerOptions, "worker_manager"),
        "BAREMETAL_NATIVE": fields.component_of(BaremetalOptions, "worker_manager"),
    }


def source() -> str:
    parts = [_HEAD]
    for name, component in components().items():
        rows = "".join(f"    {_row(option)},\n" for option in component.options)
        parts.append(f"{name} = Component({component.table!r}, (\n{rows}))\n")
    return "\n".join(parts).replace("\n\n\n", "\n\n")


def _row(option: Option) -> str:
    given = [repr(option.name), repr(option.kind), repr(option.help)]
    plain = Option(option.name, "value", "")
    for name in (
        "short",
        "default",
        "choices",
        "required",
        "metavar",
        "variable",
        "older",
        "hidden",
        "group",
        "secret",
    ):
        value = getattr(option, name)
        if value != getattr(plain, name):
            given.append(f"{name}={value!r}")
    return f"Option({', '.join(given)})"


def path() -> Path:
    return Path(__file__).with_name("table.py")


if __name__ == "__main__":
    path().write_text(source(), encoding="utf-8")
