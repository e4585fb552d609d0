"""The thread behind a client's conversation: what is to be done while nobody waits, callbacks, the last word to all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaler.client.attendant import Attendant
from scaler.client.connection import unreachable
from scaler.errors import ClientQuitException, ScalerError

if TYPE_CHECKING:
    from scaler.client.conversation import Conversation

# While tasks are unfinished and nobody waits, what has come is taken in this often, in seconds: the scheduler
# keeps undelivered results only up to a budget.
UNWATCHED_PAUSE = 0.1
# A caller who submits takes in what comes by himself. Who has not done so for so long does something else; in seconds.
CALLERS_PAUSE = 0.001


class Receiver(Attendant):
    """Of one conversation."""

    def __init__(self, conversation: Conversation) -> None:
        super().__init__(conversation.turns, conversation.endpoint, conversation.timeout, "scaler-client")
        self._conversation = conversation

    def is_over(self) -> bool:
        return self._conversation.refusal is not None

    def last(self) -> None:
        self._conversation.let_go_of_channel()

    def has_to_tell(self) -> bool:
        return bool(self._conversation.settling)

    def tell(self) -> None:
        self._conversation.settle_all()

    def must_read(self) -> bool:
        conversation = self._conversation
        if self.is_attended():
            return False
        return bool(
            conversation.observed or conversation.channel.unsent or conversation.streams or not conversation.welcomed
        )

    def has_own_work(self) -> bool:
        return self._must_leave() or self._must_hand_over()

    def do_own_work(self) -> None:
        if self._must_leave():
            self._leave()
        else:
            self._see_to_credit()

    def _must_leave(self) -> bool:
        """The client was dropped and all it submitted is done."""
        return self._conversation.abandoned and not self._conversation.book.unfinished

    def _leave(self) -> None:
        self._turns.lock.release()
        try:
            self._conversation.say_goodbye()
        finally:
            self._turns.lock.acquire()
        self._conversation.end(ClientQuitException)

    def _must_hand_over(self) -> bool:
        """Tasks wait for credit, and nobody is there who would notice that it has come."""
        conversation = self._conversation
        if self.is_attended() or not (conversation.waits_for_credit or conversation._options is not None):
            return False
        return not conversation.channel.credit

    def _see_to_credit(self) -> None:
        """Reads where the caller does not: two who read at once only get in each other's way."""
        conversation = self._conversation
        reads = conversation.reads
        self._wanted.wait(CALLERS_PAUSE)
        if conversation.reads == reads and self._must_hand_over():
            self._lead()

    def pause(self) -> float:
        longest = self._turns.longest_wait
        busy = self._conversation.book.unfinished or self._lost_since is not None
        return min(UNWATCHED_PAUSE, longest) if busy else longest

    def give_up(self) -> None:
        conversation = self._conversation
        lost = conversation.ever_welcomed
        conversation.end(lambda: unreachable(conversation.endpoint, conversation.timeout, lost))

    def attach(self, fd: int) -> None:
        self._conversation.channel.attach(fd)

    def refused(self, error: ScalerError) -> None:
        self._conversation.end(lambda: error)

    def failed(self, error: BaseException) -> bool:
        reason = f"The client's receive thread failed: {type(error).__name__}: {error}"
        self._conversation.end(lambda: ClientQuitException(reason))
        return True
