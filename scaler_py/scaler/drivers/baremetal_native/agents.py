"""The agents of one manager on this machine: those that it has started, and those that it has found."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from typing import Any

from scaler.drivers.baremetal_native.processes import VARIABLE, Found, Tag, end_all, running_agents, wait_until_seen
from scaler.managers.api import Resource, Unit, UnitState
from scaler.process import environment_for_parts

__all__ = ["Agents", "Tag"]

_MODULE = "scaler.node"
# `start` waits so long for agents to be welcome, so that what keeps one from starting is told at once.
_READY_SECONDS = 10.0

# Settings of an agent, and what its environment gets.
Wanted = tuple[Mapping[str, Any], Mapping[str, str]]


@dataclass
class _Started:
    """A child of ours. ready: where its word that it is up comes, until it is read. why: what it said if not."""

    process: subprocess.Popen[bytes]
    ready: FileIO | None
    said: bytes = b""
    why: str = ""

    def listen(self) -> None:
        """Reads what it has said so far."""
        while self.ready is not None and select.select([self.ready], [], [], 0)[0]:
            data = self.ready.read(1 << 16) or b""
            self.said += data
            if not data or self.said.endswith(b"\n"):
                self._understand()

    def _understand(self) -> None:
        self.let_go()
        with contextlib.suppress(ValueError):
            told = json.loads(self.said)
            if "error" in told:
                self.why = " ".join(filter(None, (told["what"], told["where"], told["mend"])))

    @property
    def is_up(self) -> bool:
        return self.ready is None

    def let_go(self) -> None:
        if self.ready is not None:
            self.ready.close()
            self.ready = None


class Agents:
    """For hooks run in threads."""

    def __init__(self, tag: Tag, log: logging.Logger) -> None:
        self._tag = tag
        self._log = log
        self._lock = threading.Lock()
        self._started: dict[str, _Started] = {}
        # Of an earlier run: children of this process all the same where it has started itself anew.
        self._found: dict[str, Found] = {}
        self._ended: dict[str, Unit] = {}

    def start(self, wanted: Mapping[str, Wanted]) -> list[Unit]:
        """One each. What runs already is left alone."""
        with self._lock:
            there = self._look()
            for group, (settings, environment) in wanted.items():
                if group in there or group in self._ended:
                    continue
                try:
                    self._started[group] = self._begin(group, settings, environment)
                except OSError as error:
                    what = f"the agent cannot be started: {error.strerror or error}"
                    self._ended[group] = Unit(group, "", UnitState.FAILED, what)
        self._wait_until_up(list(wanted))
        units = {unit.id: unit for unit in self.units()}
        return [units.get(group, Unit(group, "", UnitState.GONE, "it was ended meanwhile")) for group in wanted]

    def units(self) -> list[Unit]:
        """What runs, and how what does not has ended."""
        with self._lock:
            there = self._look()
            return [*(self._unit(found) for found in there.values()), *self._ended.values()]

    def end(self, groups: Sequence[str], seconds: Callable[[], float]) -> None:
        """Returns when they have ended, and forgets them. seconds: how long running tasks may go on."""
        with self._lock:
            there = self._look()
            ending = [there[group] for group in groups if group in there]
        end_all(ending, seconds)
        with self._lock:
            self._look()
            for group in groups:
                self._ended.pop(group, None)

    def end_others(self, dry_run: bool, seconds: Callable[[], float]) -> list[Resource]:
        """Agents of the cluster's other managers."""
        others = [each for each in running_agents(self._tag.cluster) if each.manager != self._tag.manager]
        if not dry_run:
            end_all(others, seconds)
        outcome = "would be ended" if dry_run else "ended"
        return [Resource("agent", f"{each.manager}/{each.group} (process {each.pid})", outcome) for each in others]

    def _look(self) -> dict[str, Found]:
        """What runs now. What does not any more is buried."""
        there = {each.group: each for each in running_agents(self._tag.cluster) if each.tag == self._tag}
        for group, started in list(self._started.items()):
            started.listen()
            if (status := started.process.poll()) is not None:
                started.listen()
                started.let_go()
                del self._started[group]
                if group not in there:
                    self._ended[group] = _ended(group, started.process.pid, status, started.why)
            elif group not in there:
                # It is just ending: its environment is gone already, and its exit code not there yet.
                there[group] = Found(started.process.pid, self._tag.cluster, self._tag.manager, group)
        for group, found in list(self._found.items()):
            if group not in there:
                del self._found[group]
                if (status := _reaped(found.pid)) is not None:
                    self._ended[group] = _ended(group, found.pid, status)
        for group, found in there.items():
            if group not in self._started:
                self._found[group] = found
        return there

    def _unit(self, found: Found) -> Unit:
        started = self._started.get(found.group)
        if started is None or started.is_up:
            return Unit(found.group, str(found.pid), UnitState.RUNNING)
        return Unit(found.group, str(found.pid), UnitState.PENDING, "it is starting")

    def _begin(self, group: str, settings: Mapping[str, Any], environment: Mapping[str, str]) -> _Started:
        """An agent whose settings are in a file that nobody else sees, and that no end of ours ends."""
        given = os.memfd_create("scaler-settings")
        ready, saying = os.pipe()
        try:
            os.write(given, json.dumps({**settings, "outlives_starter": True}).encode() + b"\n")
            os.lseek(given, 0, os.SEEK_SET)
            arguments = ["--settings-fd", str(given), "--ready-fd", str(saying)]
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=(given, saying),
                start_new_session=True,
                env={**environment_for_parts(), **environment, VARIABLE: self._tag.of(group)},
            )
        except BaseException:
            os.close(ready)
            raise
        finally:
            os.close(given)
            os.close(saying)
        wait_until_seen(process)
        return _Started(process, FileIO(ready))

    def _wait_until_up(self, groups: Sequence[str]) -> None:
        with self._lock:
            started = [self._started[group] for group in groups if group in self._started]
            # Of our own: a heartbeat may read and close the others meanwhile.
            waiting = [os.dup(each.ready.fileno()) for each in started if each.ready is not None]
        deadline = time.monotonic() + _READY_SECONDS
        for descriptor in waiting:
            # It is readable when the agent has said its word, and when it has ended.
            select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            os.close(descriptor)
        for each in started:
            with self._lock:
                each.listen()
            if each.why:
                # It is about to end, by itself.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    each.process.wait(max(0.0, deadline - time.monotonic()))


def _ended(group: str, pid: int, status: int, why: str = "") -> Unit:
    if status == 0:
        return Unit(group, str(pid), UnitState.SUCCEEDED)
    how = f"exit code {status}" if status > 0 else f"signal {signal.Signals(-status).name}"
    return Unit(group, str(pid), UnitState.FAILED, why or f"the agent ended with {how}")


def _reaped(pid: int) -> int | None:
    """How a child has ended that an earlier image of this process had started; None: it is nobody's, or another's."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if found == pid else None
