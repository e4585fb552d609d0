"""Starting parts of a cluster as programs: `python -m scaler.<part>`, settings on a pipe, never `multiprocessing`.

So users' scripts need no `__main__` guard, there is no daemon rule, and tasks may start processes of their own. The
pipe is also the part's lifeline: when its writing end closes, because we end it or because we are gone, the part ends.
`part.py` has the other side.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import weakref
from typing import Any

from scaler.errors import ScalerError

# What a part may take to end by itself; then it is killed.
END_SECONDS = 10.0
# What it may take to be ready.
READY_SECONDS = 60.0


class PartStartError(ScalerError, RuntimeError):
    """A part of the cluster did not start. The text says why."""


class Part:
    """A running part. `told` is what it said when it was ready.

    It ends with `end`, or with this process. A copy in a forked child does nothing: the part is the parent's.
    """

    def __init__(self, module: str, process: subprocess.Popen[bytes], lifeline: int, ready: int) -> None:
        self.module = module
        self.told: dict[str, Any] = {}
        self.pid = process.pid
        self._process = process
        self._lifeline = lifeline
        self._ready = ready
        self._lock = threading.Lock()
        _parts.add(self)

    @property
    def alive(self) -> bool:
        return self._lifeline >= 0 and self._process.poll() is None

    def wait_until_ready(self, timeout: float = READY_SECONDS) -> None:
        """Until `told` is there. PartStartError, or the ThreeLineError that the part found; then it has ended."""
        try:
            self.told = _answer(self, self._ready, timeout)
        except BaseException:
            self.end(1.0)
            raise
        finally:
            os.close(self._ready)
            self._ready = -1

    def wait_for_end(self) -> int:
        """Waits as long as it lives. Its exit status."""
        status = self._process.wait()
        self.let_go()
        return status

    def ends_within(self, seconds: float) -> bool:
        """Waits no longer for its end than that. Whether it has ended."""
        return _ends_within(self._process, seconds)

    def let_go(self) -> None:
        """Asks it to end, and does not wait."""
        with self._lock:
            if self._lifeline >= 0:
                os.close(self._lifeline)
                self._lifeline = -1

    def end(self, timeout: float = END_SECONDS) -> int:
        """Ends it and waits; kills it after `timeout` seconds. Its exit status, as in `subprocess`. May be repeated."""
        self.let_go()
        return self.wait(timeout)

    def wait(self, timeout: float = END_SECONDS) -> int:
        """Waits for its end; kills it after `timeout` seconds."""
        if not _ends_within(self._process, timeout):
            self._process.kill()
        return self.wait_for_end()

    def _forget(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1
        self._process.returncode = 0  # not our child
        self._lock = threading.Lock()


_parts: weakref.WeakSet[Part] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # A lifeline that is open in two processes would outlive the one that it stands for.
    for part in list(_parts):
        part._forget()
    _parts.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


def start_part(module: str, settings: dict[str, Any], *, timeout: float = READY_SECONDS) -> Part:
    """Starts `python -m <module>` and waits until it is ready. PartStartError, or the ThreeLineError that it found."""
    part = begin_part(module, settings)
    part.wait_until_ready(timeout)
    return part


def begin_part(module: str, settings: dict[str, Any], output: int | None = None) -> Part:
    """Starts `python -m <module>`; `wait_until_ready` has to follow.

    It gets a session of its own: Ctrl-C is for whoever started it, who decides what becomes of it. output: descriptor
    of its standard output and error; None for ours.
    """
    settings_read, lifeline = os.pipe()
    ready_read, ready_write = os.pipe()
    arguments = ["--settings-fd", str(settings_read), "--ready-fd", str(ready_write)]
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(settings_read, ready_write),
            start_new_session=True,
            env=environment_for_parts(),
        )
    except BaseException:
        os.close(lifeline)
        os.close(ready_read)
        raise
    finally:
        os.close(settings_read)
        os.close(ready_write)
    part = Part(module, process, lifeline, ready_read)
    try:
        with contextlib.suppress(BrokenPipeError), open(lifeline, "wb", closefd=False) as pipe:
            pipe.write(json.dumps(settings).encode() + b"\n")
    except BaseException:
        os.close(ready_read)
        part.end(1.0)
        raise
    return part


def path_for_parts() -> list[str]:
    """This process's `sys.path`, for the executors of a cluster on this machine: they see the modules that we see."""
    return [os.path.abspath(entry) for entry in sys.path if isinstance(entry, str)]


def environment_for_parts() -> dict[str, str]:
    """This process's environment, and `scaler` itself on the path where it is not installed."""
    environment = dict(os.environ)
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if "site-packages" not in home:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (environment.get("PYTHONPATH"), home)))
    return environment


def _answer(part: Part, descriptor: int, timeout: float) -> dict[str, Any]:
    text = b""
    while select.select([descriptor], [], [], timeout)[0]:
        data = os.read(descriptor, 1 << 16)
        text += data
        if not data or text.endswith(b"\n"):
            break
    if not text.endswith(b"\n"):
        if _ends_within(part._process, 1.0):
            raise PartStartError(f"{part.module} ended with status {part._process.wait()} before it was ready")
        raise PartStartError(f"{part.module} was not ready after {timeout:g} s")
    told: dict[str, Any] = json.loads(text)
    if "error" in told:
        raise _error(told)
    return told


def _error(told: dict[str, Any]) -> Exception:
    from scaler.transport import errors

    kind = getattr(errors, told["error"], None)
    if isinstance(kind, type) and issubclass(kind, errors.ThreeLineError):
        return kind(told["what"], told["where"], told["mend"])
    return PartStartError(told["what"])


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    if process.returncode is not None:
        return True
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)
