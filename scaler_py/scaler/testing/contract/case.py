"""What an author tells the suite: which driver, and how its infrastructure is looked at and troubled from outside."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from scaler.managers.api import Launch, Owner

# As long as this block lasts, the infrastructure is like that.
Trouble = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Seen:
    """A thing in the infrastructure, as anybody sees it who does not ask the driver.

    unit: the id of the worker group or job that it is; empty for anything else that a driver makes. owner: from its
    tags, None without any. slots, capabilities: what a worker group was started with, None where that cannot be seen.
    text: all that a stranger could read on it, such as command lines, names, tags and labels.
    """

    infrastructure_id: str
    unit: str = ""
    owner: Owner | None = None
    slots: int | None = None
    capabilities: Mapping[str, int] | None = None
    text: str = ""


# What each optional field is, for the reason of a rule that is skipped without it.
MEANINGS = {
    "vanish": "ends a unit from outside, as the crash of its machine does",
    "plant": "makes something that looks like the driver's own and has no owner",
    "refusing": "a context manager in which the infrastructure refuses to make units of these ids",
    "losing_answers": "a context manager in which what is created is there, and its answer is lost",
    "throttling": "a context manager in which the infrastructure answers that there are too many requests",
    "throttling_some": "a context manager in which there are too many requests when a unit of these ids is made",
    "expiring": "a context manager in which the credentials have expired",
    "hanging": "a context manager in which the infrastructure does not answer",
    "wrong_options": "options that `validate` or the model must refuse, by the name of the one that is wrong",
    "shows_size": "True where `Seen.slots` and `Seen.capabilities` are told",
}


@dataclass(kw_only=True)
class DriverCase:
    """A driver and an infrastructure to try it on. Fields that are left out skip the rules that need them.

    module: the driver's, as the entry point names it. options: what its options model is given. look: everything that
    is alive in the infrastructure now. launch: by a group's id, slots and capabilities, what its agent is started
    with; a stand-in that does nothing but live is enough.

    many: how many units are started at once. patience: what the infrastructure may take to show what was done, in
    seconds. deadline: what a hook may take when nothing answers. odd_ids: replaces the suite's own list of ids.
    sdks: modules that `describe` must not import, besides those that the suite knows.
    """

    module: ModuleType
    look: Callable[[], Iterable[Seen]]
    options: Mapping[str, Any] = field(default_factory=dict)
    launch: Callable[[str, int, Mapping[str, int]], Launch] = lambda group, slots, capabilities: Launch({})
    vanish: Callable[[str], None] | None = None
    plant: Callable[[], str] | None = None
    refusing: Callable[[Sequence[str]], AbstractContextManager[object]] | None = None
    losing_answers: Trouble | None = None
    throttling: Trouble | None = None
    throttling_some: Callable[[Sequence[str]], AbstractContextManager[object]] | None = None
    expiring: Trouble | None = None
    hanging: Trouble | None = None
    wrong_options: Mapping[str, Mapping[str, Any]] | None = None
    shows_size: bool = False
    many: int = 50
    patience: float = 30.0
    deadline: float = 60.0
    odd_ids: Sequence[str] | None = None
    sdks: Sequence[str] = ()
