"""Functions, each serialised once a client, and again when what it refers to was rebound."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Callable
from typing import Any

from scaler._core import STYLE_FULL, STYLE_STAR, Options
from scaler.client.watching import Watch
from scaler.errors import PackingError
from scaler.packing import ObjectReference, dumps_by_value, look_for_by_value_modules, refers_to_main

# Functions that a client remembers; the rest are forgotten here, and by the cluster when no task uses them.
MOST_FUNCTIONS = 512
# Of those that are in object storage.
MOST_STORED = 8
# A pickle over this does not fit a message beside other things.
LARGEST_PICKLE = 4 << 20


class Function:
    """A serialised function. `told` and `id` (b"" until it was told) are guarded by the client's lock.

    used: since the cache last looked for what may be forgotten.
    stored: where the pickle is too large for a message. What travels then is `call_stored`, and this is to be put
    before the arguments of each call.
    place: depth of nesting of its tasks, and their priority unless they are given one.
    """

    __slots__ = (
        "by_value",
        "function",
        "id",
        "name",
        "options",
        "options_starred",
        "pickled",
        "place",
        "stored",
        "told",
        "used",
        "watch",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        pickled: bytes,
        by_value: bool,
        place: tuple[int, int],
        stored: ObjectReference | None = None,
    ) -> None:
        self.function = function
        self.pickled = pickled
        self.by_value = by_value
        self.stored = stored
        self.place = place
        self.watch = Watch(function) if by_value else None
        self.name = getattr(function, "__qualname__", None) or type(function).__qualname__
        self.options = self.options_for(style=STYLE_FULL)
        self.options_starred = self.options_for(style=STYLE_STAR)
        self.id = b""
        self.told = False
        self.used = True

    def is_good(self) -> bool:
        """Whether it is still what the function is, and where it was put."""
        if self.stored is not None and self.stored.was_cleared:
            return False
        return self.watch is None or self.watch.holds()

    def options_for(self, *, style: int, name: str | None = None, priority: int | None = None, **rest: Any) -> Options:
        """Options of its tasks: the name, and the Python it needs where its code itself travels."""
        depth, inherited = self.place
        return Options(
            style=style,
            name=str(name or self.name),
            depth=depth,
            priority=inherited if priority is None else priority,
            python_minor=sys.version_info.minor if self.by_value else 0,
            **rest,
        )


def serialise(function: Callable[..., Any]) -> tuple[bytes, bool]:
    """(pickle, whether it holds code rather than names). PackingError with the path to what cannot be pickled."""
    look_for_by_value_modules()
    try:
        pickled = pickle.dumps(function, 5)
        if not refers_to_main(pickled):
            return pickled, False
    except Exception:
        pass  # whatever it was, cloudpickle may know better, and says it if not
    try:
        return dumps_by_value(function), True
    except PackingError as error:
        name = getattr(function, "__qualname__", None) or type(function).__qualname__
        text = str(error).removeprefix("value")
        raise PackingError(f"function {name}{text}", path=error.path) from error.__cause__


def call_stored(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """On the worker, which has put the stored function in the place of its reference."""
    return function(*args, **kwargs)


_CALL_STORED = pickle.dumps(call_stored, 5)


class FunctionCache:
    """By the function's identity.

    forget: is told what falls out. store: puts a large pickle into object storage. wrap: what travels in the
    function's place; opaque: nobody can tell whether it holds code. place: as for `Function`.
    """

    def __init__(
        self,
        forget: Callable[[Function], None],
        store: Callable[[bytes, str], ObjectReference],
        wrap: Callable[[Any], Any] | None = None,
        opaque: bool = False,
        place: tuple[int, int] = (0, 0),
    ) -> None:
        # By id of the callable, which is kept: so no other has it.
        self.known: dict[int, Function] = {}
        self._stored: dict[int, Function] = {}
        self._store = store
        self._forget = forget
        self._wrap = wrap
        self._opaque = opaque
        self._place = place

    def get(self, function: Callable[..., Any], reserialise: bool = False) -> Function:
        known = self.known.get(id(function)) or self._stored.get(id(function))
        if known is not None and not reserialise and known.is_good():
            return known
        return self._make(function)

    def _make(self, function: Callable[..., Any]) -> Function:
        if not callable(function):
            raise TypeError(f"{function!r} cannot be called: the first argument is the function")
        pickled, by_value = serialise(function if self._wrap is None else self._wrap(function))
        by_value |= self._opaque
        if len(pickled) > LARGEST_PICKLE:
            stored = self._store(pickled, repr(function))
            return self._keep_stored(Function(function, _CALL_STORED, by_value, self._place, stored))
        made = Function(function, pickled, by_value, self._place)
        if isinstance(function, types.MethodType) and not isinstance(function.__self__, type | types.ModuleType):
            return made  # made anew at each `x.method`, and x may have changed since
        if len(self.known) >= MOST_FUNCTIONS:
            self._make_room()
        stale = self.known.get(id(function))
        self.known[id(function)] = made
        if stale is not None:
            self._forget(stale)
        return made

    def _keep_stored(self, made: Function) -> Function:
        """Few are kept: they are large."""
        self._stored.pop(id(made.function), None)
        while len(self._stored) >= MOST_STORED:
            self._stored.pop(next(iter(self._stored)), None)
        self._stored[id(made.function)] = made
        return made

    def _make_room(self) -> None:
        """Forgets the oldest that was not used since the last time; they are in the order of their making."""
        for key, known in tuple(self.known.items()):  # noqa: B007 - used below
            if not known.used:
                break
            known.used = False
        else:
            key, known = next(iter(self.known.items()))
        if self.known.pop(key, None) is not None:
            self._forget(known)
