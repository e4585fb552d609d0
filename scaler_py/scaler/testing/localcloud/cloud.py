"""The cloud itself: its settings, its services, and the way of a call through them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from scaler.testing.localcloud.answers import Answer
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.processes import Processes

ACCOUNT = "123456789012"

_Part = TypeVar("_Part")

# What comes after: calls on, to the next stage and at last to moto.
Next = Callable[[Call], Answer]
# Answers a call, or lets it go on. Raises AwsError.
Handler = Callable[[Call, Next], Answer]


@dataclass(frozen=True)
class Resource:
    """Something that is there. left: whether it counts for `leftovers`: it costs, or is in somebody's way.

    kind: like "ecs task". id: its ARN or AWS's id. state: in AWS's words.
    """

    kind: str
    id: str
    state: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    left: bool = True
    more: Mapping[str, Any] = field(default_factory=dict)


class Service(Protocol):
    """A part of the cloud that answers itself. Made with the Cloud; all its methods are called with `cloud.lock`
    held, but for its handlers, which take it themselves."""

    def handlers(self) -> Mapping[str, Handler]:
        """By "service:Operation"; "service:*" for all of a service that has none of its own."""
        ...

    def resources(self) -> Iterable[Resource]: ...

    def controls(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        """What tests may do that nobody can by AWS's API, by name: JSON in, JSON out."""
        ...

    def reset(self) -> None:
        """As new. All processes have ended before."""
        ...


@dataclass
class Cloud:
    """endpoint: where it listens, like http://127.0.0.1:1234. lock: around all state, moto's too; never held while a
    call to the outside or a wait goes on."""

    endpoint: str
    folder: Path
    processes: Processes
    lock: threading.RLock = field(default_factory=threading.RLock)
    services: list[Service] = field(default_factory=list)

    def part(self, kind: type[_Part]) -> _Part:
        """The service of this class, for the others."""
        for each in self.services:
            if isinstance(each, kind):
                return each
        raise LookupError(f"this cloud has no {kind.__name__}")
