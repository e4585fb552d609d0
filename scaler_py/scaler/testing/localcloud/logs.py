"""CloudWatch Logs: moto's, with the lines that containers write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaler.testing.localcloud.answers import Answer
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import Cloud, Handler, Next, Resource
from scaler.testing.localcloud.moto_part import backend, backends
from scaler.testing.localcloud.settings import Settings

# At AWS lines arrive within seconds; here whoever asks sees all of them, and others each so often.
_EVERY_SECONDS = 1.0
# What a service makes in an account when it is first used, and nobody owns.
_MADE_BY_AWS = ("/aws/batch/job",)
# At AWS too.
_LINE_BYTES = 256 * 1024


@dataclass
class Follower:
    """The output of a process on its way into a stream."""

    region: str
    group: str
    stream: str
    path: Path
    position: int = 0

    def read(self, at_end: bool) -> list[str]:
        """Lines that are new; at_end: the last one too, though it has no end."""
        with self.path.open("rb") as file:
            file.seek(self.position)
            new = file.read()
        whole = len(new) if at_end else new.rfind(b"\n") + 1
        self.position += whole
        return [each[:_LINE_BYTES].decode(errors="replace") for each in new[:whole].splitlines()]


class Logs:
    def __init__(self, cloud: Cloud, settings: Settings) -> None:
        self._cloud = cloud
        self._followers: list[Follower] = []
        self._ticking = False

    def handlers(self) -> Mapping[str, Handler]:
        return {"logs:*": self._up_to_date}

    def resources(self) -> Iterable[Resource]:
        for _, each in backends("logs"):
            for group in each.groups.values():
                tags = dict(each.list_tags_for_resource(group.arn))
                yield Resource("log group", group.arn, tags=tags, left=group.name not in _MADE_BY_AWS)

    def controls(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {}

    def reset(self) -> None:
        self._followers.clear()

    def open(self, region: str, group: str, stream: str, path: Path) -> Follower:
        """Makes the stream, of a group that exists. path: of the output, a file that grows. With the cloud's lock."""
        backend("logs", region).ensure_log_stream(group, stream)
        follower = Follower(region, group, stream, path)
        self._followers.append(follower)
        if not self._ticking:
            self._ticking = True
            self._cloud.processes.after(_EVERY_SECONDS, self._tick)
        return follower

    def close(self, follower: Follower) -> None:
        """The process has ended. With the cloud's lock."""
        if follower in self._followers:
            self._followers.remove(follower)
            self._write(follower, at_end=True)

    def has_group(self, region: str, group: str) -> bool:
        return group in backend("logs", region).groups

    def _up_to_date(self, call: Call, go_on: Next) -> Answer:
        with self._cloud.lock:
            self._write_all()
        return go_on(call)

    def _tick(self) -> None:
        with self._cloud.lock:
            self._write_all()
            self._ticking = bool(self._followers)
            if self._ticking:
                self._cloud.processes.after(_EVERY_SECONDS, self._tick)

    def _write_all(self) -> None:
        for each in self._followers:
            self._write(each, at_end=False)

    def _write(self, follower: Follower, at_end: bool) -> None:
        group = backend("logs", follower.region).groups.get(follower.group)
        if group is None or follower.stream not in group.streams:
            return  # somebody has deleted it
        now = int(time.time() * 1000)
        if lines := follower.read(at_end):
            group.put_log_events(follower.stream, [{"timestamp": now, "message": each} for each in lines])
