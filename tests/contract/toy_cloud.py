"""A cloud in memory, with all the ways of a real one to make a driver's life hard."""

import itertools
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from scaler.managers.api import run_job, unpack_job
from scaler.packing import loads

PAGE = 20
# What a parameter of a job may have; more has to be stored.
PARAMETER_BYTES = 10_000


class CloudError(Exception):
    pass


class Refused(CloudError):
    pass


class TooManyRequests(CloudError):
    pass


class Expired(CloudError):
    pass


class NoAnswer(CloudError):
    pass


class NotFound(CloudError):
    pass


@dataclass
class Thing:
    id: str
    kind: str
    tags: dict[str, str]
    # What anybody may read, and what nobody may.
    text: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    ended: str = ""
    outcome: bytes | None = None
    deleted: bool = False


class Cloud:
    def __init__(self) -> None:
        self.things: dict[str, Thing] = {}
        self.stored: dict[str, bytes] = {}
        self.refused: set[str] = set()
        self.crowded: set[str] = set()
        self.troubles: set[str] = set()
        self.answers_again = threading.Event()
        self._tokens: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    @contextmanager
    def trouble(self, kind: str) -> Iterator[None]:
        self.troubles.add(kind)
        self.answers_again.clear()
        try:
            yield
        finally:
            self.troubles.discard(kind)
            self.answers_again.set()

    @contextmanager
    def refusing(self, names: list[str]) -> Iterator[None]:
        self.refused.update(names)
        yield
        self.refused.difference_update(names)

    @contextmanager
    def crowding(self, names: list[str]) -> Iterator[None]:
        self.crowded.update(names)
        yield
        self.crowded.difference_update(names)

    def _answer(self, timeout: float | None) -> None:
        if "hanging" in self.troubles:
            self.answers_again.wait(timeout)
            raise NoAnswer("no answer")
        if "throttling" in self.troubles:
            raise TooManyRequests("rate exceeded")
        if "expiring" in self.troubles:
            raise Expired("the token has expired")

    def create(
        self,
        kind: str,
        token: str,
        tags: Mapping[str, str],
        *,
        text: str = "",
        secrets: Mapping[str, str] | None = None,
        size: int = 0,
        timeout: float | None = None,
    ) -> Thing:
        """What was made under this token is there once; an empty one is no token."""
        self._answer(timeout)
        with self._lock:
            if tags.get("unit") in self.refused:
                raise Refused("no capacity in this zone")
            if tags.get("unit") in self.crowded:
                raise TooManyRequests("rate exceeded")
            if token and token in self._tokens and not self.things[self._tokens[token]].deleted:
                return self.things[self._tokens[token]]
            thing = Thing(f"{kind}-{next(self._numbers)}", kind, dict(tags), text, dict(secrets or {}), size)
            self.things[thing.id] = thing
            if token:
                self._tokens[token] = thing.id
        if "losing" in self.troubles and "unit" in tags:
            raise NoAnswer("the connection was closed")
        return thing

    def submit(
        self, token: str, tags: Mapping[str, str], payload: bytes, limit: float, *, timeout: float | None = None
    ) -> Thing:
        """Runs a packed job, or, where it only sleeps, lets it look as if it ran."""
        if len(payload) > PARAMETER_BYTES:
            raise Refused("the payload is too long")
        thing = self.create("job", token, tags, timeout=timeout)
        with self._lock:
            if thing.outcome is None and not thing.ended:
                self._run(thing, self.stored.get(payload.decode("latin-1"), payload), limit)
        return thing

    def _run(self, thing: Thing, payload: bytes, limit: float) -> None:
        references: dict[str, bytes] = {}
        if payload.startswith(b"with "):
            count, _, payload = payload[5:].partition(b" ")
            for _ in range(int(count)):
                name, _, rest = payload.partition(b" ")
                size, _, rest = rest.partition(b" ")
                references[name.decode()] = rest[: int(size)]
                payload = rest[int(size) :]
        if getattr(loads(unpack_job(payload).function), "__name__", "") != "sleep":
            thing.outcome = run_job(payload, references.__getitem__)
            thing.ended = "done"
        elif limit:
            thing.ended = "ran out of time"

    def store(self, name: str, data: bytes, *, timeout: float | None = None) -> None:
        self._answer(timeout)
        self.stored[name] = data

    def page(self, start: int = 0, *, timeout: float | None = None) -> tuple[list[Thing], int]:
        """What there is, from a place in the list, and the place of the next page; 0 where there is none."""
        self._answer(timeout)
        found = [each for each in list(self.things.values()) if not each.deleted]
        return found[start : start + PAGE], start + PAGE if len(found) > start + PAGE else 0

    def delete(self, name: str, *, timeout: float | None = None) -> None:
        self._answer(timeout)
        if name not in self.things or self.things[name].deleted:
            raise NotFound(name)
        self.things[name].deleted = True

    def crash(self, name: str) -> None:
        self.things[name].ended = "signal 9"


clouds: dict[str, Cloud] = {}


def connect(name: str) -> Cloud:
    return clouds[name]
