"""The client, as its users know it."""

from __future__ import annotations

import functools
import os
import platform
import socket
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, overload

from scaler import nested
from scaler._core import (
    FORM_SINGLE,
    LEAST_SHARED,
    STYLE_FULL,
    STYLE_ONE,
    STYLE_STAR,
    VERSION,
    Channel,
    ObjectChannel,
    Options,
    SharedBytes,
)
from scaler.client.blocks import BlockMaker
from scaler.client.calls import object_uses, pack_call, pack_positional, references_among
from scaler.client.connection import Endpoint
from scaler.client.conversation import Conversation
from scaler.client.functions import Function, FunctionCache
from scaler.client.futures import UNSENT, ScalerFuture
from scaler.client.in_job import job_address
from scaler.client.map_futures import MapFutures
from scaler.client.mapping import MapSubmission, lazy_results, length_of
from scaler.client.needing import Packer, TaskPlace, submit_needing
from scaler.client.needs import Needs
from scaler.client.object_link import ObjectLink, Owner
from scaler.client.profiling import MeasuredFunction
from scaler.client.questions import EXPLAIN
from scaler.client.serializer import DefaultSerializer, Seal, Sealed, SealedFunction, seal_argument, seal_arguments
from scaler.config.retired import answer, tell_once
from scaler.errors import ClientQuitException, ObjectStorageException, SchedulerProtectedError
from scaler.packing import (
    MAIN,
    ObjectReference,
    dumps_arguments,
    is_plain,
    look_for_by_value_modules,
    pickle_plainly,
    refuse_buffer,
)

# Larger arguments go to object storage, in bytes.
INLINE_LIMIT = 64 << 10
# A message has room for so much.
LARGEST_INLINE_LIMIT = 4 << 20


class Client:
    """Submits tasks to a cluster. For any number of threads.

    address: `tcp://host:port` or `ipc://path` of the scheduler. None: a cluster on this machine, which this process
    starts once and ends with it.
    profiling: `profiling_info` of futures has memory and CPU time as well; it costs each task some 0.2 ms.
    timeout_seconds: how long to wait for a scheduler that does not answer, at first and when it was lost.
    stream_output: what tasks write to standard output and error is printed here, line by line, and not on the nodes.
    serializer: with two static methods, for functions, arguments and results; default pickle and cloudpickle.
    object_storage_address: instead of the one that the scheduler names.
    security_config: accepted, and a warning says what replaced it.
    key: a join token or cluster key; default the environment's (`SCALER_KEY`, `SCALER_KEY_FILE`), then the user's.
    insecure: True speaks without encryption to a scheduler that was started with --insecure.
    compression: between hosts: auto, off, lz4, zstd.
    inline_limit_bytes: larger arguments travel through object storage.

    Blocks until the scheduler has answered. SchedulerUnreachableError when it does not, AddressError and
    KeyRefusedError with what to set.
    """

    def __new__(cls, address: str | None = None, *_: Any, **__: Any) -> Client:
        nest = nested.nest()
        if nest is not None and cls is Client and nest.is_here(address):
            from scaler.client.nested import NestedClient

            return super().__new__(NestedClient)
        return super().__new__(cls)

    def __init__(
        self,
        address: str | None = None,
        profiling: bool = False,
        timeout_seconds: float = 60,
        heartbeat_interval_seconds: float = 2,
        serializer: Any = None,
        stream_output: bool = False,
        object_storage_address: str | None = None,
        security_config: Any = None,
        *,
        key: Any = None,
        session: int | None = None,
        insecure: bool | None = None,
        compression: str = "auto",
        inline_limit_bytes: int = INLINE_LIMIT,
    ) -> None:
        if security_config is not None:
            tell_once(answer("security_config"))
        if timeout_seconds <= 0 or heartbeat_interval_seconds <= 0:
            raise ValueError("timeout_seconds and heartbeat_interval_seconds are seconds, above 0")
        if not 0 <= inline_limit_bytes <= LARGEST_INLINE_LIMIT:
            raise ValueError(f"inline_limit_bytes is 0 to {LARGEST_INLINE_LIMIT}")
        self._given = (address, profiling, timeout_seconds, heartbeat_interval_seconds, serializer, stream_output)
        self._options_given: dict[str, Any] = {
            "object_storage_address": object_storage_address,
            "insecure": insecure,
            "compression": compression,
            "inline_limit_bytes": inline_limit_bytes,
        }
        self._seal = None if serializer is None or _is_default(serializer) else Seal.of(serializer)
        self._inline_limit = inline_limit_bytes
        if object_storage_address is not None:
            _check_address(object_storage_address)
        self._endpoint = self._make_endpoint(address, key, insecure, compression)
        self._session = session
        self._begin()

    def _make_endpoint(self, address: str | None, key: Any, insecure: bool | None, compression: str) -> Endpoint:
        if address is None:
            address = job_address(key, insecure) if nested.in_job() else _embedded_address()
        return Endpoint(address, "client", key, insecure, compression)

    def _begin(self) -> None:
        _, profiling, timeout, heartbeat, _, stream_output = self._given
        self._conversation = self._converse(
            _random_number() if self._session is None else self._session,
            timeout,
            heartbeat,
            self._options_given["object_storage_address"],
        )
        self._functions = FunctionCache(
            self._conversation.forget,
            self._conversation.objects.store,
            _wrapper(self._seal, profiling),
            opaque=self._seal is not None,
            place=self._place(),
        )
        self._needs = functools.partial(Needs, self._conversation, self._seal)
        self._packer = Packer(self._conversation, self._needs, self._inline_limit)
        if stream_output:
            self._conversation.stream_output()
        # For the short way of `submit`.
        self._known = self._functions.known
        self._submit_blob = self._conversation.submit
        self._short_way_limit = -1 if self._seal is not None else self._inline_limit
        weakref.finalize(self, _abandon, self._conversation)

    def _converse(
        self, session: int, timeout: float, heartbeat: float, object_storage_address: str | None
    ) -> Conversation:
        endpoint = self._endpoint
        properties = _properties()

        def open_link(advertised: str, owner: Owner) -> ObjectLink:
            from scaler.transport.addresses import reachable_address

            if object_storage_address is None and not advertised:
                raise ObjectStorageException(
                    "This cluster has no object storage, and a value is too large to travel without it.\n"
                    f"  where: {endpoint.address}\n"
                    "  to do: start the scheduler with --object-storage-address, or raise inline_limit_bytes"
                )
            address = object_storage_address or reachable_address(advertised, endpoint.address)
            storage = endpoint._replace(address=address, role="objects")
            return ObjectLink(
                storage,
                lambda ticket: ObjectChannel(session, _random_number(), ticket, properties, heartbeat),
                timeout,
                heartbeat,
                owner,
            )

        deadline = time.monotonic() + timeout
        connection = endpoint.first_dial(timeout)
        channel = Channel(session, _random_number(), connection.ticket, properties, heartbeat)
        conversation = self._make_conversation(endpoint, session, channel, timeout, heartbeat, open_link)
        conversation.open(connection.fd, max(0.0, deadline - time.monotonic()))
        return conversation

    def _make_conversation(
        self,
        endpoint: Endpoint,
        session: int,
        channel: Channel,
        timeout: float,
        heartbeat: float,
        open_link: Callable[[str, Owner], ObjectLink],
    ) -> Conversation:
        return Conversation(endpoint, session, channel, timeout, heartbeat, open_link)

    def _place(self) -> tuple[int, int]:
        """Depth of nesting of what is submitted, and its priority unless it is given one."""
        return 0, 0

    @property
    def address(self) -> str:
        return self._endpoint.address

    @property
    def identity(self) -> bytes:
        """Names this client in the cluster's logs."""
        return f"Client|{self._conversation.session:016x}".encode()

    # -- Submitting

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> ScalerFuture:
        """Runs `fn(*args, **kwargs)` on a worker.

        PackingError, with the path to it, where something cannot be pickled."""
        function = self._known.get(id(fn))
        if function is None or (function.watch is not None and not function.watch.holds()):
            function = self._functions.get(fn)
            if look_for_by_value_modules():
                self._short_way_limit = -1
        if kwargs or function.stored is not None:
            options = function.options if kwargs else function.options_starred
            return self._submit_slowly(function, options, args, kwargs)
        # What follows is the short way of `_submit_slowly`, for small plain positional arguments: it is walked a lot.
        try:
            for value in args:
                if type(value) is bytes and len(value) >= LEAST_SHARED:
                    raise BufferError
            blob = pickle_plainly(args, 5, buffer_callback=refuse_buffer)
        except Exception:
            return self._submit_slowly(function, function.options_starred, args, kwargs)
        if len(blob) > self._short_way_limit:
            # Looking through much plain data for a name in it is dear.
            if self._short_way_limit >= 0 and is_plain([args]):
                return self._submit_stored(function, function.options_starred, blob, [])
            return self._submit_slowly(function, function.options_starred, args, kwargs)
        if blob.find(MAIN) >= 0 or ObjectReference.made:
            return self._submit_slowly(function, function.options_starred, args, kwargs)
        return self._submit_blob(function, function.options_starred, blob)

    def submit_verbose(
        self,
        fn: Callable[..., Any],
        args: Iterable[Any],
        kwargs: dict[str, Any],
        capabilities: dict[str, int] | None = None,
        *,
        priority: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        name: str | None = None,
        reserialize: bool = False,
    ) -> ScalerFuture:
        """As `submit`, with options.

        capabilities: names that the worker must have, with the least amount, -1 for any: {"gpu": -1}.
        priority: larger first; default that of the task in which this is called, 0 outside of tasks.
        timeout: seconds after which the task is ended (TaskTimeoutError).
        retries: how often an exception of the task is tried again. name: for people; default the function's.
        reserialize: the function, or something in it, was changed in place since it was last submitted."""
        function = self._functions.get(fn, reserialize)
        style = STYLE_FULL if kwargs else STYLE_STAR
        options = _options(function, style, capabilities, priority, timeout, retries, name)
        return self._submit_slowly(function, options, tuple(args), dict(kwargs or {}))

    def _submit_slowly(
        self, function: Function, options: Options, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> ScalerFuture:
        """options: of style FULL where there are keyword arguments, else STAR."""
        if function.stored is not None:
            args = (function.stored, *args)
        references = references_among(args)
        if self._seal is not None:
            args = seal_arguments(self._seal, args)
            kwargs = {name: seal_argument(self._seal, value) for name, value in kwargs.items()}
        with self._needs() as needs:
            blob = pack_call(args, kwargs) if kwargs else pack_positional(args)
        if needs:
            return self._submit_needing(function, options, args, kwargs, references)
        if references or type(blob) is not bytes or len(blob) > self._inline_limit:
            return self._submit_stored(function, options, blob, references)
        return self._conversation.submit(function, options, blob)

    def _submit_needing(
        self,
        function: Function,
        options: Options,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        references: list[ObjectReference],
    ) -> ScalerFuture:
        """There are futures among the arguments."""
        uses = object_uses(0, references)

        def pickle() -> bytes | SharedBytes:
            return pack_call(args, kwargs) if kwargs else pack_positional(args)

        place = TaskPlace(self._conversation)
        pack = functools.partial(self._packer.pack, pickle, uses)
        submit_needing(self._conversation, function, options, pack, place)
        return place.future

    def _submit_stored(
        self, function: Function, options: Options, blob: bytes | SharedBytes, references: list[ObjectReference]
    ) -> ScalerFuture:
        """One task that needs objects on the node: its arguments, when they are large, and what they refer to."""
        conversation = self._conversation
        uses = object_uses(0, references)
        if len(blob) <= self._inline_limit:
            return conversation.submit_with_objects(function, options, (1, FORM_SINGLE, blob), uses)
        stored = conversation.objects.put_arguments(blob)
        uses.append(stored.use(0))
        return conversation.submit_with_objects(function, options, stored.block, uses, stored)

    @overload
    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        capabilities: dict[str, int] | None = None,
        priority: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        name: str | None = None,
        reserialize: bool = False,
        buffersize: None = None,
    ) -> MapFutures: ...

    @overload
    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        capabilities: dict[str, int] | None = None,
        priority: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        name: str | None = None,
        reserialize: bool = False,
        buffersize: int,
    ) -> Iterator[Any]: ...

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        capabilities: dict[str, int] | None = None,
        priority: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        name: str | None = None,
        reserialize: bool = False,
        buffersize: int | None = None,
    ) -> MapFutures | Iterator[Any]:
        """Runs `fn(a, b, …)` for the elements of the iterables side by side; the shortest ends it.

        Returns a sequence of futures; `.results()` has the values. Reads the iterables to their end at once, waiting
        where much is queued. With `buffersize` it returns an iterator of the values instead, and at most so many
        elements are read ahead of the one that is given out. An element that cannot be pickled fails alone. timeout
        (seconds), retries, capabilities, priority: of each element, as for `submit_verbose`."""
        if not iterables:
            raise TypeError("map needs at least one iterable behind the function")
        function = self._functions.get(fn, reserialize)
        starred = len(iterables) > 1 or function.stored is not None
        elements = zip(*iterables, strict=False) if starred else iterables[0]
        style = STYLE_STAR if starred else STYLE_ONE
        options = _options(function, style, capabilities, priority, timeout, retries, name)
        return self._map(function, options, elements, starred, length_of(iterables), buffersize)

    @overload
    def starmap(
        self,
        fn: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        capabilities: dict[str, int] | None = None,
        *,
        priority: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        name: str | None = None,
        reserialize: bool = False,
        buffersize: None = None,
    ) -> MapFutures: ...

    @overload
    def starmap(
        self,
        fn: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        capabilities: dict[str, int] | None = None,
        *,
        priority: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        name: str | None = None,
        reserialize: bool = False,
        buffersize: int,
    ) -> Iterator[Any]: ...

    def starmap(
        self,
        fn: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        capabilities: dict[str, int] | None = None,
        *,
        priority: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        name: str | None = None,
        reserialize: bool = False,
        buffersize: int | None = None,
    ) -> MapFutures | Iterator[Any]:
        """As `map`, each element an iterable of positional arguments."""
        function = self._functions.get(fn, reserialize)
        options = _options(function, STYLE_STAR, capabilities, priority, timeout, retries, name)
        return self._map(function, options, map(tuple, iterable), True, length_of((iterable,)), buffersize)

    def _map(
        self,
        function: Function,
        options: Options,
        elements: Iterable[Any],
        starred: bool,
        length: int,
        buffersize: int | None,
    ) -> MapFutures | Iterator[Any]:
        if self._seal is not None:
            elements = map(functools.partial(seal_arguments if starred else seal_argument, self._seal), elements)
        if function.stored is not None:
            elements = map((function.stored,).__add__, elements)
        if buffersize is not None:
            return self._map_lazily(function, options, elements, starred, buffersize)
        conversation = self._conversation
        run = conversation.begin_map(length)
        try:
            submission = MapSubmission(conversation, run, function, options, self._packer, self._inline_limit)
            submission.send_all(BlockMaker(elements, starred, self._needs, self._inline_limit))
        finally:
            conversation.end_map(run)
        return MapFutures(conversation, run)

    def _map_lazily(
        self, function: Function, options: Options, elements: Iterable[Any], starred: bool, buffersize: int
    ) -> Iterator[Any]:
        if buffersize < 1:
            raise ValueError("buffersize is at least 1")

        def submit(element: Any) -> ScalerFuture:
            with self._needs() as needs:
                blob = dumps_arguments(element)
            references = references_among(element if starred else (element,)) if ObjectReference.made else []
            if needs:
                place = TaskPlace(self._conversation)
                pickle = functools.partial(dumps_arguments, element)
                pack = functools.partial(self._packer.pack, pickle, object_uses(0, references))
                submit_needing(self._conversation, function, options, pack, place)
                return place.future
            if references or type(blob) is not bytes or len(blob) > self._inline_limit:
                return self._submit_stored(function, options, blob, references)
            return self._conversation.submit(function, options, blob)

        return lazy_results(elements, submit, buffersize)

    # -- Graphs

    def get(
        self,
        graph: Any,
        keys: Any,
        block: bool = True,
        capabilities: dict[str, int] | None = None,
        *,
        priority: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        reserialize: bool = False,
    ) -> Any:
        """Runs what these keys of the graph need: a dict of their values, or of futures where `block` is False.

        A node `(callable, argument, …)` is a call, anything else data. An argument that is a key stands for that node's
        value, also in lists and in nested calls; a reference or a future for its object or value. Values that nobody
        asks for stay with the workers and go with the last that takes them. A node that fails fails what needs it.
        capabilities, priority, timeout (seconds), retries: of each node, as for `submit_verbose`.

        Also a scheduler for dask: `dask.compute(x, scheduler=client.get)` gets its values in the form of its keys.

        KeyError for a key that is not in the graph, or is twice in `keys`; graphlib.CycleError; PackingError names the
        node."""
        from scaler.client.graphs import get

        def options_of(function: Function) -> Options:
            return _options(function, STYLE_STAR, capabilities, priority, timeout, retries, None)

        return get(self, graph, keys, block, options_of, reserialize)

    # -- Objects

    def send_object(self, obj: Any, name: str | None = None) -> ObjectReference:
        """Stores an object once, for many tasks: the reference, as a positional argument, stands for it.

        It stays while the reference (or a task that uses it) lives. name: for people. PackingError,
        ObjectStorageException."""
        sealed = obj if self._seal is None else Sealed(self._seal, obj)
        self._conversation.check_open()
        label = name if name is not None else f"<obj {type(obj).__name__}>"
        return self._conversation.objects.store(dumps_arguments(sealed), label)

    # -- The whole

    def fork(self) -> Client:
        """A new client of the same cluster, made with the same options and key, with a session of its own: its tasks,
        objects and `clear` are not this one's.

        Also where this one cannot be used: after `disconnect`, and in a child process made by `os.fork`."""
        return Client(self.address, *self._given[1:], key=self._endpoint.key, **self._options_given)

    def cancel(self, futures: ScalerFuture | MapFutures | Iterable[ScalerFuture], timeout: float | None = None) -> None:
        """Cancels these, ending what runs, and waits for the answers."""
        if isinstance(futures, ScalerFuture | MapFutures):
            futures.cancel(timeout)
            return
        wanted = [future for future in futures if not future.done()]
        for future in wanted:
            future._ask_to_end()
        for future in wanted:
            future._conversation.wait_for(future, timeout)

    def explain(self, future: ScalerFuture) -> str:
        """Why this task is where it is: for people, a line or a few."""
        if future.done():
            return f"task {future.task_id} is done"
        if future._sequence == UNSENT:
            return "the task waits in its executor: as many as max_workers are under way"
        return self._conversation.questions.ask(EXPLAIN, future._sequence)

    def clear(self) -> None:
        """Cancels all of this client's tasks, waits for the answers, and lets go of all its objects.

        References of before are no good any more: MissingObjects."""
        for run in self._conversation.clear():
            self._conversation.wait_for(run, None)

    def disconnect(self) -> None:
        """Cancels this client's tasks and ends it: it cannot be used again. A second time does nothing."""
        self._conversation.close(_quit)

    def shutdown(self) -> None:
        """Ends the cluster: scheduler and workers. SchedulerProtectedError where that is not allowed; nothing has
        changed then."""
        ended, text = self._conversation.shutdown()
        if not ended:
            raise SchedulerProtectedError(
                f"The scheduler does not let clients end it: {text}\n"
                f"  where: {self.address}\n"
                "  to do: end it where it was started, or start it without --protected "
                "(SchedulerClusterCombo: protected=False)"
            )
        self._conversation.close(_shut_down)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.disconnect()
        return False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as what makes a client of the same cluster; keys stay behind."""
        address = self.address if self._given[0] is None else self._given[0]
        return _client_again, ((address, *self._given[1:]), self._options_given)

    def __repr__(self) -> str:
        return f"<Client of {self.address}>"


def _client_again(given: tuple[Any, ...], options: dict[str, Any]) -> Client:
    return Client(*given, **options)


def _embedded_address() -> str:
    from scaler.cluster import embedded_address

    address: str = embedded_address()
    return address


def _check_address(address: str) -> None:
    """AddressError now, not when a large value first needs it."""
    from scaler.transport.addresses import parse_peer_address

    parse_peer_address(address)


def _random_number() -> int:
    return int.from_bytes(os.urandom(8), "little") or 1


def _properties() -> dict[str, str]:
    return {
        "version": VERSION,
        "python": platform.python_version(),
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "name": os.path.basename(sys.argv[0]) if sys.argv else "",
    }


def _wrapper(seal: Seal | None, profiling: bool) -> Callable[[Any], Any] | None:
    """What a function travels in."""
    sealed = None if seal is None else functools.partial(SealedFunction, seal)
    if not profiling:
        return sealed
    return MeasuredFunction if sealed is None else lambda function: MeasuredFunction(sealed(function))


def _is_default(serializer: Any) -> bool:
    return isinstance(serializer, DefaultSerializer) or serializer is DefaultSerializer


def _options(
    function: Function,
    style: int,
    capabilities: dict[str, int] | None,
    priority: int | None,
    timeout: float | None,
    retries: int,
    name: str | None,
) -> Options:
    if timeout is not None and timeout <= 0:
        raise ValueError(f"timeout={timeout}: seconds above 0, or None for no limit")
    return function.options_for(
        style=style,
        name=name,
        capabilities=sorted((capabilities or {}).items()),
        priority=priority,
        timeout_us=0 if timeout is None else max(1, round(timeout * 1e6)),
        retries=retries,
    )


def _abandon(conversation: Conversation) -> None:
    """The client was dropped: when nothing of it is unfinished, it is gone. From a finalizer, so only a flag."""
    conversation.abandoned = True


def _quit() -> ClientQuitException:
    return ClientQuitException("This client was disconnected: make another one.")


def _shut_down() -> ClientQuitException:
    return ClientQuitException("This client ended its cluster: make another one.")
