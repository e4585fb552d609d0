"""Options as plain data. Generated from the models by `python -m scaler.config.generate`; do not edit."""

# fmt: off
# ruff: noqa: E501
from scaler.config.options import Component, Option

SCHEDULER = Component('scheduler', (
    Option('bind_address', 'positional', 'where to listen, like tcp://127.0.0.1:8516', required=True, metavar='ADDRESS', variable='SCALER_SCHEDULER_BIND_ADDRESS', older=('scheduler_address',), group='scheduler'),
    Option('object_storage_address', 'value', 'where object storage is', short='-osa', default='one of its own is started on the next port', metavar='ADDRESS', group='scheduler'),
    Option('advertised_object_storage_address', 'value', 'what clients and workers are told instead of the storage address', short='-aosa', default='the storage address', metavar='ADDRESS', group='scheduler'),
    Option('object_storage_tls_port', 'value', 'a port for objects of other machines, over TLS, of the storage that it starts; off: over CURVE like the rest', default='auto: any free one', metavar='PORT', group='scheduler'),
    Option('protected', 'flag', "refuse a client's shutdown()", short='-p', metavar='PROTECTED', group='scheduler'),
    Option('client_timeout_seconds', 'value', "after this much silence a client's tasks are cancelled", short='-ct', default='60', metavar='SECONDS', group='scheduler'),
    Option('worker_timeout_seconds', 'value', "after this much silence a worker's tasks go elsewhere", short='-wt', default='60', metavar='SECONDS', group='scheduler'),
    Option('policy_content', 'value', 'how tasks are placed (allocate=even_load or capability) and workers are scaled (scaling=no, vanilla, fixed_elastic, capability or waterfall_v1)', short='-pc', default='allocate=even_load; scaling=no', metavar='POLICY', group='scheduler'),
    Option('policy_engine_type', 'value', 'waterfall_v1: policy_content is its rules, priority,worker_manager_id[,cap] each', short='-et', default='simple', choices=('simple', 'waterfall_v1'), metavar='POLICY_ENGINE_TYPE', group='scheduler'),
    Option('scale_down_cooldown_seconds', 'value', 'workers must have been too many for so long before they go; 0: at once', short='-sdc', default='30', metavar='SECONDS', group='scheduler'),
    Option('memory_limit', 'value', 'memory, like 4GiB: before queued tasks fill it, clients are held back', default="half of this machine's", metavar='BYTES', group='scheduler'),
    Option('result_budget', 'value', 'undelivered results of one client before its tasks are held back; an eighth of the memory at most', default='256MiB', metavar='BYTES', group='scheduler'),
    Option('max_attempts', 'value', 'lost workers after which a task fails', default='3', metavar='N', group='scheduler'),
    Option('resync_seconds', 'value', 'how long a new scheduler waits for clients and workers of its predecessor', default='5', metavar='SECONDS', group='scheduler'),
    Option('key_file', 'value', 'cluster key or join token to use', default='~/.config/scaler/cluster.key, made on first use', metavar='FILE', group='keys and network'),
    Option('insecure', 'flag', 'run without keys and encryption; whoever reaches the port is trusted', metavar='INSECURE', group='keys and network'),
    Option('compression', 'value', 'of what goes to other machines', default='auto', choices=('auto', 'off', 'lz4', 'zstd'), metavar='COMPRESSION', group='keys and network'),
    Option('logging_level', 'value', 'least level that is logged', short='-ll', default='INFO', choices=('CRITICAL', 'ERROR', 'WARNING', 'INFO', 'DEBUG'), metavar='LEVEL', group='logging'),
    Option('logging_paths', 'list', "where the log goes; '-' is the standard output", short='-lp', default='/dev/stdout', metavar='PATH', group='logging'),
    Option('logging_config_file', 'value', "a logging configuration in Python's .conf form; replaces the two above", short='-lcf', metavar='FILE', group='logging'),
))

OBJECT_STORAGE = Component('object_storage_server', (
    Option('bind_address', 'positional', 'where to listen, like tcp://127.0.0.1:8517', required=True, metavar='ADDRESS', variable='SCALER_OBJECT_STORAGE_SERVER_BIND_ADDRESS', older=('object_storage_address',), group='object storage'),
    Option('memory_limit', 'value', 'memory for objects, like 4GiB', default="half of this machine's", metavar='BYTES', group='object storage'),
    Option('directory', 'value', 'folder for objects that memory has no room for', default='none: refuse them', metavar='FOLDER', group='object storage'),
    Option('disk_limit', 'value', 'room for objects in the folder, like 100GiB', default='what the disk has', metavar='BYTES', group='object storage'),
    Option('session_quota', 'value', 'what one client may have here, in memory and folder; larger objects are refused', default='none', metavar='BYTES', group='object storage'),
    Option('write_through', 'value', 'keep every object in the folder, where the next storage finds it; auto: only under scaler FILE', default='auto', choices=('auto', 'on', 'off'), metavar='WRITE_THROUGH', group='object storage'),
    Option('tls_port', 'value', 'a port for objects of other machines, over TLS; off: over CURVE like the rest', default='auto: any free one', metavar='PORT', group='object storage'),
    Option('key_file', 'value', 'cluster key or join token to use', default='~/.config/scaler/cluster.key, made on first use', metavar='FILE', group='keys and network'),
    Option('insecure', 'flag', 'run without keys and encryption; whoever reaches the port is trusted', metavar='INSECURE', group='keys and network'),
    Option('compression', 'value', 'of what goes to other machines', default='auto', choices=('auto', 'off', 'lz4', 'zstd'), metavar='COMPRESSION', group='keys and network'),
    Option('logging_level', 'value', 'least level that is logged', short='-ll', default='INFO', choices=('CRITICAL', 'ERROR', 'WARNING', 'INFO', 'DEBUG'), metavar='LEVEL', group='logging'),
    Option('logging_paths', 'list', "where the log goes; '-' is the standard output", short='-lp', default='/dev/stdout', metavar='PATH', group='logging'),
    Option('logging_config_file', 'value', "a logging configuration in Python's .conf form; replaces the two above", short='-lcf', metavar='FILE', group='logging'),
))

CLUSTER = Component('cluster', (
    Option('scheduler_address', 'positional', 'the scheduler, like tcp://127.0.0.1:8516', required=True, metavar='ADDRESS', group='cluster'),
    Option('num_of_workers', 'value', 'workers on this machine', short='-n', default='number of CPUs', metavar='N', older=('max_task_concurrency', '-mtc'), group='cluster'),
    Option('drain_limit_seconds', 'value', 'after SIGTERM running tasks may go on for so long, then they run elsewhere; 0: until they end', default='0', metavar='SECONDS', group='cluster'),
    Option('worker_manager_id', 'value', 'the manager that starts it', metavar='WORKER_MANAGER_ID', variable='SCALER_CLUSTER_MANAGER_ID', hidden=True, group='cluster'),
    Option('worker_group_id', 'value', 'the worker group that it is', metavar='WORKER_GROUP_ID', variable='SCALER_CLUSTER_GROUP_ID', hidden=True, group='cluster'),
    Option('worker_name', 'value', 'its name', metavar='WORKER_NAME', variable='SCALER_CLUSTER_NAME', hidden=True, group='cluster'),
    Option('object_storage_address', 'value', 'where workers reach object storage', short='-osa', default='as the scheduler says', metavar='ADDRESS', group='workers'),
    Option('per_worker_capabilities', 'value', 'what each worker offers, like linux,gpu=2', short='-pwc', metavar='NAMES', group='workers'),
    Option('per_worker_task_queue_size', 'value', 'most tasks sent to one worker ahead of time; of those of a microsecond sixteen count as one', short='-wtqs', default='1000', metavar='N', group='workers'),
    Option('heartbeat_interval_seconds', 'value', 'of the workers and of the manager', short='-his', default='2', metavar='SECONDS', group='workers'),
    Option('task_timeout_seconds', 'value', 'a task that runs longer is ended; 0 for never', short='-tts', default='0', metavar='SECONDS', group='workers'),
    Option('death_timeout_seconds', 'value', 'workers without a scheduler for so long end themselves', short='-dts', default='300', metavar='SECONDS', group='workers'),
    Option('connect_timeout_seconds', 'value', 'how long to wait at the start for the scheduler to be there', default='30', metavar='SECONDS', group='workers'),
    Option('per_worker_memory_limit', 'value', 'a worker that takes more is ended and its task fails', short='-wml', default='none', metavar='BYTES', group='workers'),
    Option('garbage_collect_interval_seconds', 'value', 'between collections in the processes that run tasks', short='-gc', default='30', metavar='SECONDS', group='workers'),
    Option('trim_memory_threshold_bytes', 'value', 'a worker above it gives freed memory back', short='-tm', default='1GiB', metavar='BYTES', group='workers'),
    Option('tasks_per_process', 'value', 'a process that ran so many tasks is replaced; 0 for never', default='0', metavar='N', group='workers'),
    Option('preload', 'value', 'pkg.mod:func or pkg.mod:func(literal, …), called once in each process that runs tasks', metavar='CALL', group='workers'),
    Option('key_file', 'value', 'cluster key or join token to use', default='~/.config/scaler/cluster.key, made on first use', metavar='FILE', group='keys and network'),
    Option('insecure', 'flag', 'run without keys and encryption; whoever reaches the port is trusted', metavar='INSECURE', group='keys and network'),
    Option('compression', 'value', 'of what goes to other machines', default='auto', choices=('auto', 'off', 'lz4', 'zstd'), metavar='COMPRESSION', group='keys and network'),
    Option('logging_level', 'value', 'least level that is logged', short='-ll', default='INFO', choices=('CRITICAL', 'ERROR', 'WARNING', 'INFO', 'DEBUG'), metavar='LEVEL', group='logging'),
    Option('logging_paths', 'list', "where the log goes; '-' is the standard output", short='-lp', default='/dev/stdout', metavar='PATH', group='logging'),
    Option('logging_config_file', 'value', "a logging configuration in Python's .conf form; replaces the two above", short='-lcf', metavar='FILE', group='logging'),
))

PING = Component('ping', (
    Option('scheduler_address', 'positional', 'the scheduler, like tcp://127.0.0.1:8516', required=True, metavar='ADDRESS', group='ping'),
    Option('count', 'value', 'round trips, besides those to warm up', short='-n', default='1000', metavar='N', variable='SCALER_PING_COUNT', group='ping'),
    Option('size', 'value', 'of each argument, and of each result', default='0', metavar='BYTES', variable='SCALER_PING_SIZE', group='ping'),
    Option('timeout', 'value', 'how long to wait for the scheduler, for a worker that starts, and for each round trip', default='60', metavar='SECONDS', variable='SCALER_PING_TIMEOUT', group='ping'),
    Option('key_file', 'value', 'cluster key or join token to use', default='~/.config/scaler/cluster.key, made on first use', metavar='FILE', group='keys and network'),
    Option('insecure', 'flag', 'run without keys and encryption; whoever reaches the port is trusted', metavar='INSECURE', group='keys and network'),
    Option('compression', 'value', 'of what goes to other machines', default='auto', choices=('auto', 'off', 'lz4', 'zstd'), metavar='COMPRESSION', group='keys and network'),
))

WORKER_MANAGER = Component('worker_manager', (
    Option('scheduler_address', 'positional', 'the scheduler, like tcp://127.0.0.1:8516', required=True, metavar='ADDRESS', group='worker manager'),
    Option('worker_scheduler_address', 'value', "the scheduler's address as workers reach it", short='-wsa', default='the one above', metavar='ADDRESS', older=('public_scheduler_address', '-psa'), group='worker manager'),
    Option('worker_manager_id', 'value', 'unique name of this manager', short='-wmi', default="the driver's name", metavar='NAME', group='worker manager'),
    Option('max_task_concurrency', 'value', "most workers at a time; -1 for the driver's own number", short='-mtc', default='number of CPUs, where the driver knows no better', metavar='N', older=('max_workers', '-mw', 'num_of_workers', '-n'), group='worker manager'),
    Option('state_directory', 'value', 'folder for what this manager has asked for, and must find again after a crash', default='~/.local/state/scaler/managers, and in there by cluster and name', metavar='FOLDER', group='worker manager'),
    Option('scale_down_cooldown_seconds', 'value', "this manager's workers must have been too many for so long before they go; 0: at once", short='-sdc', default='as the scheduler says', metavar='SECONDS', group='worker manager'),
    Option('shutdown_timeout_seconds', 'value', 'how long the end may take; so long may running tasks go on', default='10, in a cloud 120', metavar='SECONDS', group='worker manager'),
    Option('object_storage_address', 'value', 'where workers reach object storage', short='-osa', default='as the scheduler says', metavar='ADDRESS', group='workers'),
    Option('per_worker_capabilities', 'value', 'what each worker offers, like linux,gpu=2', short='-pwc', metavar='NAMES', group='workers'),
    Option('per_worker_task_queue_size', 'value', 'most tasks sent to one worker ahead of time; of those of a microsecond sixteen count as one', short='-wtqs', default='1000', metavar='N', group='workers'),
    Option('heartbeat_interval_seconds', 'value', 'of the workers and of the manager', short='-his', default='2', metavar='SECONDS', group='workers'),
    Option('task_timeout_seconds', 'value', 'a task that runs longer is ended; 0 for never', short='-tts', default='0', metavar='SECONDS', group='workers'),
    Option('death_timeout_seconds', 'value', 'workers without a scheduler for so long end themselves', short='-dts', default='300', metavar='SECONDS', group='workers'),
    Option('connect_timeout_seconds', 'value', 'how long to wait at the start for the scheduler to be there', default='30', metavar='SECONDS', group='workers'),
    Option('per_worker_memory_limit', 'value', 'a worker that takes more is ended and its task fails', short='-wml', default='none', metavar='BYTES', group='workers'),
    Option('garbage_collect_interval_seconds', 'value', 'between collections in the processes that run tasks', short='-gc', default='30', metavar='SECONDS', group='workers'),
    Option('trim_memory_threshold_bytes', 'value', 'a worker above it gives freed memory back', short='-tm', default='1GiB', metavar='BYTES', group='workers'),
    Option('tasks_per_process', 'value', 'a process that ran so many tasks is replaced; 0 for never', default='0', metavar='N', group='workers'),
    Option('preload', 'value', 'pkg.mod:func or pkg.mod:func(literal, …), called once in each process that runs tasks', metavar='CALL', group='workers'),
    Option('key_file', 'value', 'cluster key or join token to use', default='~/.config/scaler/cluster.key, made on first use', metavar='FILE', group='keys and network'),
    Option('insecure', 'flag', 'run without keys and encryption; whoever reaches the port is trusted', metavar='INSECURE', group='keys and network'),
    Option('compression', 'value', 'of what goes to other machines', default='auto', choices=('auto', 'off', 'lz4', 'zstd'), metavar='COMPRESSION', group='keys and network'),
    Option('logging_level', 'value', 'least level that is logged', short='-ll', default='INFO', choices=('CRITICAL', 'ERROR', 'WARNING', 'INFO', 'DEBUG'), metavar='LEVEL', group='logging'),
    Option('logging_paths', 'list', "where the log goes; '-' is the standard output", short='-lp', default='/dev/stdout', metavar='PATH', group='logging'),
    Option('logging_config_file', 'value', "a logging configuration in Python's .conf form; replaces the two above", short='-lcf', metavar='FILE', group='logging'),
))

BAREMETAL_NATIVE = Component('worker_manager', (
    Option('mode', 'value', 'dynamic: a process a worker, as many as tasks need; fixed: so many workers from the start, in one process', default='dynamic', choices=('fixed', 'dynamic'), metavar='MODE', group='driver baremetal_native'),
    Option('worker_type', 'value', "prefix of the workers' names", metavar='NAME', group='driver baremetal_native'),
))
