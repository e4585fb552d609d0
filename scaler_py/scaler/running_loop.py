"""A loop of the core in a thread of its own, and the requests that it makes of its host."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from scaler._core import Loop

logger = logging.getLogger("scaler")

Handlers = Mapping[str, Callable[..., None]]


class RunningLoop:
    """Runs from the start until `stop`, an "exit" request's handler, or an error of the loop's own."""

    def __init__(self, loop: Loop, name: str) -> None:
        self.loop = loop
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.loop.run()
        except BaseException as error:
            self._error = error
        finally:
            self._ended.set()

    def serve(self, handlers: Handlers, every: float | None = None, tidy: Callable[[], object] = lambda: None) -> None:
        """Answers requests, in this thread, until the loop has ended; then raises its error, if it had one.

        tidy: called when there was no request for `every` seconds.
        """
        while True:
            request = self.loop.next_request(every)
            if request is not None:
                handlers[request[0]](*request[1:])
            elif self._ended.is_set():
                break
            elif every is not None:
                tidy()
        self._thread.join()
        if self._error is not None:
            raise self._error


def log(level: str, text: str) -> None:
    """A loop's "log" request. level: a name of `logging`, in any case."""
    logger.log(logging.getLevelNamesMapping().get(str(level).upper(), logging.INFO), "%s", text)
