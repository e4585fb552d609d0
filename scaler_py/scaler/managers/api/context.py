"""What a driver has from call to call."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from scaler.errors import NotSupportedError
from scaler.managers.api.owner import Owner


class Objects(Protocol):
    """The cluster's objects, for offload drivers."""

    def open(self, reference: str) -> BinaryIO:
        """A stream of an object's bytes, to be closed. reference: one of `Job.references`. `MissingObjects`."""
        ...


class NoObjects:
    """Of capacity drivers, whose workers fetch what they need by themselves."""

    def open(self, reference: str) -> BinaryIO:
        raise NotSupportedError("Objects can be opened by offload drivers, in `start`.")


def _no_token(group_id: str) -> str:
    return ""


@dataclass
class Context:
    """One manager's, in all hooks but `describe` and `commands`. Hooks run in threads: what they share has a lock.

    options: the driver's own model. shutdown_seconds: how long `shutdown` lets running tasks go on before it ends them.
    state: the driver's own; `open` makes it. state_directory: a folder of this manager's, which is there.
    make_token: what `join_token` calls.
    """

    owner: Owner
    options: Any
    log: logging.Logger
    shutdown_seconds: float = 10.0
    state: Any = None
    state_directory: Path = Path()
    objects: Objects = field(default_factory=NoObjects)
    make_token: Callable[[str], str] = field(default=_no_token, repr=False)

    def join_token(self, group_id: str) -> str:
        """What the workers of a group need to be let in, as `SCALER_KEY` in their environment; empty without keys.

        A secret: it goes by the infrastructure's own secrets or environment, never by tags, logs or command lines.
        """
        return self.make_token(group_id)
