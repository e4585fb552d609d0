"""The options of the host's components: the one place that says what they are.

`python -m scaler.config.generate` writes `table.py` from them; a test compares.
"""

import re
from typing import ClassVar, Literal

from pydantic import ByteSize, field_validator

from scaler.config.fields import AddressText, Capabilities, OptionModel, Paths, TlsPort, option

# Of one manager.
MOST_WORKERS = 1_000_000
# It stands in tags, in rules of policies, and in names of groups.
_MANAGER_ID = re.compile(r"[^\s/,;#=\x00-\x1f]{1,64}")

Level = Literal["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"]


class LoggingOptions(OptionModel):
    group: ClassVar[str] = "logging"

    logging_level: Level = option("INFO", "least level that is logged", short="-ll", metavar="LEVEL")
    logging_paths: Paths = option(
        ["/dev/stdout"], "where the log goes; '-' is the standard output", short="-lp", metavar="PATH"
    )
    logging_config_file: str | None = option(
        None, "a logging configuration in Python's .conf form; replaces the two above", short="-lcf", metavar="FILE"
    )


class LinkOptions(OptionModel):
    group: ClassVar[str] = "keys and network"

    key_file: str | None = option(
        None,
        "cluster key or join token to use",
        metavar="FILE",
        default_text="~/.config/scaler/cluster.key, made on first use",
    )
    insecure: bool = option(False, "run without keys and encryption; whoever reaches the port is trusted")
    compression: Literal["auto", "off", "lz4", "zstd"] = option("auto", "of what goes to other machines")


class SchedulerOptions(LinkOptions, LoggingOptions):
    group: ClassVar[str] = "scheduler"

    bind_address: AddressText = option(
        help="where to listen, like tcp://127.0.0.1:8516",
        positional=True,
        metavar="ADDRESS",
        variable="SCALER_SCHEDULER_BIND_ADDRESS",
        older=("scheduler_address",),
    )
    object_storage_address: AddressText | None = option(
        None,
        "where object storage is",
        short="-osa",
        metavar="ADDRESS",
        default_text="one of its own is started on the next port",
    )
    advertised_object_storage_address: AddressText | None = option(
        None,
        "what clients and workers are told instead of the storage address",
        short="-aosa",
        metavar="ADDRESS",
        default_text="the storage address",
    )
    object_storage_tls_port: TlsPort = option(
        "auto",
        "a port for objects of other machines, over TLS, of the storage that it starts; off: over CURVE like the rest",
        metavar="PORT",
        default_text="auto: any free one",
    )
    protected: bool = option(False, "refuse a client's shutdown()", short="-p")
    client_timeout_seconds: float = option(
        60.0, "after this much silence a client's tasks are cancelled", short="-ct", metavar="SECONDS", gt=0
    )
    worker_timeout_seconds: float = option(
        60.0, "after this much silence a worker's tasks go elsewhere", short="-wt", metavar="SECONDS", gt=0
    )
    policy_content: str = option(
        "allocate=even_load; scaling=no",
        "how tasks are placed (allocate=even_load or capability) and workers are scaled (scaling=no, vanilla, "
        "fixed_elastic, capability or waterfall_v1)",
        short="-pc",
        metavar="POLICY",
    )
    policy_engine_type: Literal["simple", "waterfall_v1"] = option(
        "simple", "waterfall_v1: policy_content is its rules, priority,worker_manager_id[,cap] each", short="-et"
    )
    scale_down_cooldown_seconds: float = option(
        30.0,
        "workers must have been too many for so long before they go; 0: at once",
        short="-sdc",
        metavar="SECONDS",
        ge=0,
    )
    memory_limit: ByteSize = option(
        ByteSize(0),
        "memory, like 4GiB: before queued tasks fill it, clients are held back",
        metavar="BYTES",
        default_text="half of this machine's",
        ge=0,
    )
    result_budget: ByteSize = option(
        ByteSize(256 << 20),
        "undelivered results of one client before its tasks are held back; an eighth of the memory at most",
        metavar="BYTES",
        gt=0,
    )
    max_attempts: int = option(3, "lost workers after which a task fails", metavar="N", ge=1)
    resync_seconds: float = option(
        5.0, "how long a new scheduler waits for clients and workers of its predecessor", metavar="SECONDS", ge=0
    )


class ObjectStorageOptions(LinkOptions, LoggingOptions):
    group: ClassVar[str] = "object storage"

    bind_address: AddressText = option(
        help="where to listen, like tcp://127.0.0.1:8517",
        positional=True,
        metavar="ADDRESS",
        variable="SCALER_OBJECT_STORAGE_SERVER_BIND_ADDRESS",
        older=("object_storage_address",),
    )
    memory_limit: ByteSize = option(
        ByteSize(0),
        "memory for objects, like 4GiB",
        metavar="BYTES",
        default_text="half of this machine's",
        ge=0,
    )
    directory: str | None = option(
        None, "folder for objects that memory has no room for", metavar="FOLDER", default_text="none: refuse them"
    )
    disk_limit: ByteSize = option(
        ByteSize(0),
        "room for objects in the folder, like 100GiB",
        metavar="BYTES",
        default_text="what the disk has",
        ge=0,
    )
    session_quota: ByteSize = option(
        ByteSize(0),
        "what one client may have here, in memory and folder; larger objects are refused",
        metavar="BYTES",
        default_text="none",
        ge=0,
    )
    write_through: Literal["auto", "on", "off"] = option(
        "auto",
        "keep every object in the folder, where the next storage finds it; auto: only under scaler FILE",
    )
    tls_port: TlsPort = option(
        "auto",
        "a port for objects of other machines, over TLS; off: over CURVE like the rest",
        metavar="PORT",
        default_text="auto: any free one",
    )


class WorkerOptions(LinkOptions, LoggingOptions):
    """What an agent and its executors need to know, whoever starts them."""

    group: ClassVar[str] = "workers"

    object_storage_address: AddressText | None = option(
        None,
        "where workers reach object storage",
        short="-osa",
        metavar="ADDRESS",
        default_text="as the scheduler says",
    )
    per_worker_capabilities: Capabilities = option(
        [], "what each worker offers, like linux,gpu=2", short="-pwc", metavar="NAMES"
    )
    per_worker_task_queue_size: int = option(
        1000,
        "most tasks sent to one worker ahead of time; of those of a microsecond sixteen count as one",
        short="-wtqs",
        metavar="N",
        gt=0,
    )
    heartbeat_interval_seconds: float = option(
        2.0, "of the workers and of the manager", short="-his", metavar="SECONDS", gt=0
    )
    task_timeout_seconds: float = option(
        0.0, "a task that runs longer is ended; 0 for never", short="-tts", metavar="SECONDS", ge=0, default_text="0"
    )
    death_timeout_seconds: float = option(
        300.0, "workers without a scheduler for so long end themselves", short="-dts", metavar="SECONDS", gt=0
    )
    connect_timeout_seconds: float = option(
        30.0, "how long to wait at the start for the scheduler to be there", metavar="SECONDS", ge=0
    )
    per_worker_memory_limit: ByteSize = option(
        ByteSize(0),
        "a worker that takes more is ended and its task fails",
        short="-wml",
        metavar="BYTES",
        default_text="none",
        ge=0,
    )
    garbage_collect_interval_seconds: float = option(
        30.0, "between collections in the processes that run tasks", short="-gc", metavar="SECONDS", gt=0
    )
    trim_memory_threshold_bytes: ByteSize = option(
        ByteSize(1 << 30), "a worker above it gives freed memory back", short="-tm", metavar="BYTES", ge=0
    )
    tasks_per_process: int = option(
        0, "a process that ran so many tasks is replaced; 0 for never", metavar="N", ge=0, default_text="0"
    )
    preload: str | None = option(
        None, "pkg.mod:func or pkg.mod:func(literal, …), called once in each process that runs tasks", metavar="CALL"
    )


class WorkerManagerOptions(WorkerOptions):
    group: ClassVar[str] = "worker manager"

    scheduler_address: AddressText = option(
        help="the scheduler, like tcp://127.0.0.1:8516", positional=True, metavar="ADDRESS"
    )
    worker_scheduler_address: AddressText | None = option(
        None,
        "the scheduler's address as workers reach it",
        short="-wsa",
        metavar="ADDRESS",
        default_text="the one above",
        older=("public_scheduler_address", "-psa"),
    )
    worker_manager_id: str | None = option(
        None, "unique name of this manager", short="-wmi", metavar="NAME", default_text="the driver's name"
    )
    max_task_concurrency: int | None = option(
        None,
        "most workers at a time; -1 for the driver's own number",
        short="-mtc",
        metavar="N",
        default_text="number of CPUs, where the driver knows no better",
        older=("max_workers", "-mw", "num_of_workers", "-n"),
    )
    state_directory: str | None = option(
        None,
        "folder for what this manager has asked for, and must find again after a crash",
        metavar="FOLDER",
        default_text="~/.local/state/scaler/managers, and in there by cluster and name",
    )
    scale_down_cooldown_seconds: float | None = option(
        None,
        "this manager's workers must have been too many for so long before they go; 0: at once",
        short="-sdc",
        metavar="SECONDS",
        default_text="as the scheduler says",
        ge=0,
    )
    shutdown_timeout_seconds: float | None = option(
        None,
        "how long the end may take; so long may running tasks go on",
        metavar="SECONDS",
        ge=0,
        default_text="10, in a cloud 120",
    )

    @field_validator("max_task_concurrency")
    @classmethod
    def _some(cls, value: int | None) -> int | None:
        """None for -1."""
        if value == -1 or value is None:
            return None
        if value < 1:
            raise ValueError(f"{value} workers will not do.\nwrite 1 or more, or -1 for the driver's own number")
        if value > MOST_WORKERS:
            raise ValueError(f"{value} workers are too many.\n{MOST_WORKERS} at most")
        return value

    @field_validator("worker_manager_id")
    @classmethod
    def _name(cls, value: str | None) -> str | None:
        if value is not None and not _MANAGER_ID.fullmatch(value):
            raise ValueError(
                f"{value!r} is no name for a worker manager.\nwrite 1 to 64 characters, without blanks and / , ; # ="
            )
        return value


class ClusterOptions(WorkerOptions):
    group: ClassVar[str] = "cluster"

    scheduler_address: AddressText = option(
        help="the scheduler, like tcp://127.0.0.1:8516", positional=True, metavar="ADDRESS"
    )
    num_of_workers: int | None = option(
        None,
        "workers on this machine",
        short="-n",
        metavar="N",
        default_text="number of CPUs",
        gt=0,
        older=("max_task_concurrency", "-mtc"),
    )
    drain_limit_seconds: float = option(
        0.0,
        "after SIGTERM running tasks may go on for so long, then they run elsewhere; 0: until they end",
        metavar="SECONDS",
        ge=0,
        default_text="0",
    )
    # Of an agent that a driver starts by this command: `Launch.command`.
    worker_manager_id: str = option("", "the manager that starts it", hidden=True, variable="SCALER_CLUSTER_MANAGER_ID")
    worker_group_id: str = option("", "the worker group that it is", hidden=True, variable="SCALER_CLUSTER_GROUP_ID")
    worker_name: str = option("", "its name", hidden=True, variable="SCALER_CLUSTER_NAME")


class PingOptions(LinkOptions):
    group: ClassVar[str] = "ping"

    scheduler_address: AddressText = option(
        help="the scheduler, like tcp://127.0.0.1:8516", positional=True, metavar="ADDRESS"
    )
    count: int = option(
        1000, "round trips, besides those to warm up", short="-n", metavar="N", variable="SCALER_PING_COUNT", gt=0
    )
    size: ByteSize = option(
        ByteSize(0), "of each argument, and of each result", metavar="BYTES", variable="SCALER_PING_SIZE", ge=0,
        default_text="0",
    )  # fmt: skip
    timeout: float = option(
        60.0,
        "how long to wait for the scheduler, for a worker that starts, and for each round trip",
        metavar="SECONDS",
        variable="SCALER_PING_TIMEOUT",
        gt=0,
    )
