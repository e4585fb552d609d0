"""Options: one source, four places to give them, and errors that name the place."""

from pathlib import Path

import pytest
from scaler.config import generate, load, models, retired
from scaler.config.command_line import CommandLine, Typed
from scaler.config.table import BAREMETAL_NATIVE, CLUSTER, OBJECT_STORAGE, SCHEDULER, WORKER_MANAGER
from scaler.config.usage import UsageError
from scaler.drivers.baremetal_native import BaremetalOptions
from scaler.managers import tables
from scaler.transport.errors import ConfigurationError

MANAGER = [BAREMETAL_NATIVE, WORKER_MANAGER]
SYMPHONY = '[[worker_manager]]\ntype = "symphony"\n'


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for component in (SCHEDULER, OBJECT_STORAGE, CLUSTER, *MANAGER):
        for option in component.options:
            monkeypatch.delenv(option.variable, raising=False)


def file(folder: Path, text: str) -> str:
    path = folder / "config.toml"
    path.write_text(text)
    return str(path)


def scheduler(*arguments: str) -> models.SchedulerOptions:
    typed = CommandLine("scaler_scheduler", "", [SCHEDULER]).read(arguments)
    return load.validate(models.SchedulerOptions, load.gather(typed, [SCHEDULER]), [SCHEDULER])


def manager(*arguments: str) -> tuple[models.WorkerManagerOptions, BaremetalOptions]:
    typed = CommandLine("scaler_worker_manager", "", MANAGER).read(arguments)
    given = tables.gather(typed, "baremetal_native", MANAGER)
    return (
        load.validate(models.WorkerManagerOptions, given, MANAGER),
        load.validate(BaremetalOptions, given, MANAGER),
    )


def test_table_is_what_the_models_say() -> None:
    assert generate.path().read_text() == generate.source(), "run: python -m scaler.config.generate"


@pytest.mark.parametrize("component", generate.components().values(), ids=generate.components())
def test_every_option_can_be_typed_and_has_help(component: object) -> None:
    options = component.options  # type: ignore[attr-defined]
    flags = [each.flag for each in options] + [each.short for each in options if each.short]
    assert len(flags) == len(set(flags))
    assert all(each.help for each in options)
    assert not {each.name for each in options} & set(retired.BY_NAME)


def test_defaults_are_those_of_the_interface() -> None:
    options = scheduler("tcp://127.0.0.1:8516")
    assert (options.client_timeout_seconds, options.worker_timeout_seconds, options.protected) == (60, 60, False)
    common, own = manager("tcp://127.0.0.1:8516")
    assert (common.per_worker_task_queue_size, common.death_timeout_seconds, common.task_timeout_seconds) == (
        1000,
        300,
        0,
    )
    assert (common.heartbeat_interval_seconds, common.garbage_collect_interval_seconds) == (2, 30)
    assert (common.trim_memory_threshold_bytes, own.mode) == (1 << 30, "dynamic")


def test_command_line_comes_before_environment_before_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(
        tmp_path,
        '[scheduler]\nbind_address = "tcp://1.1.1.1:1"\nclient-timeout-seconds = "7"\nworker_timeout_seconds = 7\n'
        "resync_seconds = 7\n",
    )
    monkeypatch.setenv("SCALER_WORKER_TIMEOUT_SECONDS", "8")
    monkeypatch.setenv("SCALER_RESYNC_SECONDS", "8")
    options = scheduler("-c", path, "--resync-seconds", "9")
    assert options.bind_address == "tcp://1.1.1.1:1"
    assert options.client_timeout_seconds == 7
    assert options.worker_timeout_seconds == 8
    assert options.resync_seconds == 9
    given = load.gather(Typed({}, path), [SCHEDULER])
    assert any("SCALER_WORKER_TIMEOUT_SECONDS overrides worker_timeout_seconds" in word for word in given.words)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[scheduler]\nclient_timeout_secods = 1",
            [
                "There is no option 'client_timeout_secods'",
                "line 2, [scheduler] cl",
                "did you mean client_timeout_seconds?",
            ],
        ),
        ("\n# a note\n[schedular]\n", ["[schedular]", "line 3", "did you mean [scheduler]?"]),
        (
            "[scheduler]\n\nclient_timeout_seconds = 'soon'",
            ["'soon'", "line 3, [scheduler] client_timeout_seconds"],
        ),
        ("[scheduler]\nclient-timeout-seconds = 0", ["greater than 0", "line 2, [scheduler] client-timeout-seconds"]),
        ("[scheduler]\nbind_address = 'inproc://x'", ["inside one process", "line 2, [scheduler] bind_address"]),
        ("[scheduler]\nprotected = 'perhaps'", ["'perhaps'", "line 2, [scheduler] protected"]),
        ("[scheduler]\n[scheduler.security]\ninsecur = true", ["'insecur'", "line 3, [scheduler] insecur"]),
        ("[scheduler\n", ["no TOML", "line 1"]),
        ("\nscheduler = 3", ["scheduler is no table", "line 2", "write one [scheduler]"]),
        ("[[scheduler]]\n[[scheduler]]\n", ["more than one [scheduler]", "line 2"]),
        (
            '[scheduler]\nprotected = true\n\n[scheduler]\nbind_address = "tcp://a:1"\n',
            ["The table [scheduler] is there twice.", "line 4\n", "line 1 begins it: put all of its keys there"],
        ),
        ("[scheduler]\n[[scheduler]]\n", ["The table [scheduler] is there twice.", "line 2\n", "line 1 begins it"]),
        ("[[scheduler]]\n[scheduler]\n", ["The table [scheduler] is there twice.", "line 2\n", "line 1 begins it"]),
        (
            "[scheduler]\nmax_attempts = 1\nprotected = true\nmax_attempts = 2\n",
            ["The key 'max_attempts' is there twice.", "line 4, [scheduler] max_attempts", "line 2 has it already"],
        ),
        (
            "[scheduler]\nmax_attempts = 1\nmax-attempts = 2\n",
            [
                "The key 'max-attempts' is there twice.",
                "line 3, [scheduler] max-attempts",
                "line 2, [scheduler] max_at",
            ],
        ),
        (
            "[scheduler]\nmax_attempts = 1\n[scheduler.policy]\nmax_attempts = 2\n",
            [
                "The key 'max_attempts' is there twice.",
                "line 4, [scheduler] max_attempts",
                "line 2, [scheduler] max_at",
            ],
        ),
        ("top = 1\ntop = 2\n", ["The key 'top' is there twice.", "line 2\n", "line 1 has it already"]),
        (
            "[object-storage-server]\n[object_storage_server]\n",
            ["The table [object_storage_server] is there twice, once as [object-storage-server]", "line 1"],
        ),
        ("[scheduler]\nmax_attempts = \nprotected = 1\nprotected = 2\n", ["is no TOML: Invalid value", "line 2\n"]),
        ("[scheduler]\n[scheduler.polcy]\n", ["There is no option 'polcy'", "line 2", "did you mean policy?"]),
        ("[scheduler]\nmax_attempts = true", ["true will not do", "line 2, [scheduler] max_attempts", "lost workers"]),
        ("[scheduler]\nmax_attempts = 1.5", ["1.5 will not do", "line 2, [scheduler] max_attempts", "lost workers"]),
        ("[scheduler]\nkey_file = 3", ["3 will not do", "line 2, [scheduler] key_file", "cluster key or join token"]),
        ("[scheduler]\nlogging_level = 'LOUD'", ["line 2, [scheduler] logging_level", "one of CRITICAL, ERROR"]),
        ("[scheduler]\nmemory_limit = 'much'", ["'much' will not do", "line 2, [scheduler] memory_limit", "4GiB"]),
    ],
)
def test_wrong_file_is_said_with_file_line_and_key(text: str, told: list[str], tmp_path: Path) -> None:
    path = file(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        scheduler("tcp://127.0.0.1:8516", "-c", path) if "bind" not in text else scheduler("-c", path)
    assert path in str(caught.value)
    for part in told:
        assert part in str(caught.value)


def test_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        scheduler("-c", str(tmp_path / "none.toml"))


def test_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read: it is not UTF-8"):
        scheduler("-c", str(tmp_path / "config.toml"))
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        scheduler("-c", str(tmp_path))


def test_wrong_value_in_the_environment_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALER_MAX_ATTEMPTS", "often")
    with pytest.raises(ConfigurationError, match="where: the environment variable SCALER_MAX_ATTEMPTS"):
        scheduler("tcp://a:1")


def test_missing_address_is_said_with_all_places_for_it() -> None:
    with pytest.raises(ConfigurationError, match="type ADDRESS, or bind_address in the configuration file"):
        scheduler()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--protectd"], "did you mean --protected?"),
        (["tcp://a:1", "tcp://b:1"], "no place for 'tcp://b:1'"),
        (["--client-timeout-seconds"], "expected one argument"),
        (["tcp://a:1", "-ct", "x"], "where: --client-timeout-seconds"),
        (["127.0.0.1:8516"], "tcp://127.0.0.1:8516"),
        (["tcp://a:1", "--compression", "zip"], "one of auto, off, lz4, zstd"),
        (["tcp://a:1", "--object-storage-tls-port", "0"], "a port from 1 to 65535, auto (any free one), off"),
        (["tcp://a:1", "--object-storage-tls-port", "65536"], "a port from 1 to 65535"),
        (["tcp://a:1", "--object-storage-tls-port", "on"], "a port from 1 to 65535"),
    ],
)
def test_wrong_command_line_is_said(arguments: list[str], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        scheduler(*arguments)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-lp", "a.log", "tcp://a:1"],
        ["-lp", "a.log", "tcp://a:1", "--protected"],
        ["--logging-paths", "a.log", "ipc:///a.sock"],
        ["--logging-paths=a.log", "tcp://a:1"],
        ["tcp://a:1", "-lp", "a.log"],
        ["-awu", "http://b", "tcp://a:1", "-lp", "a.log"],
    ],
)
def test_address_behind_a_list_is_the_address(arguments: list[str]) -> None:
    options = scheduler(*arguments)
    assert options.bind_address in ("tcp://a:1", "ipc:///a.sock")
    assert options.logging_paths == ["a.log"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tcp://a:1", "-lp", "a.log", "tcp://b:1"], "no place for 'tcp://b:1'"),
        (["-lp", "a.log", "tcp://a:1", "tcp://b:1"], "no place for 'tcp://b:1'"),
        (["-lp", "tcp://a:1"], "--logging-paths has no value"),
        (["-lp", "a.log", "a:1"], "type ADDRESS before --logging-paths, which takes what follows it"),
    ],
)
def test_what_a_list_has_no_place_for_is_said(arguments: list[str], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        scheduler(*arguments)
    assert told in str(caught.value)


def test_options_without_meaning_are_answered_and_have_no_effect(tmp_path: Path) -> None:
    path = file(tmp_path, '[scheduler]\nio_threads = 4\nbind_address = "tcp://a:1"\n')
    typed = CommandLine("scaler_scheduler", "", [SCHEDULER]).read(["-c", path, "-el", "uvloop", "-ls", "1", "-mt", "5"])
    given = load.gather(typed, [SCHEDULER])
    assert len(given.words) == 4
    assert all("has no effect" in word for word in given.words)
    assert load.validate(models.SchedulerOptions, given, [SCHEDULER]).bind_address == "tcp://a:1"


@pytest.mark.parametrize("each", retired.RETIRED, ids=lambda each: each.name)
def test_every_option_without_meaning_is_accepted_by_every_command(each: retired.Retired) -> None:
    arguments = [each.flag, "1"] if each.takes_value else [each.flag]
    for components in ([SCHEDULER], [OBJECT_STORAGE], [CLUSTER], MANAGER):
        assert CommandLine("x", "", components).read(arguments).words == [retired.answer(each.name)]


def test_older_names_are_taken_and_told(tmp_path: Path) -> None:
    path = file(tmp_path, '[scheduler]\nscheduler_address = "tcp://a:1"\n')
    assert scheduler("-c", path).bind_address == "tcp://a:1"
    typed = CommandLine("x", "", MANAGER).read(["tcp://a:1", "-mw", "3", "-psa", "tcp://b:2"])
    assert typed.values["max_task_concurrency"] == "3"
    assert typed.values["worker_scheduler_address"] == "tcp://b:2"
    assert typed.words == [
        "--max-workers is called --max-task-concurrency now",
        "--public-scheduler-address is called --worker-scheduler-address now",
    ]


def test_short_flags_of_the_interface(tmp_path: Path) -> None:
    common, own = manager(
        *("tcp://a:1", "--mode", "fixed", "-mtc", "8", "-wmi", "m", "-osa", "tcp://o:2", "-pwc", "linux,cpu=4"),
        *("-wtqs", "5", "-his", "1", "-tts", "3", "-dts", "4", "-gc", "6", "-tm", "7", "-lp", "/tmp/x", "-ll", "DEBUG"),
    )
    assert own.mode == "fixed"
    assert common.max_task_concurrency == 8
    assert common.per_worker_capabilities == [("cpu", 4), ("linux", -1)]
    assert common.logging_paths == ["/tmp/x"]
    assert common.trim_memory_threshold_bytes == 7


@pytest.mark.parametrize(("text", "told"), [("=3", "needs a name"), ("gpu=many", "no whole number")])
def test_wrong_capabilities_are_said(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        manager("tcp://a:1", f"-pwc={text}")


def test_managers_table_is_found_by_its_type(tmp_path: Path) -> None:
    text = (
        '[[worker_manager]]\ntype = "symphony"\nscheduler_address = "tcp://no:1"\n'
        '[[worker_manager]]\ntype = "baremetal_native"\nscheduler_address = "tcp://a:1"\nmode = "fixed"\n'
        'max_task_concurrency = "7"\nper_worker_capabilities = "linux"\nlogging_paths = "-"\n'
    )
    common, own = manager("-c", file(tmp_path, text))
    assert (common.scheduler_address, common.max_task_concurrency, own.mode) == ("tcp://a:1", 7, "fixed")
    assert common.logging_paths == ["-"]


def test_single_managers_table_will_do_and_names_the_driver(tmp_path: Path) -> None:
    path = file(tmp_path, '[worker_manager]\ntype = "baremetal_native"\nscheduler_address = "tcp://a:1"\n')
    assert tables.only_manager(path).driver == "baremetal_native"
    assert manager("-c", path)[0].scheduler_address == "tcp://a:1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no [[worker_manager]] of type 'baremetal_native'"),
        (f"{SYMPHONY}[[worker_manager]]\n", "has no type.\n  where: FILE, line 3\n"),
        ("\nworker_manager = 3\n", "is no table.\n  where: FILE, line 2\n"),
        (
            f'{SYMPHONY}modus = "x"\n[[worker_manager]]\ntype = "baremetal_native"\nmodus = "x"\n',
            "where: FILE, line 6, [worker_manager] modus\n  to do: did you mean mode?",
        ),
        (
            2 * '[[worker_manager]]\ntype = "baremetal_native"\n',
            "more than one [[worker_manager]] of type 'baremetal_native'.\n  where: FILE, line 3\n",
        ),
    ],
)
def test_wrong_managers_table_is_said(text: str, told: str, tmp_path: Path) -> None:
    path = file(tmp_path, text)
    with pytest.raises(ConfigurationError) as caught:
        manager("-c", path)
    assert told.replace("FILE", path) in str(caught.value)


def test_policy_sub_table_counts_as_its_keys(tmp_path: Path) -> None:
    path = file(
        tmp_path, '[scheduler]\nbind_address="tcp://a:1"\n[scheduler.policy]\npolicy_content = "allocate=capability"'
    )
    assert scheduler("-c", path).policy_content == "allocate=capability"


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("logging_config", "logging_level", "DEBUG"),
        ("logging", "logging_level", "DEBUG"),
        ("worker_config", "preload", "a:b"),
        ("worker_manager_config", "worker_manager_id", "a"),
        ("worker-manager-config", "worker-manager-id", "a"),
    ],
)
def test_managers_sub_tables_count_as_their_keys(group: str, key: str, value: str, tmp_path: Path) -> None:
    table = '[[worker_manager]]\ntype = "native"\nscheduler_address = "tcp://a:1"\n'
    common, _ = manager("-c", file(tmp_path, f'{table}[worker_manager.{group}]\n{key} = "{value}"\n'))
    assert getattr(common, key.replace("-", "_")) == value


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ('per_worker_capabilities = "linux,gpu=2"', "per_worker_capabilities", [("gpu", 2), ("linux", -1)]),
        (
            "per_worker_capabilities = { linux = -1, gpu = 2 }",
            "per_worker_capabilities",
            [("gpu", 2), ("linux", -1)],
        ),
        ('per_worker_memory_limit = "500MB"', "per_worker_memory_limit", 500_000_000),
        ("per_worker_memory_limit = 4096", "per_worker_memory_limit", 4096),
        ('logging_paths = ["a.log", "-"]', "logging_paths", ["a.log", "-"]),
        ('logging_paths = "a.log"', "logging_paths", ["a.log"]),
        ("task_timeout_seconds = 1.5", "task_timeout_seconds", 1.5),
        ('max_task_concurrency = "7"', "max_task_concurrency", 7),
        ("insecure = true", "insecure", True),
    ],
)
def test_values_have_the_kinds_that_the_docs_say(line: str, name: str, value: object, tmp_path: Path) -> None:
    path = file(tmp_path, f'[worker_manager]\ntype = "native"\nscheduler_address = "tcp://a:1"\n{line}\n')
    assert getattr(manager("-c", path)[0], name) == value


@pytest.mark.parametrize(
    ("value", "port"), [('"auto"', "auto"), ('"off"', "off"), ('"8520"', "8520"), ("8520", "8520")]
)
def test_a_tls_port_is_a_word_or_a_number(value: str, port: str, tmp_path: Path) -> None:
    path = file(tmp_path, f'[scheduler]\nbind_address = "tcp://a:1"\nobject_storage_tls_port = {value}\n')
    assert scheduler("-c", path).object_storage_tls_port == port


def test_sizes_have_units() -> None:
    assert scheduler("tcp://a:1", "--memory-limit", "4GiB").memory_limit == 4 << 30


def test_help_hides_what_has_no_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        CommandLine("scaler_scheduler", "", [SCHEDULER]).read(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "--protected" in text
    assert "event-loop" not in text
    assert "older:" not in text


def test_usage_errors_are_configuration_errors() -> None:
    assert issubclass(UsageError, ConfigurationError)
