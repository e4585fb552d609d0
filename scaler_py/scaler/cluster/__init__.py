"""Clusters on this machine that a program starts for itself: scheduler, workers and object storage as its children.

Scheduler and node share a process and a loop there; object storage has a loop of its own beside it.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from scaler.config.policy import Policy, parse_policy
from scaler.config.retired import answer, tell_once
from scaler.errors import NotSupportedError
from scaler.process import Part, path_for_parts, start_part
from scaler.transport.runtime import runtime_folder

_PART = "scaler.scheduler"
# Set in the environment of executors and of what tasks start.
IN_TASK = "SCALER_IN_TASK"


class _Embedded:
    """The cluster of `Client()`s without an address: one a process, started when the first of them asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._part: Part | None = None

    def address(self) -> str:
        with self._lock:
            if self._part is None or not self._part.alive:
                self._end()
                self._part = start_part(_PART, _settings(_free_path("embedded"), node={"executor": _executor()}))
            address: str = self._part.told["address"]
            return address

    def end(self) -> None:
        with self._lock:
            self._end()

    def _end(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.end()

    def forget(self) -> None:
        """In a forked child: the cluster is the parent's, and so may be the lock."""
        self._lock = threading.Lock()
        self._part = None


_embedded = _Embedded()
atexit.register(_embedded.end)
os.register_at_fork(after_in_child=_embedded.forget)


def embedded_address() -> str:
    """Address of this process's own cluster, started at the first call: as many workers as CPUs that we may use.

    It ends with the process. Safe to call from several threads. PartStartError and ConfigurationError when it cannot
    start; NotSupportedError inside a task.
    """
    if os.environ.get(IN_TASK):
        raise NotSupportedError(
            "A task cannot use Client() without an address yet: give the scheduler's address, or submit from outside."
        )
    return _embedded.address()


class SchedulerClusterCombo:
    """A scheduler, `n_workers` workers and object storage on this machine, until `shutdown` or the end of the process.

    address: None for a local socket of its own; `tcp://host:port` (port 0: a free one) to let other machines in, which
    then need the key (`scaler_keys export`). object_storage_address: a server that runs already; None starts one.
    per_worker_capabilities: name to amount, -1 without one. protected: clients cannot end it by `Client.shutdown`.
    Times in seconds; 0 stands for none. Parameters that mean nothing here are accepted, and a warning says what
    replaced them.

    ConfigurationError (a wrong address, a port or path in use, no key) and PartStartError when it cannot start.
    """

    def __init__(
        self,
        n_workers: int,
        address: str | None = None,
        object_storage_address: str | None = None,
        monitor_address: str | None = None,
        per_worker_capabilities: Mapping[str, int] | None = None,
        worker_io_threads: int = 1,
        scheduler_io_threads: int = 1,
        max_number_of_tasks_waiting: int = -1,
        heartbeat_interval_seconds: float = 2,
        client_timeout_seconds: float = 60,
        worker_timeout_seconds: float = 60,
        object_retention_seconds: float = 60,
        task_timeout_seconds: float = 0,
        death_timeout_seconds: float = 300,
        load_balance_seconds: float = 1,
        load_balance_trigger_times: int = 2,
        garbage_collect_interval_seconds: float = 30,
        trim_memory_threshold_bytes: int = 1 << 30,
        per_worker_task_queue_size: int = 1000,
        hard_processor_suspend: bool = False,
        protected: bool = True,
        scaler_policy: Any = None,
        event_loop: str = "builtin",
        logging_paths: Sequence[str] = ("/dev/stderr",),
        logging_level: str = "WARNING",
        logging_config_file: str | None = None,
        worker_manager_id: str = "combo",
        security_config: Any = None,
        *,
        per_worker_memory_limit_bytes: int = 0,
        tasks_per_process: int = 0,
        preload: str | None = None,
        insecure: bool = False,
        key_file: str | None = None,
    ) -> None:
        """scaler_policy: text like `allocate=capability; scaling=vanilla`, or a PolicyConfig."""
        if n_workers < 1:
            raise ValueError(f"n_workers is {n_workers}; a cluster has at least one worker")
        _answer_retired(
            monitor_address=(monitor_address, None),
            worker_io_threads=(worker_io_threads, 1),
            scheduler_io_threads=(scheduler_io_threads, 1),
            max_number_of_tasks_waiting=(max_number_of_tasks_waiting, -1),
            object_retention_seconds=(object_retention_seconds, 60),
            load_balance_seconds=(load_balance_seconds, 1),
            load_balance_trigger_times=(load_balance_trigger_times, 2),
            hard_processor_suspend=(hard_processor_suspend, False),
            event_loop=(event_loop, "builtin"),
            security_config=(security_config, None),
        )
        node = {
            "slots": n_workers,
            "name": worker_manager_id,
            "capabilities": dict(per_worker_capabilities or {}),
            "queue_size": per_worker_task_queue_size,
            "memory_limit": per_worker_memory_limit_bytes,
            "task_timeout": task_timeout_seconds,
            "death_timeout": death_timeout_seconds,
            "recycle": tasks_per_process,
            "heartbeat": heartbeat_interval_seconds,
            "executor": _executor(
                collect_interval=garbage_collect_interval_seconds,
                trim_threshold=trim_memory_threshold_bytes,
                preload=preload or "",
            ),
        }
        settings = _settings(
            _free_path("combo") if address is None else address,
            node=node,
            object_storage=object_storage_address or "",
            client_timeout=client_timeout_seconds,
            worker_timeout=worker_timeout_seconds,
            protected=protected,
            **_policy(scaler_policy).settings(),
            insecure=insecure,
            key_file=key_file or "",
            # A fixed address may have had another scheduler before us, whose clients come back; a free port has not.
            resync=0.0 if address is None or str(address).endswith(":0") else 1.0,
            logging={"level": logging_level, "paths": list(logging_paths), "config_file": logging_config_file},
        )
        self._part = start_part(_PART, settings)
        self._finalizer = weakref.finalize(self, Part.end, self._part)

    def get_address(self) -> str:
        """Where clients connect."""
        address: str = self._part.told["address"]
        return address

    def shutdown(self) -> None:
        """Ends all of it and waits until it has ended. May be repeated."""
        self._finalizer()

    def __enter__(self) -> SchedulerClusterCombo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()


def _settings(address: str, **more: Any) -> dict[str, Any]:
    """Settings of `python -m scaler.scheduler`."""
    return {"address": address, "resync": 0.0, **more}


def _executor(**more: Any) -> dict[str, Any]:
    # Modules that this program imports from beside its script must be found there too.
    return {"path": path_for_parts(), **more}


def _free_path(name: str) -> str:
    return f"ipc://{runtime_folder()}/{name}-{os.getpid()}-{os.urandom(4).hex()}.sock"


def _policy(policy: Any) -> Policy:
    """Of a text, or of something like a PolicyConfig."""
    if policy is None:
        return Policy()
    if isinstance(policy, str):
        return parse_policy("simple", policy, "scaler_policy")
    return parse_policy(policy.policy_engine_type, policy.policy_content, "scaler_policy")


def _answer_retired(**given: tuple[Any, Any]) -> None:
    """given: name to (value, default). One line for each that was set and does nothing."""
    for name, (value, default) in given.items():
        if value != default:
            tell_once(answer(name))
