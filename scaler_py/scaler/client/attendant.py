"""The thread behind a link and its `Turns`: reads when somebody counts on it and nobody who waits does, tells what must
be told without the lock, finds a lost peer again, and gives up.

While a caller waits it sleeps. An idle link costs one wake-up a heartbeat.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from scaler.client.connection import BackOff
from scaler.errors import KeyRefusedError, ScalerError

if TYPE_CHECKING:
    from scaler.client.connection import Endpoint
    from scaler.client.turns import Turns


class Attendant:
    """Methods are called with the lock of `turns`, but for `tell` and `join`. Subclasses say what there is to do."""

    def __init__(self, turns: Turns, endpoint: Endpoint, timeout: float, name: str) -> None:
        """timeout: seconds without the peer after which the attendant gives up. name: the thread's."""
        self._turns = turns
        self._endpoint = endpoint
        self._timeout = timeout
        self._wanted = threading.Condition(turns.lock)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        # Since when there is no peer (time.monotonic); None while there is one.
        self._lost_since: float | None = time.monotonic()
        self._sleeping = False

    # -- What attendants differ in

    def is_over(self) -> bool:
        """Whether the thread ends when all is told."""
        raise NotImplementedError

    def has_to_tell(self) -> bool:
        raise NotImplementedError

    def tell(self) -> None:
        """Without the lock."""
        raise NotImplementedError

    def must_read(self) -> bool:
        """Somebody counts on what comes next, or something waits to be sent, and nobody is there to see to it."""
        raise NotImplementedError

    def must_reconnect(self) -> bool:
        return self._turns.barred

    def has_own_work(self) -> bool:
        return False

    def do_own_work(self) -> None:
        raise NotImplementedError

    def is_waited_for(self) -> bool:
        """Whether anybody suffers from a peer that is away for too long."""
        return True

    def give_up(self) -> None:
        """The peer is away for too long. It is looked for again if that is still wanted."""
        raise NotImplementedError

    def attach(self, fd: int) -> None:
        """A new connection."""
        raise NotImplementedError

    def refused(self, error: ScalerError) -> None:
        """The peer is there and does not want us."""
        raise NotImplementedError

    def last(self) -> None:
        """The thread ends, as it was told."""

    def failed(self, error: BaseException) -> bool:
        """The thread dies of this: nobody would ever hear of it, so everybody does. Whether it is to be raised."""
        raise NotImplementedError

    def pause(self) -> float:
        """Seconds for which it sleeps, or waits for the socket, at most."""
        return self._turns.longest_wait

    # -- What the link's owner calls

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Without the lock."""
        if self._thread is not threading.current_thread() and self._thread.ident is not None:
            self._thread.join()

    def call(self) -> None:
        """Someone may need the thread."""
        if self._sleeping and self._has_work():
            self._sleeping = False
            self._wanted.notify()

    def lost(self) -> None:
        """The connection is gone."""
        self._turns.barred = True
        if self._lost_since is None:
            self._lost_since = time.monotonic()
        self.call()

    def welcomed(self) -> None:
        self._lost_since = None

    def is_attended(self) -> bool:
        """Whether others see to the socket, or there is none."""
        return bool(self._turns.reading or self._turns.callers or self._turns.barred)

    # -- The thread

    def _has_work(self) -> bool:
        return bool(
            self.has_to_tell() or self.is_over() or self.must_reconnect() or self.must_read() or self.has_own_work()
        )

    def _run(self) -> None:
        with self._turns.lock:
            try:
                self._serve()
            except BaseException as error:
                if self.failed(error):
                    raise

    def _serve(self) -> None:
        while True:
            if self._lost_since is not None and not self.is_waited_for():
                self._lost_since = time.monotonic()
            if self.has_to_tell():
                self._tell()
            elif self.is_over():
                return self.last()
            elif self._is_overdue():
                self._lost_since = time.monotonic()
                self.give_up()
            elif self.must_reconnect():
                self._reconnect()
            elif self.must_read():
                self._lead()
            elif self.has_own_work():
                self.do_own_work()
            else:
                self._sleep()

    def _lead(self) -> None:
        self._turns.lead(self.pause())
        self._turns.hand_on()

    def _tell(self) -> None:
        self._turns.lock.release()
        try:
            self.tell()
        finally:
            self._turns.lock.acquire()
        self._turns.wake_served()

    def _sleep(self) -> None:
        self._sleeping = True
        self._wanted.wait(self.pause())
        self._sleeping = False
        if not (self._turns.reading or self._turns.barred or self.is_over()):
            self._turns.read()

    def _is_overdue(self) -> bool:
        lost = self._lost_since
        return lost is not None and time.monotonic() - lost > self._timeout and self.is_waited_for()

    def _reconnect(self) -> None:
        """One attempt after the other until the peer is there, or time is up, or something else is to be done."""
        assert self._lost_since is not None
        attempts = BackOff(self._lost_since + self._timeout)
        while self.must_reconnect() and not (self.is_over() or self.has_to_tell()):
            fd = self._dial_once()
            if fd is not None:
                self.attach(fd)
                self._turns.barred = False
                self._turns.hand_on()
                return
            pause = attempts.next_pause()
            if pause <= 0:
                return
            self._wanted.wait(pause)

    def _dial_once(self) -> int | None:
        self._turns.lock.release()
        try:
            fd: int = self._endpoint.dial(0.0).fd
            return fd
        except KeyRefusedError as error:
            refused: ScalerError = error
        except OSError:
            return None
        except ScalerError as error:
            refused = error
        finally:
            self._turns.lock.acquire()
        self.refused(refused)
        return None
