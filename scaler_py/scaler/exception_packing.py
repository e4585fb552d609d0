"""Exceptions on their way home: own type, attributes, and the remote traceback.

A packed exception is a pickle of (type name, text, traceback text, pickled exception or None): the first three are
plain, so that what cannot be unpickled can at least be told. The exception itself is taken apart, not pickled: many
classes' own pickles call the class with other arguments than it wants.

An exception may pass through many tasks, each of which waits for the next. Of its remote traceback, which it has twice,
each takes one along: the cause. So it grows by a piece with each of them.
"""

from __future__ import annotations

import _pickle as pickle
import copyreg
import os

from scaler.errors import RemoteError, RemoteTraceback

# Not from `typing`, which takes as long to import as all of this may.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from traceback import TracebackException
    from types import TracebackType
    from typing import Any

# Attribute of an exception on its way: what its task took.
PROFILE = "__scaler_profile__"
_NOTE = "Traceback on the worker:\n"
_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def pack_exception(error: BaseException) -> bytes:
    """Never raises: what cannot be carried is left out, and a note says so."""
    cls = type(error)
    type_name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    profile = error.__dict__.pop(PROFILE, None)
    packed = type_name, _text(error), _remote_traceback(error), _pickled(error)
    return pickle.dumps(packed if profile is None else (*packed, profile), 5)


def profile_in(payload: Any) -> Any:
    """What the task took that raised, where that was measured."""
    _, _, _, _, *profile = pickle.loads(payload)
    return profile[0] if profile else None


def unpack_exception(payload: Any) -> BaseException:
    """The exception, with the remote traceback as its `__cause__` and as a note; RemoteError where it cannot be had."""
    type_name, text, remote_traceback, pickled, *_ = pickle.loads(payload)
    error: BaseException | None = None
    obstacle = "it could not be pickled on the worker"
    if pickled is not None:
        try:
            error = _loads(pickled)
        except BaseException as failure:
            obstacle = f"{type(failure).__name__}: {failure}"
    if not isinstance(error, BaseException):
        error = RemoteError(type_name, text)
        error.add_note(f"The exception's own type cannot be had here ({obstacle}).")
    error.__cause__ = RemoteTraceback(remote_traceback)
    if hasattr(error, "__notes__"):
        error.__notes__ = _without_ours(error.__notes__)
    error.add_note(_NOTE + remote_traceback)
    return error


def _loads(pickled: bytes) -> BaseException:
    from scaler.packing import loads

    rebuilt: BaseException = loads(pickled)
    return rebuilt


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as failure:
        return f"<str() failed with {type(failure).__name__}>"


def _remote_traceback(error: BaseException) -> str:
    """As the interpreter would print it, without the frames of the executor that called the function."""
    import traceback

    try:
        whole = traceback.TracebackException(type(error), error, _users_part(error.__traceback__), compact=True)
        _leave_out_our_notes(whole)
        return "".join(whole.format()).rstrip("\n")
    except Exception as failure:
        return f"{type(error).__name__}: no traceback, formatting failed with {type(failure).__name__}: {failure}"


def _leave_out_our_notes(whole: TracebackException) -> None:
    """And those of its causes, of all of which it tells."""
    parts: list[Any] = [whole]
    while parts:
        part = parts.pop()
        if part.__notes__:
            part.__notes__ = _without_ours(part.__notes__)
        parts += filter(None, (part.__cause__, part.__context__, *(part.exceptions or ())))


def _without_ours(notes: Any) -> Any:
    """Of an exception's notes, which may be anything."""
    if not isinstance(notes, list):
        return notes
    return [note for note in notes if not (isinstance(note, str) and note.startswith(_NOTE))]


def _users_part(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        trace = trace.tb_next
    return trace


def _pickled(error: BaseException) -> bytes | None:
    from scaler.packing import dumps

    try:
        if _has_own_reduce(type(error)):
            return dumps(error)
    except Exception:
        return None
    try:
        return dumps(_Apart.of(error))
    except Exception:
        pass
    try:
        return dumps(_Apart.without_what_cannot_be_pickled(error))
    except Exception:
        return None


def _has_own_reduce(cls: type[BaseException]) -> bool:
    for base in cls.__mro__:
        if _is_builtin(base):
            return False
        if base.__dict__.keys() & {"__reduce__", "__reduce_ex__", "__getnewargs__", "__getnewargs_ex__"}:
            return True
    return False


def _is_builtin(cls: type) -> bool:
    return not cls.__flags__ & (1 << 9)  # Py_TPFLAGS_HEAPTYPE: made by a class statement


class _Apart:
    """An exception as its class, `args` and attributes; unpickles as the exception."""

    def __init__(self, cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> None:
        self.cls, self.args, self.state = cls, args, state

    @classmethod
    def of(cls, error: BaseException) -> _Apart:
        reduced = BaseException.__reduce_ex__(error, 5)
        args = reduced[1] if isinstance(reduced, tuple) and isinstance(reduced[1], tuple) else error.args
        if isinstance(error, BaseExceptionGroup):
            args = (error.message, [_Apart.of(inner) for inner in error.exceptions])
        state = dict(reduced[2]) if len(reduced) > 2 and isinstance(reduced[2], dict) else {}
        state |= getattr(error, "__dict__", {})
        if "__notes__" in state:
            state["__notes__"] = _without_ours(state["__notes__"])
        slots: list[str] = getattr(copyreg, "_slotnames")(type(error))  # noqa: B009 - not in the stubs
        state |= {name: getattr(error, name) for name in slots if hasattr(error, name)}
        return cls(type(error), args, state)

    @classmethod
    def without_what_cannot_be_pickled(cls, error: BaseException) -> _Apart:
        whole = cls.of(error)
        args = tuple(value if _can_be_pickled(value) else repr(value) for value in whole.args)
        state = {name: value for name, value in whole.state.items() if _can_be_pickled(value)}
        left_out = [f"args[{i}]" for i, value in enumerate(whole.args) if value is not args[i]]
        left_out += [name for name in whole.state if name not in state]
        note = f"Could not be pickled on the worker and was left out: {', '.join(left_out)}"
        state["__notes__"] = [*state.get("__notes__", []), note]
        return cls(whole.cls, args, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild_exception, (self.cls, self.args, self.state)


def _can_be_pickled(value: object) -> bool:
    from scaler.packing import dumps

    try:
        dumps(value)
    except Exception:
        return False
    return True


def rebuild_exception(cls: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """By the nearest built-in base's `__new__` and `__init__`: the class's own may want other arguments."""
    base = next(base for base in cls.__mro__ if _is_builtin(base))
    error: BaseException = base.__new__(cls, *args)
    try:
        base.__init__(error, *args)  # type: ignore[misc]  # a built-in base, whose arguments are its own
    except TypeError:
        error.args = args
    for name, value in state.items():
        try:
            setattr(error, name, value)
        except (AttributeError, TypeError):
            continue  # a read-only attribute, which __init__ has set
    return error
