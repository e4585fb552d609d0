"""Being a part that was started by `process.py` or by a command: settings, word that we are ready, and the end.

Signals are taken by a thread that waits for them: the main thread may be deep in the core.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from scaler.transport.errors import ThreeLineError

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
# From the request to end at once until the process is gone, whatever hangs.
END_SECONDS = 5.0

logger = logging.getLogger("scaler")


class StartAnew(Exception):
    """This process is to start itself anew, in place, with the same settings. The text says why."""


class Ending:
    """What may end this process: a signal, or the end of whoever started it.

    Make it in the main thread, before there are others: it blocks the signals, and threads inherit that.
    """

    def __init__(self, starter: int | None = None) -> None:
        """starter: descriptor of the pipe whose end is the starter's end; None where there is none."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._starter = starter
        self._on_stop: Callable[[], None] = lambda: os._exit(1)
        self._on_drain: Callable[[], None] = self.stop
        self._on_leave: Callable[[], None] = lambda: None
        self._seconds: Callable[[], float] = lambda: END_SECONDS
        self._drained = self._stopped = False
        self._lock = threading.Lock()
        threading.Thread(target=self._wait_for_signals, name="signals", daemon=True).start()
        if starter is not None:
            threading.Thread(target=self._wait_for_starter, name="starter", daemon=True).start()

    def watch(
        self,
        on_stop: Callable[[], None],
        on_drain: Callable[[], None] | None = None,
        seconds: float | Callable[[], float] = END_SECONDS,
        on_leave: Callable[[], None] = lambda: None,
    ) -> None:
        """Calls one of them, from another thread, when the time has come. Until then the process just ends.

        on_drain: for the first SIGTERM, where there is something to finish. Everything else, and a second signal, calls
        on_stop; the process is gone so many seconds later (asked then), whatever happens. One more Ctrl-C ends it there
        and then, after on_leave.
        """
        self._on_leave = on_leave
        self._seconds = seconds if callable(seconds) else lambda: seconds
        self._on_stop = on_stop
        self._on_drain = on_drain or self.stop

    def stop(self) -> None:
        """Ends the process as SIGINT does. Repeated calls do nothing."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
        limit = threading.Timer(self._seconds(), os._exit, (1,))
        limit.daemon = True
        limit.start()
        self._on_stop()

    def _wait_for_signals(self) -> None:
        while True:
            number = signal.sigwait(_SIGNALS)
            if self._stopped and number == signal.SIGINT:
                try:
                    self._on_leave()
                finally:
                    os._exit(128 + number)
            if number == signal.SIGTERM and not self._drained:
                self._drained = True
                self._on_drain()
            else:
                self.stop()

    def _wait_for_starter(self) -> None:
        assert self._starter is not None
        with contextlib.suppress(OSError):
            while os.read(self._starter, 4096):
                continue
        self.stop()


# Says that a part is ready, and what its starter wants to know of it.
Announce = Callable[[dict[str, Any]], None]


def serve_part(run: Callable[[dict[str, Any], Ending, Announce], int]) -> NoReturn:
    """The whole program of a part: reads the settings, runs it, and tells the starter why it did not start."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings-fd", type=int, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    # Of one that has started itself anew: its settings, and nobody waits for its word.
    parser.add_argument("--again-fd", type=int, default=-1)
    options = parser.parse_args()
    for descriptor in (options.settings_fd, options.ready_fd, options.again_fd):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
    line = _first_line(options.settings_fd if options.again_fd < 0 else options.again_fd)
    settings = json.loads(line)
    # One that outlives its starter has to be ended by others: by a signal, its scheduler, or its lease.
    outlives = settings.pop("outlives_starter", False)
    if outlives:
        os.close(options.settings_fd)
    ending = Ending(None if outlives else options.settings_fd)
    announce = _Announcement(options.ready_fd)
    try:
        _set_up_logging(settings.pop("logging", None), settings.pop("logging_level", "WARNING"))
        status = run(settings, ending, announce.ready)
    except StartAnew as reason:
        logger.warning("starting anew: %s", reason)
        _start_anew(options.settings_fd, line)
    except ThreeLineError as error:
        announce.failed(type(error).__name__, error.what, error.where, error.mend)
        sys.exit(2)
    except BaseException as error:
        announce.failed("", f"{type(error).__name__}: {error}")
        raise
    sys.exit(status)


def _start_anew(lifeline: int, line: bytes) -> NoReturn:
    """The same program in the same process, with the same settings and the same starter."""
    again = os.memfd_create("scaler-settings", 0)
    os.write(again, line)
    os.lseek(again, 0, os.SEEK_SET)
    os.set_inheritable(lifeline, True)
    given = sys.orig_argv.index("--settings-fd")
    fds = ("--settings-fd", str(lifeline), "--ready-fd", "-1", "--again-fd", str(again))
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:given], *fds])


class _Announcement:
    """One line on the starter's other pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def ready(self, told: dict[str, Any]) -> None:
        self._write(told)

    def failed(self, kind: str, what: str, where: str = "", mend: str = "") -> None:
        self._write({"error": kind, "what": what, "where": where, "mend": mend})

    def _write(self, told: dict[str, Any]) -> None:
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            os.write(self._descriptor, json.dumps(told).encode() + b"\n")
        os.close(self._descriptor)
        self._descriptor = -1


def _first_line(descriptor: int) -> bytes:
    text = b""
    while not text.endswith(b"\n"):
        data = os.read(descriptor, 1 << 16)
        if not data:
            sys.exit(1)  # the starter has ended already
        text += data
    return text


def _set_up_logging(chosen: dict[str, Any] | None, level: str) -> None:
    """chosen: level, paths and config_file, of a part whose command was told where to log."""
    if chosen is not None:
        from scaler.config.logs import set_up_logging

        set_up_logging(chosen["level"], chosen["paths"], chosen["config_file"])
        return
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
