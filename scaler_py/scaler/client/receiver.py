"""The receive thread: reads when nobody who waits does and someone counts on it, runs callbacks, finds a lost
scheduler.

While a caller waits it sleeps. An idle client costs one wake-up a heartbeat.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from scaler.client.connection import BackOff, unreachable
from scaler.errors import (
    AddressError,
    ClientQuitException,
    KeyRefusedError,
    ScalerError,
    SchedulerUnreachableError,
)

if TYPE_CHECKING:
    from scaler.client.conversation import Conversation

# While tasks are unfinished and nobody waits, what has come is taken in this often, in seconds: the scheduler
# keeps undelivered results only up to a budget.
UNWATCHED_PAUSE = 0.1
# A caller who submits takes in what comes by himself. Who has not done so for so long does something else; in seconds.
CALLERS_PAUSE = 0.001


class Receiver:
    """All methods are called with the conversation's lock."""

    def __init__(self, conversation: Conversation, heartbeat: float) -> None:
        self._conversation = conversation
        self._heartbeat = heartbeat
        self._wanted = threading.Condition(conversation.lock)
        self._thread: threading.Thread | None = None
        # Since when there is no scheduler (time.monotonic); None while there is one.
        self._lost_since: float | None = time.monotonic()
        self._sleeping = False

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="scaler-client", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Without the lock."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def call(self) -> None:
        """Someone may need the thread."""
        if self._sleeping and self._has_work():
            self._sleeping = False
            self._wanted.notify()

    def lost(self) -> None:
        if self._lost_since is None:
            self._lost_since = time.monotonic()
        self.call()

    def welcomed(self) -> None:
        self._lost_since = None

    def _has_work(self) -> bool:
        conversation = self._conversation
        return bool(
            conversation.settling
            or conversation.refusal is not None
            or conversation.turns.barred
            or self._must_read()
            or self._must_hand_over()
        )

    def _must_read(self) -> bool:
        """Somebody counts on what comes next, or something waits to be sent, and nobody is there to see to it."""
        conversation = self._conversation
        if self._is_attended():
            return False
        return bool(
            conversation.observed or conversation.channel.unsent or conversation.streams or not conversation.welcomed
        )

    def _must_hand_over(self) -> bool:
        """Tasks wait for credit, and nobody is there who would notice that it has come."""
        conversation = self._conversation
        if self._is_attended() or not (conversation.waits_for_credit or conversation._options is not None):
            return False
        return not conversation.channel.credit

    def _is_attended(self) -> bool:
        turns = self._conversation.turns
        return bool(turns.reading or turns.callers or turns.barred)

    def _run(self) -> None:
        conversation = self._conversation
        with conversation.lock:
            try:
                self._serve()
            except BaseException as error:
                # Nobody would ever hear of it: everybody does.
                reason = f"The client's receive thread failed: {type(error).__name__}: {error}"
                conversation.end(lambda: ClientQuitException(reason))
                raise

    def _unreachable(self) -> SchedulerUnreachableError:
        conversation = self._conversation
        return unreachable(conversation.endpoint, conversation.timeout, lost=conversation.ever_welcomed)

    def _serve(self) -> None:
        conversation = self._conversation
        while True:
            if conversation.settling:
                self._settle()
            elif conversation.refusal is not None:
                conversation.let_go_of_channel()
                return
            elif self._is_overdue():
                conversation.end(lambda: self._unreachable())
            elif conversation.turns.barred:
                self._reconnect()
            elif conversation.abandoned and not conversation.book.unfinished:
                self._leave()
            elif self._must_read():
                self._lead()
            elif self._must_hand_over():
                self._see_to_credit()
            else:
                self._sleep()

    def _lead(self) -> None:
        turns = self._conversation.turns
        turns.lead(self._pause())
        turns.hand_on()

    def _see_to_credit(self) -> None:
        """Reads where the caller does not: two who read at once only get in each other's way."""
        conversation = self._conversation
        reads = conversation.reads
        self._wanted.wait(CALLERS_PAUSE)
        if conversation.reads == reads and self._must_hand_over():
            self._lead()

    def _settle(self) -> None:
        conversation = self._conversation
        conversation.lock.release()
        try:
            conversation.settle_all()
        finally:
            conversation.lock.acquire()
        conversation.turns.wake_served()

    def _sleep(self) -> None:
        self._sleeping = True
        self._wanted.wait(self._pause())
        self._sleeping = False
        turns = self._conversation.turns
        if not turns.reading and not turns.barred:
            self._conversation.read()

    def _pause(self) -> float:
        conversation = self._conversation
        busy = conversation.book.unfinished or self._lost_since is not None
        return min(UNWATCHED_PAUSE, self._heartbeat) if busy else self._heartbeat

    def _is_overdue(self) -> bool:
        return self._lost_since is not None and time.monotonic() - self._lost_since > self._conversation.timeout

    def _leave(self) -> None:
        """The client was dropped and all it submitted is done."""
        conversation = self._conversation
        conversation.lock.release()
        try:
            conversation.say_goodbye()
        finally:
            conversation.lock.acquire()
        conversation.end(ClientQuitException)

    def _reconnect(self) -> None:
        """One attempt after the other until the scheduler is there, or time is up, or the client is closed."""
        conversation = self._conversation
        assert self._lost_since is not None
        attempts = BackOff(self._lost_since + conversation.timeout)
        while conversation.refusal is None and conversation.turns.barred:
            fd = self._dial_once()
            if fd is not None and conversation.refusal is None:
                conversation.channel.attach(fd)
                conversation.turns.barred = False
                conversation.turns.hand_on()
                return
            pause = attempts.next_pause()
            if pause <= 0:
                return
            self._wanted.wait(pause)

    def _dial_once(self) -> int | None:
        conversation = self._conversation
        conversation.lock.release()
        try:
            return conversation.endpoint.dial(0.0).fd
        except (AddressError, KeyRefusedError) as error:
            refused: ScalerError = error
        except OSError:
            return None
        finally:
            conversation.lock.acquire()
        conversation.end(lambda: refused)
        return None
