"""What tests ask of the cloud beside AWS's API: pages of JSON, and switches."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from scaler.testing.localcloud.answers import Answer
from scaler.testing.localcloud.cloud import Cloud
from scaler.testing.localcloud.leftovers import Leftovers
from scaler.testing.localcloud.record import Record

Control = Callable[[Mapping[str, Any]], Any]


class Controls:
    """`GET calls`, `GET resources`, `GET leftovers`, `GET ` (all three); `POST <name>` with a JSON object for the rest:
    "reset", "baseline", and what the services have."""

    def __init__(self, cloud: Cloud, record: Record, reset: Callable[[], None]) -> None:
        self._cloud = cloud
        self._record = record
        self._left = Leftovers(cloud)
        self._reset = reset
        self._named: dict[str, Control] = {"reset": self._do_reset, "baseline": self._do_baseline}
        for service in cloud.services:
            self._named.update(service.controls())

    def __call__(self, name: str, environ: Mapping[str, Any], body: bytes) -> Answer:
        try:
            if environ["REQUEST_METHOD"] == "GET":
                return self._shown(name)
            if name not in self._named:
                return _json(404, {"error": f"there is no {name!r}; there are {sorted(self._named)}"})
            return _json(200, self._named[name](json.loads(body or b"{}")))
        except Exception as error:
            return _json(500, {"error": f"{type(error).__name__}: {error}"})

    def _shown(self, name: str) -> Answer:
        pages: dict[str, Callable[[], Any]] = {
            "leftovers": self._left.told,
            "resources": lambda: [asdict(each) for each in self._left.resources()],
            "calls": lambda: [asdict(each) for each in self._record.entries()],
        }
        if not name:
            return _json(200, {each: page() for each, page in pages.items()})
        if name not in pages:
            return _json(404, {"error": f"there is no page {name!r}; there are {sorted(pages)}"})
        return _json(200, pages[name]())

    def _do_reset(self, _: Mapping[str, Any]) -> None:
        self._reset()
        self._left.take_baseline()

    def _do_baseline(self, _: Mapping[str, Any]) -> None:
        self._left.take_baseline()


def _json(status: int, content: Any) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(content, indent=1, default=str).encode())
