"""Options as plain data. Generated from the models by `python -m scaler.config.generate`; do not edit."""

# fmt: off
# ruff: noqa: E501
from scaler.config.options import Component, Option

SCHEDULER = Component('scheduler', (
    Option('bind_address', 'positional', 'where to listen, like tcp://127.0.0.1:8516', required=True, metavar='ADDRESS', environment=False, older=('scheduler_address',)),
    Option('object_storage_address', 'value', 'where object storage is', short='-osa', default='one of its own is started on the next port', metavar='ADDRESS'),
    Option('advertised_object_storage_address', 'value', 'what clients and workers are told instead of the storage address', short='-aosa', default='the storage address', metavar='ADDRESS'),
    Option('protected', 'flag', "refuse a client's shutdown()", short='-p', metavar='PROTECTED'),
    Option('client_timeout_seconds', 'value', "after this much silence a client's tasks are cancelled", short='-ct', default='60', metavar='SECONDS'),
    Option('worker_timeout_seconds', 'value', "after this much silence a worker's tasks go elsewhere", short='-wt', default='60', metavar='SECONDS'),
    Option('policy_content', 'value', 'how tasks are placed (allocate=even_load or capability) and workers are scaled (scaling=no)', short='-pc', default='allocate=even_load; scaling=no', metavar='POLICY'),
    Option('policy_engine_type', 'value', 'how policy_content is read', short='-et', default='simple', choices=('simple', 'waterfall_v1'), metavar='POLICY_ENGINE_TYPE', hidden=True),
    Option('memory_limit', 'value', 'memory, like 4GiB: before queued tasks fill it, clients are held back', default="half of this machine's", metavar='BYTES'),
    Option('result_budget', 'value', 'undelivered results of one client before its tasks are held back; an eighth of the memory at most', default='256MiB', metavar='BYTES'),
    Option('max_attempts', 'value', 'lost workers after which a task fails', default='3', metavar='N'),
    Option('resync_seconds', 'value', 'how long a new scheduler waits for clients and workers of its predecessor', default='5', metavar='SECONDS'),
    Option('key_file', 'value', 'cluster key or join token to use', default='~/.config/scaler/cluster.key, made on first use', metavar='FILE'),
    Option('insecure', 'flag', 'run without keys and encryption; whoever reaches the port is trusted', metavar='INSECURE'),
    Option('compression', 'value', 'of what goes to other machines', default='auto', choices=('auto', 'off', 'lz4', 'zstd'), metavar='COMPRESSION'),
    Option('logging_level', 'value', 'least level that is logged', short='-ll', default='INFO', choices=('CRITICAL', 'ERROR', 'WARNING', 'INFO', 'DEBUG'), metavar='LEVEL'),
    Option('logging_paths', 'list', "where the log goes; '-' is the standard output", short='-lp', default='/dev/stdout', metavar='PATH'),
    Option('logging_config_file', 'value', "a logging configuration in Python's .conf form; replaces the two above", short='-lcf', metavar='FILE'),
))

OBJECT_STORAGE = Component('object_storage_server', (
    Option('bind_address', 'positional', 'where to listen, like tcp://127.0.0.1:8517', required=True, metavar='ADDRESS', environment=False, older=('object_storage_address',)),
    Option('memory_limit', 'value', 'memory for objects, like 4GiB', default="half of this machine's", metavar='BYTES'),
    Option('directory', 'value', 'folder for objects that memory has no room for', default='none: refuse them', metavar='FOLDER'),
    Option('disk_limit', 'value', 'room for objects in the folder, like 100GiB', default='what the disk has', metavar='BYTES'),
    Option('session_quota', 'value', 'what one client may have here, in memory and folder; larger objects are refused', default='none', metavar='BYTES'),
    Option('write_through', 'value', 'keep every object in the folder, where the next storage finds it; auto: only under scaler FILE', default='auto', choices=('auto', 'on', 'off'), metavar='WRITE_THROUGH'),
    Option('key_file', 'value', 'cluster key or join token to use', default='~/.config/scaler/cluster.key, made on first use', metavar='FILE'),
    Option('insecure', 'flag', 'run without keys and encryption; whoever reaches the port is trusted', metavar='INSECURE'),
    Option('compression', 'value', 'of what goes to other machines', default='auto', choices=('auto', 'off', 'lz4', 'zstd'), metavar='COMPRESSION'),
    Option('logging_level', 'value', 'least level that is logged', short='-ll', default='INFO', choices=('CRITICAL', 'ERROR', 'WARNING', 'INFO', 'DEBUG'), metavar='LEVEL'),
    Option('logging_paths', 'list', "where the log goes; '-' is the standard output", short='-lp', default='/dev/stdout', metavar='PATH'),
    Option('logging_config_file', 'value', "a logging configuration in Python's .conf form; replaces the two above", short='-lcf', metavar='FILE'),
))

CLUSTER = Component('cluster', (
    Option('scheduler_address', 'positional', 'the scheduler, like tcp://127.0.0.1:8516', required=True, metavar='ADDRESS'),
    Option('num_of_workers', 'value', 'workers on this machine', short='-n', default='number of CPUs', metavar='N', older=('max_task_concurrency', '-mtc')),
    Option('object_storage_address', 'value', 'where workers reach object storage', short='-osa', default='as the scheduler says', metavar='ADDRESS'),
    Option('per_worker_capabilities', 'value', 'what each worker offers, like linux,gpu=2', short='-pwc', metavar='NAMES'),
    Option('per_worker_task_queue_size', 'value', 'most tasks sent to one worker ahead of time', short='-wtqs', default='1000', metavar='N'),
    Option('heartbeat_interval_seconds', 'value', 'of the workers and of the manager', short='-his', default='2', metavar='SECONDS'),
    Option('task_timeout_seconds', 'value', 'a task that runs longer is ended; 0 for never', short='-tts', default='0', metavar='SECONDS'),
    Option('death_timeout_seconds', 'value', 'workers without a scheduler for so long end themselves', short='-dts', default='300', metavar='SECONDS'),
    Option('connect_timeout_seconds', 'value', 'how long to wait at the start for the scheduler to be there', default='30', metavar='SECONDS'),
    Option('per_worker_memory_limit', 'value', 'a worker that takes more is ended and its task fails', short='-wml', default='none', metavar='BYTES'),
    Option('garbage_collect_interval_seconds', 'value', 'between collections in the processes that run tasks', short='-gc', default='30', metavar='SECONDS'),
    Option('trim_memory_threshold_bytes', 'value', 'a worker above it gives freed memory back', short='-tm', default='1GiB', metavar='BYTES'),
    Option('tasks_per_process', 'value', 'a process that ran so many tasks is replaced; 0 for never', default='0', metavar='N'),
    Option('preload', 'value', 'pkg.mod:func or pkg.mod:func(literal, …), called once in each process that runs tasks', metavar='CALL'),
    Option('key_file', 'value', 'cluster key or join token to use', default='~/.config/scaler/cluster.key, made on first use', metavar='FILE'),
    Option('insecure', 'flag', 'run without keys and encryption; whoever reaches the port is trusted', metavar='INSECURE'),
    Option('compression', 'value', 'of what goes to other machines', default='auto', choices=('auto', 'off', 'lz4', 'zstd'), metavar='COMPRESSION'),
    Option('logging_level', 'value', 'least level that is logged', short='-ll', default='INFO', choices=('CRITICAL', 'ERROR', 'WARNING', 'INFO', 'DEBUG'), metavar='LEVEL'),
    Option('logging_paths', 'list', "where the log goes; '-' is the standard output", short='-lp', default='/dev/stdout', metavar='PATH'),
    Option('logging_config_file', 'value', "a logging configuration in Python's .conf form; replaces the two above", short='-lcf', metavar='FILE'),
))

WORKER_MANAGER = Component('worker_manager', (
    Option('scheduler_address', 'positional', 'the scheduler, like tcp://127.0.0.1:8516', required=True, metavar='ADDRESS'),
    Option('worker_scheduler_address', 'value', "the scheduler's address as workers reach it", short='-wsa', default='the one above', metavar='ADDRESS', older=('public_scheduler_address', '-psa')),
    Option('worker_manager_id', 'value', 'unique name of this manager', short='-wmi', default="the driver's name", metavar='NAME'),
    Option('max_task_concurrency', 'value', 'most workers at a time', short='-mtc', default='number of CPUs', metavar='N', older=('max_workers', '-mw', 'num_of_workers', '-n')),
    Option('shutdown_timeout_seconds', 'value', 'how long running tasks may take to finish at the end', default='10', metavar='SECONDS'),
    Option('object_storage_address', 'value', 'where workers reach object storage', short='-osa', default='as the scheduler says', metavar='ADDRESS'),
    Option('per_worker_capabilities', 'value', 'what each worker offers, like linux,gpu=2', short='-pwc', metavar='NAMES'),
    Option('per_worker_task_queue_size', 'value', 'most tasks sent to one worker ahead of time', short='-wtqs', default='1000', metavar='N'),
    Option('heartbeat_interval_seconds', 'value', 'of the workers and of the manager', short='-his', default='2', metavar='SECONDS'),
    Option('task_timeout_seconds', 'value', 'a task that runs longer is ended; 0 for never', short='-tts', default='0', metavar='SECONDS'),
    Option('death_timeout_seconds', 'value', 'workers without a scheduler for so long end themselves', short='-dts', default='300', metavar='SECONDS'),
    Option('connect_timeout_seconds', 'value', 'how long to wait at the start for the scheduler to be there', default='30', metavar='SECONDS'),
    Option('per_worker_memory_limit', 'value', 'a worker that takes more is ended and its task fails', short='-wml', default='none', metavar='BYTES'),
    Option('garbage_collect_interval_seconds', 'value', 'between collections in the processes that run tasks', short='-gc', default='30', metavar='SECONDS'),
    Option('trim_memory_threshold_bytes', 'value', 'a worker above it gives freed memory back', short='-tm', default='1GiB', metavar='BYTES'),
    Option('tasks_per_process', 'value', 'a process that ran so many tasks is replaced; 0 for never', default='0', metavar='N'),
    Option('preload', 'value', 'pkg.mod:func or pkg.mod:func(literal, …), called once in each process that runs tasks', metavar='CALL'),
    Option('key_file', 'value', 'cluster key or join token to use', default='~/.config/scaler/cluster.key, made on first use', metavar='FILE'),
    Option('insecure', 'flag', 'run without keys and encryption; whoever reaches the port is trusted', metavar='INSECURE'),
    Option('compression', 'value', 'of what goes to other machines', default='auto', choices=('auto', 'off', 'lz4', 'zstd'), metavar='COMPRESSION'),
    Option('logging_level', 'value', 'least level that is logged', short='-ll', default='INFO', choices=('CRITICAL', 'ERROR', 'WARNING', 'INFO', 'DEBUG'), metavar='LEVEL'),
    Option('logging_paths', 'list', "where the log goes; '-' is the standard output", short='-lp', default='/dev/stdout', metavar='PATH'),
    Option('logging_config_file', 'value', "a logging configuration in Python's .conf form; replaces the two above", short='-lcf', metavar='FILE'),
))

BAREMETAL_NATIVE = Component('worker_manager', (
    Option('mode', 'value', 'fixed: so many workers from the start; dynamic: as many as the scheduler asks for', default='dynamic', choices=('fixed', 'dynamic'), metavar='MODE'),
    Option('worker_type', 'value', "prefix of the workers' names", metavar='NAME'),
))
