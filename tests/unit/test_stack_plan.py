"""What a configuration file asks `scaler FILE` for, and what is said of one that cannot be used."""

import json
from pathlib import Path

import pytest
from scaler.cli import command, stack
from scaler.stack.plan import Plan, read_plan
from scaler.stack.terminal import Terminal
from scaler.transport.errors import ConfigurationError

SCHEDULER = """
[scheduler]
bind_address = "tcp://127.0.0.1:8516"
"""
MANAGER = """
[[worker_manager]]
type = "baremetal_native"
mode = "fixed"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def plan(file: Path, text: str) -> Plan:
    file.write_text(text)
    return read_plan(str(file))


def test_parts_start_in_the_order_in_which_they_need_each_other(file: Path) -> None:
    found = plan(file, MANAGER + SCHEDULER + '[object_storage_server]\nbind_address = "tcp://127.0.0.1:8517"\n')
    assert [part.name for part in found.parts] == ["object_storage", "scheduler", "baremetal_native"]
    json.dumps([part.settings for part in found.parts])


def test_an_address_that_the_file_gives_once_need_not_be_given_again(file: Path) -> None:
    found = plan(file, '[object_storage_server]\nbind_address = "tcp://127.0.0.1:9"\n' + SCHEDULER + MANAGER)
    _, scheduler, manager = found.parts
    assert scheduler.settings["object_storage"] == "tcp://127.0.0.1:9"
    assert manager.settings["options"]["scheduler_address"] == "tcp://127.0.0.1:8516"


def test_what_a_part_says_for_itself_counts(file: Path) -> None:
    found = plan(
        file,
        '[object_storage_server]\nbind_address = "tcp://127.0.0.1:9"\n'
        + SCHEDULER
        + 'object_storage_address = "tcp://127.0.0.1:10"\n'
        + MANAGER
        + 'scheduler_address = "tcp://127.0.0.1:11"\nmax_task_concurrency = "7"\nlogging_level = "ERROR"\n',
    )
    _, scheduler, manager = found.parts
    assert scheduler.settings["object_storage"] == "tcp://127.0.0.1:10"
    assert manager.settings["options"]["scheduler_address"] == "tcp://127.0.0.1:11"
    assert manager.settings["logging"]["level"] == "ERROR"


def test_one_manager_may_be_a_single_table_with_a_short_type(file: Path) -> None:
    text = '[worker_manager]\ntype = "native"\nmode = "fixed"\nscheduler_address = "tcp://127.0.0.1:1"\n'
    (part,) = plan(file, text).parts
    assert part.settings["driver"] == "baremetal_native"


def test_gui_is_answered_by_one_line(file: Path) -> None:
    found = plan(file, SCHEDULER + "[gui]\n")
    assert [part.name for part in found.parts] == ["scheduler"]
    assert found.words == [f"[gui] starts nothing in this version, which has no web page ({file}, line 4)"]


@pytest.mark.parametrize("name", ["ui", "webui"])
def test_gui_under_its_older_names_says_so(name: str, file: Path) -> None:
    found = plan(file, SCHEDULER + f'[{name}]\nweb_host = "0.0.0.0"\nweb_port = 50001\n')
    assert found.words == [
        f"[{name}] is [gui] now ({file}, line 4)",
        f"[gui] starts nothing in this version, which has no web page ({file}, line 4)",
    ]


@pytest.mark.parametrize("name", ["native_worker_adapter", "native_worker_manager", "fixed_native_worker_adapter"])
def test_managers_under_their_older_names_run_and_say_so(name: str, file: Path) -> None:
    mode = "" if name.startswith("fixed") else 'mode = "fixed"\n'
    found = plan(file, SCHEDULER + f"[{name}]\n{mode}num_of_workers = 3\n")
    settings = found.parts[1].settings
    assert (settings["driver"], settings["own"], settings["options"]["max_task_concurrency"]) == (
        *("baremetal_native", {"mode": "fixed"}),
        3,
    )
    first, second = found.words
    assert first.startswith(f'[{name}] is [[worker_manager]] with type = "baremetal_native"')
    assert first.endswith(f"now ({file}, line 4)")
    assert second.startswith("num_of_workers is called max_task_concurrency now")


def test_environment_overrides_the_file_and_says_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALER_MAX_TASK_CONCURRENCY", "3")
    found = plan(file, SCHEDULER + MANAGER + "max_task_concurrency = 5\n")
    assert found.parts[1].settings["options"]["max_task_concurrency"] == "3"
    assert "SCALER_MAX_TASK_CONCURRENCY overrides" in found.words[0]


@pytest.mark.parametrize(
    ("text", "where", "told"),
    [
        ("", "", "The file has nothing to start."),
        ("[top]\n[gui]\n", "", "The file has nothing to start."),
        ("[scheduler\n", "", "The file is no TOML"),
        ("[shceduler]\n", "line 1", "did you mean [scheduler]?"),
        ("[native_worker_manger]\n", "line 1", "did you mean [native_worker_manager]?"),
        ("[native_worker_manager]\n", "line 1, [native_worker_manager]", "scheduler_address is missing"),
        ("[fixed_native_worker_adapter]\nmodus = 1\n", "line 2, [fixed_native_worker_adapter] modus", "mean mode?"),
        (SCHEDULER + "\n[scheduler]\nprotected = true\n", "line 5", "The table [scheduler] is there twice."),
        (SCHEDULER + "[gui]\n[webui]\n", "line 5", "There is more than one [gui]."),
        ("[object_storage_server]\n[object-storage-server]\n", "line 1", "is there twice, once as"),
        (SCHEDULER + MANAGER + MANAGER + "mode = 3\n", "line 12, [worker_manager] mode", "'mode' is there twice."),
        (SCHEDULER + "protected = true\nprotected = false\n", "line 5, [scheduler] protected", "'protected' is there"),
        ("scheduler = 5\n", "line 1", "scheduler is no table"),
        ("[[scheduler]]\n[[scheduler]]\n", "line 2", "There is more than one [scheduler]"),
        ("[scheduler]\n", "line 1, [scheduler]", "bind_address is missing"),
        ("[object_storage_server]\n", "line 1, [object_storage_server]", "bind_address is missing"),
        (SCHEDULER + "protectd = true\n", "line 4, [scheduler] protectd", "did you mean protected?"),
        (SCHEDULER + "protected = 3\n", "line 4, [scheduler] protected", "3 will not do"),
        ('[scheduler]\nbind_address = "127.0.0.1:8516"\n', "line 2, [scheduler] bind_address", "tcp://127.0.0.1:8516"),
        (SCHEDULER + "[top]\ntimeuot = 5\n", "line 5, [top] timeuot", "did you mean timeout?"),
        (
            SCHEDULER + "[cluster]\nnum_of_worker = 5\n",
            "line 5, [cluster] num_of_worker",
            "did you mean num_of_workers?",
        ),
        (SCHEDULER + "[gui]\ngui_adress = 1\n", "line 5, [gui] gui_adress", "did you mean gui_address?"),
        ("worker_manager = [1]\n", "line 1", "worker_manager is no table"),
        ('[[worker_manager]]\nmode = "fixed"\n', "line 1", "A [[worker_manager]] has no type."),
        ('[[worker_manager]]\ntype = "baremetal"\n', "line 2, [worker_manager] type", "did you mean baremetal_native?"),
        (MANAGER, "line 2, [worker_manager]", "scheduler_address is missing"),
        (SCHEDULER + MANAGER + 'max_task_concurrency = "many"\n', "line 8", "'many' will not do"),
        (SCHEDULER + MANAGER + "max_task_concurency = 2\n", "line 8", "did you mean max_task_concurrency?"),
        (SCHEDULER + MANAGER + "ecs_task_cpu = 2\n", "line 8", "There is no option 'ecs_task_cpu'"),
        (SCHEDULER + MANAGER + "max_task_concurrency = 0\n", "line 8", "0 workers will not do"),
        (SCHEDULER + MANAGER + "max_task_concurrency = -2\n", "line 8", "-1 for the driver's own number"),
        (
            SCHEDULER + MANAGER + 'worker_manager_id = "a"\n' + MANAGER + 'worker-manager-id = "a"\n',
            "line 13, [worker_manager] worker-manager-id (",
            "Two worker managers are called 'a'",
        ),
        (SCHEDULER + MANAGER + MANAGER, "line 9 (", "Two worker managers are called 'baremetal_native'"),
        ('[scheduler]\nbind_address = "tcp://127.0.0.1:0"\n' + MANAGER, "line 4", "no port is known yet"),
    ],
)
def test_what_cannot_be_used_is_three_lines(
    text: str, where: str, told: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)
    assert command.run_command(stack._main, [str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3, lines
    assert lines[1].startswith(f"  where: {file}")
    assert where in lines[1]
    assert told in lines[0] or told in lines[2], lines


def test_a_file_that_cannot_be_read_is_three_lines(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run_command(stack._main, [str(file)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_a_byte_order_mark_and_line_ends_of_windows_do_no_harm(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + (SCHEDULER + MANAGER + "mod = 1\n").replace("\n", "\r\n").encode())
    with pytest.raises(ConfigurationError) as found:
        read_plan(str(file))
    assert found.value.where == f"{file}, line 8, [worker_manager] mod"


def test_tables_of_other_commands_may_be_there(file: Path) -> None:
    text = '[top]\nmonitor_address = "tcp://127.0.0.1:8518"\ntimeout = 5\n[cluster]\nnum_of_workers = 2\n'
    found = plan(file, SCHEDULER + text)
    assert ([part.name for part in found.parts], found.words) == (["scheduler"], [])


def test_a_folder_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run_command(stack._main, [str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"error: The file cannot be read: Is a directory.\n  where: {tmp_path}\n  to do: check its name\n"
    )


def test_lines_have_the_name_of_the_part_in_front(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(["a", "part"])
    terminal.say("a", "one\ntwo")
    writing, thread = terminal.follow("part")
    with open(writing, "wb") as pipe:
        pipe.write(b"three\n\nfour \xff")
    thread.join()
    assert capsys.readouterr().out == "a    | one\na    | two\npart | three\npart |  \npart | four \ufffd\n"


STORAGE = '[object_storage_server]\nbind_address = "tcp://127.0.0.1:9"\n'


@pytest.mark.parametrize(
    ("keys", "folder", "write_through"),
    [
        ("", "directory", True),
        ('write_through = "on"\n', "directory", True),
        ('directory = "there"\n', "", True),
        ('write_through = "off"\n', "", False),
        ('write_through = "off"\ndirectory = "there"\n', "", False),
    ],
)
def test_a_storage_of_a_stack_writes_through(keys: str, folder: str, write_through: bool, file: Path) -> None:
    storage, scheduler = plan(file, STORAGE + keys + SCHEDULER).parts
    assert (storage.folder_setting, storage.settings["write_through"]) == (folder, write_through)
    assert (scheduler.folder_setting, scheduler.settings["storage_write_through"]) == ("", False)


def test_a_schedulers_own_storage_writes_through_in_a_stack(file: Path) -> None:
    (scheduler,) = plan(file, SCHEDULER).parts
    assert (scheduler.folder_setting, scheduler.settings["storage_write_through"]) == ("storage_directory", True)


def test_limits_of_a_storage_are_sizes(file: Path) -> None:
    storage, _ = plan(file, STORAGE + 'disk_limit = "2GiB"\nsession_quota = 5_000\n' + SCHEDULER).parts
    assert (storage.settings["disk_limit"], storage.settings["session_quota"]) == (2 << 30, 5000)
