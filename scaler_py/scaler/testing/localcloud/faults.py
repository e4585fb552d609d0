"""What goes wrong with calls, at will: a stage that throttles, fails, hangs and loses answers.

A fault is written `KIND[:key=value[,key=value...]]`, like `throttle:operation=RunTask,rate=0.1`.

kinds, done to calls: `throttle`, `error` (500), `drop` (the call is done and its answer lost), `hang` (no answer until
mended, or for `HANG_SECONDS`), `expired`, `denied`, `any` (throttle, error or drop, by chance). Done by the services:
`capacity` (there is none), `pull` (an image cannot be had).

keys, all of which must hold: `service` and `operation` (patterns like `Describe*` too), `match` (text that the request
has in its body or address), `image` (a pattern, of `pull`), `rate` (the share of calls, 0 to 1), `count` (so often, and
then it is mended).
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote_plus

import botocore.session

from scaler.testing.localcloud.answers import Answer, AwsError
from scaler.testing.localcloud.call import Call
from scaler.testing.localcloud.cloud import Cloud, Handler, Next, Resource
from scaler.testing.localcloud.iam.identity import caller
from scaler.testing.localcloud.refusals import denied, expired, failed, throttled
from scaler.testing.localcloud.server import Dropped
from scaler.testing.localcloud.settings import Settings

HANG_SECONDS = 300.0

_OF_CALLS = ("throttle", "error", "drop", "hang", "expired", "denied", "any")
_OF_SERVICES = ("capacity", "pull")
_KEYS = ("service", "operation", "match", "image", "rate", "count")
# What `any` may be.
_LIKELY = ("throttle", "error", "drop")
# Where an operation is looked for when no service is named.
_KNOWN = ("ecs", "batch", "ec2", "iam", "sts", "s3", "logs", "ecr", "ssm")


class FaultError(ValueError):
    """A fault that cannot be read; says what is there."""


@dataclass
class Fault:
    """left: how often it still strikes; None for ever. ended: set when it is mended, or the cloud is made anew."""

    text: str
    kind: str
    keys: Mapping[str, str]
    rate: float = 1.0
    left: int | None = None
    ended: threading.Event = field(default_factory=threading.Event)
    mended: bool = False


def read_fault(text: str) -> Fault:
    kind, _, rest = text.partition(":")
    if kind not in _OF_CALLS + _OF_SERVICES:
        raise FaultError(f"fault {text!r}: there is no kind {kind!r}. Kinds: {', '.join(_OF_CALLS + _OF_SERVICES)}.")
    keys: dict[str, str] = {}
    for each in rest.split(",") if rest else []:
        key, equals, value = each.partition("=")
        if key not in _KEYS or not equals:
            raise FaultError(f"fault {text!r}: there is no key {each!r}. Keys: {', '.join(_KEYS)}; write key=value.")
        keys[key] = value
    rate, count = keys.pop("rate", "1"), keys.pop("count", None)
    try:
        fault = Fault(text, kind, keys, float(rate), None if count is None else int(count))
    except ValueError:
        raise FaultError(f"fault {text!r}: rate is a number from 0 to 1, count a whole number.") from None
    if not 0 <= fault.rate <= 1 or (fault.left is not None and fault.left < 1):
        raise FaultError(f"fault {text!r}: rate is a number from 0 to 1, count 1 or more.")
    _check_operation(text, keys.get("service", ""), keys.get("operation", ""))
    return fault


def _check_operation(text: str, service: str, operation: str) -> None:
    """A misspelt name would be a fault that never strikes, and a test that shows nothing."""
    session = botocore.session.get_session()
    if service and not _is_pattern(service) and service not in session.get_available_services():
        raise FaultError(f"fault {text!r}: there is no service {service!r}. Some: {', '.join(_KNOWN)}.")
    if not operation or _is_pattern(operation) or _is_pattern(service):
        return
    for each in [service] if service else _KNOWN:
        if operation in session.get_service_model(each).operation_names:
            return
    raise FaultError(
        f"fault {text!r}: {service or 'no service'} has no operation {operation!r}, as AWS's API names it."
    )


def _is_pattern(text: str) -> bool:
    return any(each in text for each in "*?[")


class Faults:
    """A service whose stage comes right after the record; others ask `active`."""

    def __init__(self, cloud: Cloud, settings: Settings) -> None:
        self._cloud = cloud
        self._settings = settings
        self._lock = threading.Lock()
        self._numbers = 0
        self._faults: dict[int, Fault] = {}
        self._random = random.Random(settings.seed)
        for each in settings.faults:
            read_fault(each)

    def stage(self, call: Call, go_on: Next) -> Answer:
        if self._settings.latency_seconds:
            time.sleep(self._settings.latency_seconds)
        fault = self._strikes(_OF_CALLS, call, {})
        if fault is None:
            return go_on(call)
        kind = fault.kind
        if kind == "any":
            with self._lock:
                kind = self._random.choice(_LIKELY)
        if kind == "drop":
            with contextlib.suppress(AwsError):
                go_on(call)
            raise Dropped
        if kind == "hang":
            fault.ended.wait(HANG_SECONDS)
            # Of another cloud's life, or nobody waits for it any more: not done at all.
            if not fault.mended or _has_gone(call):
                raise Dropped
            return go_on(call)
        if kind == "throttle":
            raise throttled(call)
        if kind == "error":
            raise failed(call)
        if kind == "expired":
            raise expired(call)
        with self._cloud.lock:
            who = caller(call.access_key).arn
        told = f"User: {who} is not authorized to perform: {call.name}"
        raise denied(call, f"{told} because no identity-based policy allows the {call.name} action")

    def active(self, kind: str, call: Call | None = None, **keys: str) -> bool:
        """Whether a fault of this kind strikes now. keys: what is known besides the call, like image=...

        Each question counts for the fault's rate and count.
        """
        return self._strikes((kind,), call, keys) is not None

    def _strikes(self, kinds: tuple[str, ...], call: Call | None, known: Mapping[str, str]) -> Fault | None:
        with self._lock:
            for fault in self._faults.values():
                if fault.kind not in kinds or fault.left == 0 or not _holds(fault, call, known):
                    continue
                if fault.rate < 1 and self._random.random() >= fault.rate:
                    continue
                if fault.left is not None:
                    fault.left -= 1
                return fault
        return None

    def handlers(self) -> Mapping[str, Handler]:
        return {}

    def resources(self) -> Iterable[Resource]:
        return ()

    def controls(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {"fault": self._add, "mend": self._mend, "faults": lambda _: self.texts()}

    def texts(self) -> dict[int, str]:
        """Of all that are there, by number."""
        with self._lock:
            return {number: fault.text for number, fault in self._faults.items()}

    def _add(self, arguments: Mapping[str, Any]) -> int:
        fault = read_fault(str(arguments["fault"]))
        with self._lock:
            self._numbers += 1
            self._faults[self._numbers] = fault
            return self._numbers

    def _mend(self, arguments: Mapping[str, Any]) -> None:
        with self._lock:
            fault = self._faults.pop(int(arguments["number"]), None)
        if fault is not None:
            fault.mended = True
            fault.ended.set()

    def reset(self) -> None:
        """Those of the settings alone are left, and chance begins anew."""
        with self._lock:
            former = list(self._faults.values())
            self._faults.clear()
            self._random = random.Random(self._settings.seed)
        for fault in former:
            fault.ended.set()
        for text in self._settings.faults:
            self._add({"fault": text})


def _holds(fault: Fault, call: Call | None, known: Mapping[str, str]) -> bool:
    return all(_holds_key(key, wanted, call, known) for key, wanted in fault.keys.items())


def _holds_key(key: str, wanted: str, call: Call | None, known: Mapping[str, str]) -> bool:
    if key == "match":
        return wanted in (known.get("match", "") if call is None else _text(call))
    if call is not None and key in ("service", "operation"):
        return fnmatchcase(call.service if key == "service" else call.operation, wanted)
    return key in known and fnmatchcase(known[key], wanted)


def _has_gone(call: Call) -> bool:
    connection = call.environ.get("werkzeug.socket")
    try:
        return connection is not None and not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _text(call: Call) -> str:
    """The request as its sender wrote it, and without the escapes of forms."""
    address = f"{call.environ.get('PATH_INFO', '')}?{call.environ.get('QUERY_STRING', '')}"
    written = f"{call.body.decode(errors='replace')}\n{address}"
    return f"{written}\n{unquote_plus(written)}"
