"""A client's conversation with the scheduler: what is submitted, what came of it, and the one lock around both.

Futures refer to the conversation, not to the client: a client that was dropped still brings its futures home.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from scaler._core import (
    EVENT_ANSWER,
    EVENT_CLOSING,
    EVENT_DISCONNECTED,
    EVENT_OUTPUT,
    EVENT_REFUSED,
    EVENT_RESULTS,
    EVENT_WELCOME,
    FORM_SINGLE,
    Channel,
    Options,
    SharedBytes,
)
from scaler.client import living
from scaler.client.book import Book, MapRun, TaskRun
from scaler.client.connection import Endpoint, unreachable
from scaler.client.functions import Function
from scaler.client.futures import ScalerFuture
from scaler.client.holds import Holds
from scaler.client.object_link import ObjectLink, Owner
from scaler.client.objects import Objects, Stored
from scaler.client.outcomes import CANCELLED, Fallen, KnownError, Outcome, SingleValue, Verdict, make_outcome
from scaler.client.questions import Questions, Wish
from scaler.client.receiver import Receiver
from scaler.client.showing import show
from scaler.client.turns import Turns
from scaler.errors import (
    ClientForkedError,
    ClientQuitException,
    ClientShutdownException,
    RefusedError,
)

# Bytes that may wait for credit before the caller of submit or map waits.
BACKLOG_LIMIT = 8 << 20
# Without credit the caller looks for some each so many tasks, or sooner where they are large: after so many bytes, if
# they are all like the first.
LOOK_EVERY = 256
LOOK_BYTES = 1 << 20
# For what is unsent when the client ends.
GOODBYE_SECONDS = 1.0
# The code of a failure: a task whose value is needed has none.
DEPENDENCY = 8


logger = logging.getLogger("scaler")


class Conversation:
    """See the module's text. `lock` guards everything but what `Turns` says; names with `_` before them are called
    with it."""

    def __init__(
        self,
        endpoint: Endpoint,
        session: int,
        channel: Channel,
        timeout: float,
        heartbeat: float,
        open_link: Callable[[str, Owner], ObjectLink],
    ) -> None:
        """timeout, heartbeat: seconds. open_link: connects to object storage at the address that the scheduler
        named, for an owner."""
        self.endpoint = endpoint
        self.session = session
        self.channel = channel
        self.timeout = timeout
        self.turns = Turns(channel, self.read, heartbeat)
        self.lock = self.turns.lock
        # Until target._outcome is not None; TimeoutError after so many seconds, if any.
        self.wait_for: Callable[[Any, float | None], None] = self.turns.wait_for
        self.holds = Holds(channel, self.lock)
        self.objects = Objects(
            session, self.holds, lambda owner: open_link(self.storage, owner), self.put_failed, self.check_open
        )
        self.book = Book()
        self.receiver = Receiver(self)
        # Set when no more can be submitted: makes the exception that says why.
        self.refusal: Callable[[], BaseException] | None = None
        self.welcome = Wish()
        self.welcomed = self.ever_welcomed = False
        self.cluster = ""
        self.storage = ""
        # Futures that have callbacks, or that someone waits for by the library's means.
        self.observed: set[ScalerFuture] = set()
        # Of these, those with an outcome that must be told: done by the receive thread, without the lock.
        self.settling: deque[tuple[ScalerFuture, Outcome | None]] = deque()
        self.abandoned = False
        # What tasks write is printed here: `written` has yet to be.
        self.streams = False
        self.written: deque[tuple[int, bytes]] = deque()
        self.questions = Questions(self)
        # Neighbouring tasks of one function and options that wait for credit, the first of which is `_first`; no
        # options when there are none. Their futures are the last of a run that begins with `_base`.
        self._blobs: list[bytes] = []
        self._function: Function | None = None
        self._options: Options | None = None
        self._first = self._base = 0
        self._look_every = LOOK_EVERY
        self._futures: list[ScalerFuture | None] = []
        # The core has submissions that wait for credit.
        self.waits_for_credit = False
        # How often somebody took in what had come.
        self.reads = 0
        living.add(self)

    # -- Submitting

    def submit(self, function: Function, options: Options, blob: bytes) -> ScalerFuture:
        """One task. Leaves at once if there is credit; else with its neighbours, when there is.

        options: an object that is used with this function alone."""
        future = _new_future(ScalerFuture)
        future._conversation = self
        lock = self.lock
        try:
            # Not `with`, which takes twice as long. An interrupt may come on either side of the lock's own calls.
            lock.acquire()
            blobs = self._blobs
            if options is self._options and len(blobs) % self._look_every:
                # There is no credit, and the task is like the one before it.
                futures = self._futures
                future._sequence = self._base + len(futures)
                futures.append(future)
                blobs.append(blob)
            else:
                self.submit_first(function, options, blob, future)
            lock.release()
        except BaseException:
            if lock._is_owned():  # type: ignore[attr-defined]
                lock.release()
            raise
        return future

    def submit_first(self, function: Function, options: Options, blob: bytes, future: ScalerFuture) -> None:
        """A task that is not simply one more of those that wait."""
        if self.refusal is not None:
            raise self.refusal()
        run = self.book.task_run()
        futures = run.futures
        future._sequence = sequence = run.first + len(futures)
        if self._options is None and self.channel.credit:
            self.send_alone(function, options, blob, sequence)
            futures.append(future)
            return
        if options is self._options:
            self.look_for_credit()
        if options is not self._options:
            self.begin_run(function, options, sequence)
            self._look_every = min(LOOK_EVERY, 1 + LOOK_BYTES // (1 + len(blob)))
        self._base, self._futures = run.first, futures
        futures.append(future)
        self._blobs.append(blob)
        if self.channel.credit:
            self.hand_over()
            self.write()
        else:
            self.receiver.call()

    def send_alone(self, function: Function, options: Options, blob: bytes, sequence: int) -> None:
        """There is credit, and nothing waits for it."""
        if not function.told:
            self.tell(function)
        function.used = True
        state = self.channel.submit_one(function.id, options, sequence, blob)
        if state & 2:
            self.receiver.call()

    def submit_with_objects(
        self,
        function: Function,
        options: Options,
        block: tuple[int, int, bytes | SharedBytes],
        objects: list[tuple[int, int, bytes, int]],
        stored: Stored | None = None,
    ) -> ScalerFuture:
        """One task that needs objects on the node before it starts. stored: its arguments, where they are one."""
        future = ScalerFuture(self, 0)
        with self.lock:
            self.check_open()
            self.hand_over()
            future._sequence = self.book.add_task(future, stored)
            if stored is not None and isinstance(stored.request._outcome, Exception):
                self.book.resolve(future._sequence, 1, KnownError(stored.request._outcome), (), self.settle)
                return future
            self.tell(function)
            self.channel.submit_blocks(function.id, options, future._sequence, [block], objects)
            self.leave()
        return future

    def put_failed(self, stored: Stored, error: Exception) -> None:
        """Without the lock. The tasks that have these arguments fail, wherever they are."""
        with self.lock:
            for sequence in self.book.users(stored):
                self.channel.cancel(sequence, 1)
                self.book.resolve(sequence, 1, KnownError(error), (), self.settle)
            self.channel.flush()
            self.turns.wake_served()

    def check_open(self) -> None:
        if self.refusal is not None:
            raise self.refusal()

    def begin_run(self, function: Function, options: Options, first: int) -> None:
        self.hand_over()
        self.tell(function)
        function.used = True
        self._function, self._options, self._first = function, options, first

    def tell(self, function: Function) -> None:
        """Before the function's first use, and again after it was forgotten."""
        if not function.told:
            function.id = self.channel.function(function.pickled)
            function.told = True

    def forget(self, function: Function) -> None:
        """Without the lock."""
        with self.lock:
            if function.told and self.refusal is None:
                self.hand_over()
                self.channel.forget_function(function.id)
                function.told = False

    def hand_over(self) -> None:
        """Gives the gathered tasks to the core, which sends them when there is credit."""
        if self._function is not None and self._options is not None:
            self.channel.submit_many(self._function.id, self._options, self._first, self._blobs)
            self._blobs = []
            self._function = self._options = None
            self.waits_for_credit = not self.channel.credit

    def write(self) -> None:
        """Sends what may leave; sees to it that someone sends the rest. (Who waits for the socket notices by
        itself.)"""
        self.channel.flush()
        if self.waits_for_credit or self.channel.unsent:
            self.receiver.call()

    def leave(self) -> None:
        """What was given to the core leaves, or waits there for credit; the caller waits while much does."""
        self.waits_for_credit = not self.channel.credit
        self.write()
        if self.waits_for_credit:
            self.wait_for_room()

    def look_for_credit(self) -> None:
        if self.turns.barred:
            return self.wait_for_room()
        self.read()
        blobs = self._blobs
        recent = self._look_every
        if sum(map(len, blobs[-recent:])) * len(blobs) > BACKLOG_LIMIT * recent or len(blobs) >= 8192:
            self.hand_over()
            self.wait_for_room()

    def wait_for_room(self) -> None:
        """Back-pressure: the caller, who may hold the lock once, waits until little is queued."""
        if self.channel.backlog <= BACKLOG_LIMIT:
            return
        self.lock.release()
        try:
            self.turns.wait_for(_Room(self), None)
        finally:
            self.lock.acquire()
        self.check_open()

    def begin_map(self, length: int) -> MapRun:
        """Reserves so many numbers."""
        with self.lock:
            self.check_open()
            self.hand_over()
            return self.book.map_run(length)

    def end_map(self, run: MapRun) -> None:
        """All its elements are submitted."""
        with self.lock:
            self.book.close(run)
            self.turns.wake_served()

    def submit_blocks(
        self,
        run: MapRun,
        function: Function,
        options: Options,
        blocks: Sequence[tuple[int, int, bytes | SharedBytes]],
        objects: list[tuple[int, int, bytes, int]],
        stored: list[tuple[int, Stored]],
    ) -> None:
        """The next elements of a map. Waits while much is queued. stored: arguments by offset, where they are one."""
        with self.lock:
            self.check_open()
            self.hand_over()
            self.tell(function)
            first = run.first + run.count
            count = sum(block[0] for block in blocks)
            self.book.add_elements(run, count)
            for offset, arguments in stored:
                run.stored[first + offset] = arguments
            self.channel.submit_blocks(function.id, options, first, blocks, objects)
            if not self.channel.credit:
                self.look()
            self.leave()

    def fail_element(self, run: MapRun, outcome: Outcome) -> None:
        """The next element of a map is not submitted: it has its outcome already."""
        with self.lock:
            self.book.add_elements(run, 1)
            self.book.resolve(run.first + run.count - 1, 1, outcome, (), self.settle)

    def stand_in(self, task: ScalerFuture, future: ScalerFuture) -> None:
        """From now on `future` is the one of the task, instead of `task`, which nobody has seen."""
        with self.lock:
            future._sequence = task._sequence
            if task._outcome is None:
                self.book.replace(future)
            else:
                self.finish(future, task._outcome)

    def finish(self, future: ScalerFuture, outcome: Outcome) -> None:
        """A future that is not in the book has this outcome, unless it had one."""
        with self.lock:
            if future._outcome is None:
                self.settle(future, outcome)
                self.turns.wake_served()

    # -- Reading

    def read(self) -> None:
        """Takes in what has come, without waiting."""
        channel = self.channel
        self.reads += 1
        events = channel.read()
        # Ranges that ended without values: what needs them follows at once.
        failed: list[tuple[int, int, Outcome]] = []
        for event in events:
            if event[0] == EVENT_RESULTS:
                _, first, count, kind, payload, excepted, failure, busy_us = event
                if kind == FORM_SINGLE:
                    outcome: Outcome = SingleValue(payload, busy_us / 1e6)
                elif failure is not None and failure[0] == DEPENDENCY:
                    outcome = self.fallen(int(failure[4]), failed)
                else:
                    outcome = make_outcome(first, count, kind, payload, failure, busy_us, self.objects)
                    if outcome.failed:
                        failed.append((first, first + count, outcome))
                self.book.resolve(first, count, outcome, excepted, self.settle if self.observed else None)
            else:
                self.other_event(event[0], event)
        if (self.waits_for_credit or self._options is not None) and channel.credit:
            self.waits_for_credit = False  # the core has sent what waited
            self.hand_over()
            self.write()
        if self.written:
            self.show_written()
        if events:
            turns = self.turns
            turns.wake_served()
            if self.settling or turns.barred:
                self.receiver.call()
        self.holds.write()

    def fallen(self, root: int, failed: list[tuple[int, int, Outcome]]) -> Outcome:
        """The outcome of what needs the value of `root`, which is among those that `failed`."""
        outcome = next(outcome for start, end, outcome in failed if start <= root < end)
        if outcome.cancelled:
            return outcome
        name = self.book.key_of(root) or f"task {self.session:016x}-{root}"
        return Fallen(outcome, root, name)

    def other_event(self, kind: int, event: tuple[Any, ...]) -> None:
        if kind == EVENT_WELCOME:
            _, self.cluster, self.storage, _, _ = event
            self.welcomed = self.ever_welcomed = True
            self.receiver.welcomed()
            self.welcome._outcome = True
        elif kind == EVENT_ANSWER:
            self.questions.answered(event[1], event[2], event[3])
        elif kind == EVENT_DISCONNECTED:
            self.welcomed = False
            self.turns.barred = True
            self.receiver.lost()
        elif kind == EVENT_OUTPUT:
            self.written.append((event[1], event[2]))
        elif kind == EVENT_CLOSING:
            reason = event[1]
            self.end(lambda: ClientShutdownException(f"The cluster has ended: {reason}"))
        elif kind == EVENT_REFUSED:
            text = f"The scheduler refused this client: {event[2]}\n  where: {self.endpoint.address}"
            self.end(lambda: RefusedError(text))

    def show_written(self) -> None:
        """After all else that came with it was taken in: an interrupt while it is printed costs no result."""
        while self.written:
            show(*self.written.popleft())

    def settle(self, future: ScalerFuture, outcome: Outcome) -> None:
        if future not in self.observed:
            future._outcome = outcome
            return
        self.observed.discard(future)
        if "_condition" in future.__dict__:
            self.settling.append((future, outcome))
        else:
            future._outcome = outcome
            self.settling.append((future, None))
        self.receiver.call()

    def settle_all(self) -> None:
        """Without the lock: tells those who look at futures by the library's means, and runs callbacks."""
        while self.settling:
            future, outcome = self.settling.popleft()
            if outcome is not None:
                future._settle(outcome)
            if "_done_callbacks" in future.__dict__:
                try:
                    future._invoke_callbacks()  # type: ignore[attr-defined]
                except BaseException:  # not the library's Exception: the thread is everybody's
                    logger.exception("a callback of %r raised", future)

    # -- What futures ask for

    def look(self) -> None:
        """Takes in what has come, for who asks without waiting."""
        with self.lock:
            if not self.turns.barred:
                self.read()

    def observe(self, future: ScalerFuture, condition: Any) -> Any:
        """Gives the future a condition of its own, if it has none."""
        with self.lock:
            own = future.__dict__.setdefault("_condition", condition)
            if future._outcome is None:
                self.observed.add(future)
                self.receiver.call()
            return own

    def call_back(self, future: ScalerFuture, fn: Callable[[Any], object]) -> bool:
        """Whether the future is pending still; then `fn` is called when it is done."""
        with self.lock:
            if future._outcome is not None:
                return False
            future._done_callbacks.append(fn)
            self.observed.add(future)
            self.receiver.call()
            return True

    def cancel(self, first: int, count: int) -> None:
        """Asks for it; each element still gets an outcome."""
        with self.lock:
            if self.refusal is None:
                self.hand_over()
                self.channel.cancel(first, count)
                self.write()

    # -- Beginning and end

    def open(self, fd: int, timeout: float) -> None:
        """The first connection. Returns when the scheduler has answered; waits `timeout` seconds for that."""
        with self.lock:
            self.channel.attach(fd)
            self.receiver.start()
        try:
            self.wait_for(self.welcome, timeout)
        except TimeoutError:
            self.close(lambda: unreachable(self.endpoint, self.timeout, lost=False))
            raise unreachable(self.endpoint, self.timeout, lost=False) from None
        except BaseException:
            self.close(ClientQuitException)
            raise
        if isinstance(self.welcome._outcome, BaseException):
            raise self.welcome._outcome

    def stream_output(self) -> None:
        """Prints here what tasks write, of those that are submitted from now on."""
        with self.lock:
            self.check_open()
            self.streams = True
            self.channel.stream_output()
            self.write()
            self.receiver.call()

    def clear(self) -> list[TaskRun | MapRun]:
        """Asks for the end of everything; returns what is waited for then."""
        with self.lock:
            self.check_open()
            self.hand_over()
            pending = self.book.pending_runs()
            self.channel.clear()
            self.holds.clear()
            self.write()
        self.objects.clear()
        return pending

    def shutdown(self) -> tuple[bool, str]:
        """Asks for the cluster's end: whether it ends, and if not why."""
        with self.lock:
            self.check_open()
            self.hand_over()
            answer = self.questions.asked(self.channel.shutdown())
        try:
            return self.questions.wait_for_answer(answer)
        except (ClientShutdownException, ConnectionError):
            return True, ""  # it ended before it answered

    def end(self, why: Callable[[], BaseException], outcome: Outcome | None = None) -> None:
        """With the lock: every pending future has its outcome, nothing more can be submitted."""
        if self.refusal is not None:
            return
        self.refusal = why
        self._blobs = []
        self._function = self._options = None
        self.turns.barred = True
        verdict = Verdict(why) if outcome is None else outcome
        for start, end in self.book.all_unfinished():
            self.book.resolve(start, end - start, verdict, (), self.settle)
        if self.welcome._outcome is None:
            self.welcome._outcome = why()
        self.questions.end(why)
        self.turns.wake_all()
        self.receiver.call()

    def close(self, why: Callable[[], BaseException]) -> None:
        """Says goodbye and ends. Again is fine."""
        # First: what is still on its way to storage must not arrive there after the session's end.
        self.objects.close()
        self.say_goodbye()
        with self.lock:
            self.end(why, CANCELLED)
            self.let_go_of_channel()
        self.objects.join()
        self.receiver.join()

    def let_go_of_channel(self) -> None:
        """With the lock, after `end`: the socket is closed, and what the futures that are left hold is small."""
        self.objects.close()
        self.channel.detach()
        self.channel.wake()
        self.channel = self.turns.source = self.holds.channel = NoChannel()  # type: ignore[assignment]

    def say_goodbye(self) -> None:
        """Without the lock."""
        with self.lock:
            if self.refusal is not None or not self.channel.attached:
                return
            self.channel.goodbye()
            self.channel.flush()
        with contextlib.suppress(TimeoutError):
            self.wait_for(_Sent(self), GOODBYE_SECONDS)

    def end_at_exit(self) -> None:
        self.close(lambda: ClientQuitException("The interpreter ends."))

    def forked(self) -> None:
        """In a child made by fork: the parent's socket is not ours, nor is the state of the lock."""
        self.turns = Turns(self.channel, self.read, self.turns.longest_wait)
        self.lock = self.turns.lock
        self.wait_for = self.turns.wait_for
        self.receiver = Receiver(self)
        self.objects.forked()
        self.settling.clear()
        self.observed.clear()
        self.end(forked_error)
        # Lets go of our copy of the socket without a word to the scheduler.
        self.channel = self.turns.source = self.holds.channel = NoChannel()  # type: ignore[assignment]


def forked_error() -> ClientForkedError:
    return ClientForkedError(
        "This client was made before os.fork, in the parent process; a connection cannot be shared.\n"
        "  to do: make a Client of its own in the child (or start the child with 'spawn')"
    )


class NoChannel:
    """Stands for a channel that is another process's."""

    attached = credit = unsent = False
    backlog = 0

    def nothing(self, *_: object) -> None:
        pass

    def read(self) -> tuple[()]:
        return ()

    detach = wake = flush = hold_object = release_object = nothing


class _Room:
    """For waiting: little is queued, or there is no more use in waiting."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation

    @property
    def _outcome(self) -> bool | None:
        conversation = self.conversation
        return True if conversation.refusal is not None or conversation.channel.backlog <= BACKLOG_LIMIT // 2 else None


class _Sent:
    """For waiting: nothing is left to be sent, or there is nobody to send it to."""

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation

    @property
    def _outcome(self) -> bool | None:
        channel = self.conversation.channel
        return None if channel.unsent and channel.attached and self.conversation.refusal is None else True


_new_future = ScalerFuture.__new__
