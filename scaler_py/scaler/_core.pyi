"""The Rust core: links, engines and loops. Thin; `core_rs/py` mirrors this file, and a test compares the two."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from typing_extensions import Buffer

PROTOCOL: Final[int]
VERSION: Final[str]

# Forms of a block of arguments or values (docs/protocol.md).
FORM_LIST: Final = 0
FORM_TABLE: Final = 1
FORM_SINGLE: Final = 2
FORM_REFERENCE: Final = 3

# Fewer bytes than these are not worth a file of their own.
LEAST_SHARED: Final[int]

# Bytes of the answer to `tls_question`.
TLS_ANSWER: Final[int]

# How an element's arguments are applied.
STYLE_FULL: Final = 0
STYLE_ONE: Final = 1
STYLE_STAR: Final = 2

# Kinds of outcome. 0 to 3 are the forms above.
OUTCOME_EXCEPTION: Final = 4
OUTCOME_CANCELLED: Final = 5
OUTCOME_FAILURE: Final = 6

# First item of each event that Channel.read and ObjectChannel.read return.
EVENT_RESULTS: Final = 0  # (0, first, count, kind, payload: bytes, except: list[int], failure: tuple | None, busy_us)
#                           failure = (code, attempts, status, nodes: list[str], detail)
EVENT_ANSWER: Final = 1  # (1, request, ok, text)
EVENT_CLOSING: Final = 2  # (2, reason)
EVENT_REFUSED: Final = 3  # (3, code, text): final; the connection is closed
EVENT_WELCOME: Final = 4  # (4, cluster, storage, resumed: bool, properties: dict[str, str])
EVENT_DISCONNECTED: Final = 5  # (5,): the socket is closed and detached; attach another one
EVENT_STORED: Final = 6  # (6, request)
EVENT_DATA: Final = 7  # (7, request, bytes | SharedBytes): the whole object
EVENT_MISSING: Final = 8  # (8, request)
EVENT_STORE_ERROR: Final = 9  # (9, request, code, text)
EVENT_OUTPUT: Final = 10  # (10, dropped, records: bytes): what tasks wrote, and how many lines before it were left out

def blake3(data: Buffer, key: bytes | None = None) -> bytes:
    """32 bytes; keyed (a MAC) where `key`, 32 bytes, is given."""

def own_name() -> bytes:
    """16 random bytes."""

def fingerprint(data: Buffer) -> bytes:
    """16 bytes that tell most buffers apart: of the length and of 64 KiB here and there, or of all of a short one."""

def same_bytes(one: Buffer, other: Buffer) -> bool: ...
def share(parts: Sequence[Buffer]) -> SharedBytes | None:
    """The parts one after the other in files that processes of this host share; those that are in such files already,
    unwritten, where they are. None where they are too few bytes, or this process may have no more files: then they
    travel as they are."""

def share_from(parts: Sequence[Buffer]) -> SharedBytes | None:
    """The same. Whoever reads a `bytes` object among the parts from there, in this process, may get this very object:
    for some seconds at most, and while somebody else has it."""

def forget_copies() -> None:
    """Lets go of `bytes` objects that were read from files or written there, of which nobody else has a reference, and
    of these files."""

class SharedBytes:
    """Bytes in files in memory that processes of one host share, or some of them. A read-only buffer, which copies
    where there are several pieces."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def pieces(self) -> list[int]:
        """The lengths of the pieces, each of which lies in one file or in none."""

    def piece(self, number: int) -> SharedBytes: ...
    def own_view(self, piece: int) -> OwnView:
        """One piece, writable: what is written stays in this view. OSError where there are too many, ValueError where
        it is in no file."""

    def part(self, offset: int, length: int, remember: bool) -> bytes:
        """A copy, or what it was written from. remember: until `forget_copies`, what is in it is known to be in the
        file."""

class OwnView:
    """A writable buffer."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

def compress(data: Buffer, codec: str) -> bytes:
    """For whoever stores it: 12 bytes that name codec and length, and the body, compressed where that makes it smaller.

    codec: "auto" (lz4 where a sample says that it pays), "off", "lz4" or "zstd"."""

def decompress(data: Buffer, limit: int) -> bytes:
    """The opposite. ValueError for what is malformed, or over the limit by its stated size, before it is allocated."""

def is_plain(values: list[Any]) -> bool:
    """Whether all are int, float, bool, str, bytes, None, or tuples of these, exactly."""

def pack_table(blobs: Sequence[bytes]) -> bytes:
    """FORM_TABLE: the ends of all blobs as little-endian u32, then the blobs."""

def table_ends(payload: Buffer, count: int) -> list[int]:
    """`count + 1` offsets into `payload`: element i is payload[offsets[i]:offsets[i + 1]]. ValueError if malformed."""

def end_with_parent(parent: int) -> None:
    """Asks the kernel to kill this process when the thread that started it ends. SystemExit if `parent` has ended."""

def adopt_orphans() -> None:
    """Makes this process the parent of whatever its descendants leave behind."""

class Options:
    """What all elements of a submission share. Immutable, hashable."""

    def __init__(
        self,
        *,
        style: int = STYLE_FULL,
        capabilities: Sequence[tuple[str, int]] = (),
        priority: int = 0,
        depth: int = 0,
        timeout_us: int = 0,
        retries: int = 0,
        python_minor: int = 0,
        name: str = "",
    ) -> None: ...

class Channel:
    """A client's session and its link to the scheduler, over any connected stream socket.

    Not thread-safe but for `wait`: the client's lock guards every other call. Everything unfinished is kept here
    and sent again to a scheduler that forgot it. Writes never block; what the socket does not take waits, and
    `wait` sees to it as well. heartbeat: seconds between signs of life, while nothing else is said.
    """

    def __init__(
        self, session: int, link: int, ticket: bytes, properties: dict[str, str], heartbeat: float
    ) -> None: ...
    def attach(self, fd: int) -> None:
        """Takes over a connected stream socket (also one end of a bridge's pair) and says hello."""

    def detach(self) -> None:
        """Closes the socket, if any. The session stays."""

    def within(self, node: int, session: int, sequence: int) -> None:
        """Before all else: the session is that of this task, which runs at the node of that link, and ends with it."""

    @property
    def attached(self) -> bool: ...
    @property
    def credit(self) -> bool:
        """Whether a submission would leave at once."""

    @property
    def backlog(self) -> int:
        """Bytes that wait for credit."""

    @property
    def unsent(self) -> bool:
        """Whether bytes wait for the socket to take them."""

    @property
    def unfinished(self) -> int:
        """Elements without an outcome."""

    def function(self, pickled: bytes) -> bytes:
        """Makes the function known, if it is not, and returns its id (16 bytes)."""

    def forget_function(self, function: bytes) -> None: ...
    def submit_many(self, function: bytes, options: Options, first: int, blobs: list[bytes]) -> None:
        """Elements first, first + 1, …, one for each blob, packed into blocks here."""

    def submit_one(self, function: bytes, options: Options, sequence: int, blob: bytes) -> int:
        """One element, written at once. Bit 0: there is credit still. Bit 1: `unsent`."""

    def submit_blocks(
        self,
        function: bytes,
        options: Options,
        first: int,
        blocks: Sequence[tuple[int, int, Buffer]],
        objects: Sequence[tuple[int, int, bytes, int]] = (),
    ) -> None:
        """blocks: (count, form, payload). objects: (element or 0xFFFFFFFF for all, session, hash, size)."""

    def submit_parts(
        self,
        parts: Sequence[
            tuple[
                bytes,
                Options,
                int,
                Sequence[tuple[int, int, Buffer]],
                Sequence[bytes],
                Sequence[tuple[int, int, bytes, int]],
                Sequence[int],
                Sequence[int],
            ]
        ],
        announced_from: int,
    ) -> list[int]:
        """Elements that take values of others: all of the parts, or none.

        A part: function, options, first sequence, blocks or (where there are none) a blob an element, objects, needs
        (offset of the element, sequence of what it takes, and so on by offset), uses (empty, or a number an element:
        0, or how many others take its value, plus 0x80000000 where the client wants it too). Needs from
        `announced_from` on are among those uses. Returns the elements of before that were done already and whose values
        are nowhere any more: then nothing was submitted."""

    def cancel(self, first: int, count: int) -> None: ...
    def cancel_unstarted(self, first: int, count: int) -> int:
        """Cancels what no executor has begun. Returns the request number of the coming EVENT_ANSWER, whose text has the
        others: `first-end,` for each run of them."""

    def query(self, kind: int, first: int) -> int:
        """kind: 0 explain, 1 state, 2 status. Returns the request number of the coming EVENT_ANSWER."""

    def clear(self) -> None: ...
    def stream_output(self) -> None:
        """Wants what tasks write, of those that are submitted from now on."""

    def goodbye(self) -> None: ...
    def shutdown(self) -> int: ...
    def hold_object(self, hash: bytes, size: int) -> None: ...
    def release_object(self, hash: bytes) -> None: ...
    def flush(self) -> None:
        """Writes what may leave now."""

    def wait(self, timeout: float | None) -> bool:
        """Waits, the interpreter's lock released, until the socket is readable, or writable where bytes wait.

        The one call that needs no lock; one thread at a time. `wake` ends it early. Handles signals (EINTR)."""

    def wake(self) -> None:
        """Ends a `wait` of another thread."""

    def read(self) -> list[tuple[Any, ...]]:
        """Reads what is there without waiting, writes what may leave, and returns what happened, in order.

        Also does the link's timely work (acknowledgements owed, heartbeats)."""

class ObjectChannel:
    """A link to object storage; same rules as Channel."""

    def __init__(
        self, session: int, link: int, ticket: bytes, properties: dict[str, str], heartbeat: float
    ) -> None: ...
    def attach(self, fd: int) -> None: ...
    def detach(self) -> None: ...
    @property
    def attached(self) -> bool: ...
    @property
    def unsent(self) -> bool: ...
    def put(self, hash: bytes, data: Buffer) -> int:
        """request. hash: the object's name, 16 bytes. EVENT_STORED or EVENT_STORE_ERROR answers."""

    def get(self, session: int, hash: bytes) -> int:
        """request. EVENT_DATA or EVENT_MISSING answers."""

    def wait(self, timeout: float | None) -> bool: ...
    def wake(self) -> None: ...
    def read(self) -> list[tuple[Any, ...]]: ...

class Steps(Iterator[Any]):
    """Gives a chunk's elements to `map`, and before each writes (chunk, index, started at) into the shared line.

    Ends early when the agent has revoked the rest, or when `slice_us` have passed since it was made (so that results
    that are there can be sent). `index`: the chunk's index of the element given last; `next`: of the one to come."""

    def __next__(self) -> Any: ...
    @property
    def index(self) -> int: ...
    @property
    def next(self) -> int: ...
    @property
    def revoked(self) -> bool: ...

class ExecutorPort:
    """An executor's end of the socketpair with its agent, and the line of memory they share."""

    def __init__(self, fd: int, line_fd: int) -> None: ...
    def ready(self, error: str = "") -> None: ...
    def receive(self) -> tuple[Any, ...] | None:
        """Waits for the next order, the interpreter's lock released; None when the agent is gone.

        ("function", id, pickled) | ("forget_function", id) | ("object", session, hash, bytes)
        | ("forget_object", session, hash) | ("listen", session, on) | ("stop",)
        | ("value", number, count, form, payload) | ("drop_values", numbers)
        | ("chunk", chunk, function id, style, first, skip, take, block_count, form, payload or None, session,
           (depth, priority) [, inputs: (element, value's number, entry), …])"""

    def steps(self, chunk: int, index: int, elements: Sequence[Any], at: int, slice_us: int) -> Steps:
        """Elements from `elements[at]` on; the first is the chunk's `index`; `take - index` of them at most."""

    def restart_clock(self) -> None:
        """The time limit of the element that runs counts from now on."""

    def result(self, chunk: int, index: int, count: int, kind: int, payload: Buffer, busy_us: int) -> None:
        """Sends values or an exception, 4 MiB at most; a larger single value goes as `large_value` does.

        While an element runs (the flusher's call) it leaves at once, otherwise with what comes next: `end`, the next
        slice's `steps`, or `receive` where it has to wait. Waits for the socket if it must (the agent always reads)."""

    def large_value(self, chunk: int, index: int, payload: Buffer) -> None:
        """A value that belongs into object storage."""

    def end(self, chunk: int, next: int, busy_us: int) -> None:
        """A chunk's end. Short ones wait up to 4 ms for the next one's where that is here already."""

    def end_with_value(self, chunk: int, payload: Buffer, busy_us: int) -> None:
        """The only value and the end of a chunk of one element, as `result` and `end`."""

    def say_waits(self, waits: bool) -> bool:
        """Says that the element that runs waits for others, or that it goes on. False when none runs."""

    def cut_slice(self) -> None:
        """The slice ends with the element that runs."""

    def output(self, session: int, lines: int, dropped: int, payload: Buffer) -> None:
        """Whole lines of a session that listens, in records, sent before all results that are reported after it."""

    def cancelled_here(self) -> bool:
        """For the SIGINT handler: whether the agent's cancel names the element that runs now. Clears it."""

    def wait_flush(self) -> bool:
        """For the flusher thread: waits until the agent asks for the results that are there. False at the end."""

class Loop:
    """The hot loop of a process: scheduler, agent, object storage, several of them, or a worker manager, in the calling
    thread.

    Settings are dicts of plain values; unknown keys raise. See ARCHITECTURE.md, "Settings of a loop"."""

    def __init__(
        self,
        *,
        scheduler: dict[str, Any] | None = None,
        node: dict[str, Any] | None = None,
        store: dict[str, Any] | None = None,
        manager: dict[str, Any] | None = None,
    ) -> None: ...
    def listen(self, part: str, fd: int) -> None:
        """part: "scheduler" or "store". Takes over a bound and listening Unix stream socket."""

    def adopt(self, part: str, fd: int, address: str) -> None:
        """Takes over our end of a bridge's pair as a connection from a remote `address`: its hello needs a ticket."""

    def attach(self, link: str, fd: int) -> None:
        """link: "scheduler" or "store". A connected stream socket for the part's own outward link."""

    @property
    def node_link(self) -> int:
        """The link by which the scheduler knows this loop's node."""

    def run(self) -> None:
        """Until `stop`, the interpreter's lock released. Errors of its own raise. Once only.

        Executors that are left at the end are killed and reaped."""

    def stop(self) -> None: ...
    def drain(self) -> None:
        """Node: finish what runs, give back the rest, then a request ("exit", "drained")."""

    def next_request(self, timeout: float | None) -> tuple[Any, ...] | None:
        """What only the host can do; None after the timeout, and for ever once the loop has ended. Handles signals.

        ("start_executor", slot) | ("connect", link, attempt) | ("log", level, text) | ("exit", reason)
        | ("refused", link, code, text) | ("welcome", link, cluster, storage) | ("listen", session, on)
        | ("ticket", ticket): to be shown from now on

        A worker manager's: ("record", number, [(group, slots, capabilities, state, infrastructure)])
        | ("start", call, [(group, slots, capabilities)]) | ("heartbeat", call) | ("shutdown", call, [group])
        | ("cleanup", call) | ("restart", reason) | ("exit", failed, reason)
        With jobs: ("job", id, {…}) | ("forget_job", id) | ("job_object", session, hash, bytes)
        | ("forget_job_object", session, hash) | ("collect", call, [id])
        State of an entry: "intended", "started", "ending", or "forgotten": the ledger need not keep it.
        After "refused" because the cluster ends ("exit", …) follows; other refusals are final.

        "connect": the host connects, trying again as long as it takes, and calls `attach`; attempt counts connections
        in a row that brought no welcome. Scheduler and node of one loop ask for "store" separately; `attach` serves the
        one that asked. "exit": what the part had to say is said; the host calls `stop`."""

    def executor_started(self, slot: int, pid: int, fd: int, line_fd: int) -> None:
        """fd: our end of the socketpair; line_fd: memfd of the shared line (4096 bytes); the loop takes over both.

        pid: a child of this process that leads a process group. The loop watches it by a pidfd, signals the group,
        kills what is left of it after the child's death, and *reaps the child*: the host must not wait for it, or its
        exit status is lost. One that cannot be used is killed and reaped as well. OSError if there is no such one."""

    def executor_failed(self, slot: int, error: str) -> None: ...
    def output(self, session: int, lines: int, dropped: int, payload: Buffer) -> None:
        """What came from an executor's pipes, of a session that listens: as `ExecutorPort.output`."""

    def manager_recorded(self, number: int) -> None:
        """The ledger has that record, and all before it, for good."""

    def manager_units(self, call: int, units: list[tuple[str, str, str, str]]) -> None:
        """Answers "start" and "heartbeat": (group, infrastructure, state, detail) each.

        state: "pending", "running", "succeeded", "failed" or "gone"; ValueError for others."""

    def manager_done(self, call: int) -> None:
        """Answers "shutdown" and "cleanup"."""

    def manager_failed(self, call: int, kind: str, text: str, retry_after: float | None = None) -> None:
        """Answers any call. kind: "throttled", "credentials", "temporary", "permanent" or "unknown".

        retry_after: seconds that the infrastructure wants to be left alone. Each call is answered once, if late."""

    def manager_leave(self) -> None:
        """The manager ends its units, cleans up, then a request ("exit", failed, reason). Again: at once.

        With jobs: these may end before, for `patience` seconds."""

    def jobs_collected(self, call: int, outcomes: list[tuple[str, str, bytes]]) -> None:
        """Answers a request ("collect", call, ids): (id, kind, payload) of each that has an outcome: "value" packed,
        "exception" packed, or "lost" and why. Of others the driver's last word counts. ValueError: another kind."""

    def jobs_not_collected(self, call: int, text: str, retry_after: float = 0.0) -> None:
        """It failed, and is asked again. retry_after: seconds."""

    def positions(self) -> list[tuple[int, int, int, int]]:
        """(slot, pid, session, sequence) of what runs now, from the shared lines; for tagging output."""

    def status(self) -> dict[str, Any]:
        """Counters of the loop: turns, frames_in, frames_out, connections, executors."""

class RouterBridge:
    """Carries messages between a zmq ROUTER, bound, and one socketpair for each of its peers.

    On the pairs travel frames behind their lengths; between hosts a frame is one message, packed by `codec`.
    """

    def __init__(
        self, module: str, router: int, monitor: int, *, port: int, codec: str, most_peers: int, most_silent: int
    ) -> None:
        """module: pyzmq's extension module. router, monitor: addresses of its sockets (`Socket.underlying`), which stay
        open until `run` has returned, and which nobody else uses meanwhile.

        port: that is bound. LookupError: libzmq's functions are not there."""

    def run(self) -> None:
        """Until `stop`, the interpreter's lock released; then what was written has been sent. Once only. OSError."""

    def stop(self) -> None:
        """From any thread."""

    def fileno(self) -> int:
        """Readable when there is news, and at the end."""

    @property
    def full(self) -> bool:
        """Whether nobody else may come."""

    def news(self) -> list[tuple[Any, ...]] | None:
        """What is new since the last call; None once `run` is over and all was heard.

        ("peer", fd, host): somebody new; fd is the loop's end of the pair. ("warning", text). ("strangers", count): so
        many came and went without proving anything."""

class DealerBridge:
    """Carries messages between a zmq DEALER and a socketpair. As RouterBridge otherwise."""

    def __init__(self, module: str, dealer: int, monitor: int, *, host: str, codec: str) -> None:
        """host: numeric, of the peer. LookupError: libzmq's functions are not there."""

    def take(self) -> int:
        """The loop's end of the pair. Once only."""

    def run(self) -> None:
        """Until either side ends, or `stop`; what each had said by then has reached the other. Once only. OSError."""

    def stop(self) -> None:
        """From any thread."""

def tls_question() -> bytes:
    """What a peer writes to a new CURVE connection to hear where TLS is. With its length, for a stream."""

def tls_introduction(answer: bytes) -> tuple[int, bytes] | None:
    """Port (0: none) and public key of the server, as it answered. None: this is no answer."""

def tls_dial(
    host: str, port: int, pin: bytes, client_secret: bytes, codec: str, connect_timeout: float, timeout: float
) -> tuple[TlsBridge, int]:
    """Connects to the server whose public key is `pin`; what carries the connection, and the loop's end of its pair.

    host: numeric. client_secret: the join token's. codec: compression of what leaves this host. connect_timeout: until
    somebody accepts, in seconds. timeout: for all of it. OSError: nobody there, or not in time. ConnectionError: it is
    somebody else, or does not let us in."""

class TlsBridge:
    """A connection over TLS, which a thread of the core carries until either side is closed."""

    @property
    def is_over(self) -> bool: ...
    def close(self) -> None:
        """Ends it and waits until what was written has left: two seconds at most. May be repeated."""

class TlsListener:
    """The TLS port of a part, served by threads of the core."""

    def __init__(
        self,
        loop: Loop,
        part: str,
        fd: int | None,
        server_secret: bytes,
        client_secret: bytes,
        *,
        codec: str,
        most_peers: int,
    ) -> None:
        """part: "store" or "scheduler". Takes over `fd`, a bound and listening tcp socket; None: there is no TLS, and
        whoever asks hears that. Both secrets are the cluster key's."""

    @property
    def port(self) -> int:
        """0 where there is none."""

    def introduce(self, fd: int, host: str) -> None:
        """Takes over the loop's end of the pair of a peer that came by CURVE. If it asks where TLS is it is told; what
        it says then is the loop's."""

    def close(self) -> None:
        """Ends all connections, after what the loop wrote has left: two seconds at most. May be repeated."""
