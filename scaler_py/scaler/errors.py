"""Everything that `scaler` raises of its own accord. `scaler.utility.exceptions` has the older names."""

from __future__ import annotations

# Not from `typing`; and concurrent.futures brings `logging`: both take longer to import than all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import CancelledError as CancelledError


class ScalerError(Exception):
    """Base of all errors of this package that are not another error's own type."""


class PackingError(ScalerError, TypeError):
    """A value cannot be pickled. The text names the part that cannot, by the path that leads to it.

    index: which of several values (`map`), None for a single one. path: for example `argument 0.conn['x']`.
    """

    def __init__(self, text: str, index: int | None = None, path: str = "") -> None:
        super().__init__(text)
        self.index = index
        self.path = path


class AddressError(ScalerError, ValueError):
    """An address has the wrong form; the text has the right one."""


class KeyRefusedError(ScalerError, ConnectionError):
    """The peer does not accept our key, or we have none; the text says what to set."""


class SchedulerUnreachableError(ScalerError, TimeoutError, ConnectionError):
    """The scheduler did not answer, or was lost and did not come back, for `timeout_seconds`."""


class RefusedError(ScalerError, ConnectionError):
    """The scheduler answered and does not want us (other protocol, malformed message, limit, closing)."""


class SchedulerProtectedError(ScalerError, ValueError):
    """The scheduler does not let clients end it; the client goes on."""


class ClientQuitException(ScalerError, RuntimeError):
    """The client is used after `disconnect()` or `shutdown()`."""


class ClientShutdownException(ScalerError):
    """Set on the futures that were pending when the cluster was shut down."""


class ClientForkedError(ScalerError, RuntimeError):
    """The client, or a future of it, is used in a child process made by `os.fork`."""


class NotSupportedError(ScalerError):
    """This cannot be done here; the text says where it can."""


class TaskError(ScalerError):
    """The system's own verdict on a task (as opposed to an exception that the task raised).

    attempts: how often it started. status: exit code, or minus the signal's number, 0 where there is none.
    nodes: names of the nodes concerned.
    """

    def __init__(self, *arguments: object, attempts: int = 0, status: int = 0, nodes: tuple[str, ...] = ()) -> None:
        super().__init__(*arguments)
        self.attempts = attempts
        self.status = status
        self.nodes = nodes


class WorkerDiedError(TaskError):
    """The nodes that ran the task were lost, as often as a task may be lost."""


class ProcessorDiedError(WorkerDiedError):
    """The process that ran the task ended (exit, signal, out of memory), as often as a task may be tried."""


class TaskTimeoutError(TaskError, TimeoutError):
    """The task ran longer than its `timeout`; its process was ended."""


class TaskMemoryError(TaskError, MemoryError):
    """The task used more memory than a worker may; its process was ended."""


class MissingObjects(TaskError):
    """An object that the task or the caller refers to is not in object storage any more."""


class NodeSetupError(TaskError):
    """The process that would run the task cannot start; its `preload` failed, for example."""


class NestingLimitError(TaskError):
    """Tasks that wait for tasks have all the processes that a node may have for them."""


class TaskRejectedError(TaskError):
    """The submission itself is at fault."""


class ObjectStorageException(TaskError, ConnectionError):
    """Object storage cannot be reached, or did not take the object."""


class DeserializeObjectError(TaskError):
    """A function or an argument could not be unpickled on the worker."""


class RemoteError(ScalerError):
    """A task raised an exception whose type cannot be brought here.

    type_name: module and name of its class. text: what `str` made of it on the worker.
    """

    def __init__(self, type_name: str = "", text: str = "") -> None:
        super().__init__(f"{type_name}: {text}" if text else type_name)
        self.type_name = type_name
        self.text = text

    def __reduce__(self) -> tuple[type[RemoteError], tuple[str, str]]:
        return type(self), (self.type_name, self.text)


TaskExceptionNotSerializableError = RemoteError


class RemoteTraceback(Exception):
    """Stands in for the traceback on the worker: `__cause__` of an exception that a task raised."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def __getattr__(name: str) -> type[Exception]:
    if name == "CancelledError":
        from concurrent.futures import CancelledError

        return CancelledError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
