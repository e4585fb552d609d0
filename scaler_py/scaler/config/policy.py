"""`policy_content`: how tasks are placed and how workers are scaled."""

from dataclasses import dataclass

from scaler.config.nearest import nearest
from scaler.transport.errors import ConfigurationError

ALLOCATE = ("even_load", "capability")
SCALING = ("no", "vanilla", "fixed_elastic", "capability", "waterfall_v1")


@dataclass(frozen=True)
class PolicyConfig:
    """A policy as `SchedulerClusterCombo(scaler_policy=…)` takes it.

    policy_engine_type: simple or waterfall_v1. policy_content: like `allocate=even_load; scaling=no`.
    """

    policy_engine_type: str = "simple"
    policy_content: str = "allocate=even_load; scaling=no"


@dataclass(frozen=True)
class Policy:
    allocate: str
    # For people, about what has no effect yet.
    words: tuple[str, ...] = ()


def parse_policy(engine: str, content: str, where: str = "policy_content") -> Policy:
    """`allocate=even_load; scaling=no`, in any order, either of them left out. ConfigurationError for anything else."""
    if engine == "waterfall_v1":
        return Policy("even_load", (_later("policy_engine_type=waterfall_v1"),))
    values = {"allocate": "even_load", "scaling": "no"}
    for item in filter(None, map(str.strip, content.split(";"))):
        name, equals, value = (part.strip().lower() for part in item.partition("="))
        if not equals or name not in values:
            raise ConfigurationError(f"{item!r} is no policy.", where, "like: allocate=even_load; scaling=no")
        values[name] = value
    _check("allocate", values["allocate"], ALLOCATE, where)
    _check("scaling", values["scaling"], SCALING, where)
    words = () if values["scaling"] == "no" else (_later(f"scaling={values['scaling']}"),)
    return Policy(values["allocate"], words)


def _check(name: str, value: str, known: tuple[str, ...], where: str) -> None:
    if value not in known:
        near = nearest(value, known)
        mend = f"did you mean {near}?" if near else f"one of {', '.join(known)}"
        raise ConfigurationError(f"There is no policy {name}={value}.", where, mend)


def _later(what: str) -> str:
    # Here, for the help of commands does without.
    from scaler import __version__

    return (
        f"{what} has no effect in version {__version__}, which starts no workers by need: that comes with a later one; "
        'what works is scaling=no and worker managers with mode = "fixed" and max_task_concurrency = N'
    )
