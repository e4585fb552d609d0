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
    (word,) = found.words
    assert "the web page comes later" in word
    assert "line 4" in word


def test_environment_overrides_the_file_and_says_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALER_MAX_TASK_CONCURRENCY", "3")
    found = plan(file, SCHEDULER + MANAGER + "max_task_concurrency = 5\n")
    assert found.parts[1].settings["options"]["max_task_concurrency"] == "3"
    assert "SCALER_MAX_TASK_CONCURRENCY overrides" in found.words[0]


# The examples of the published pages of other versions, as they are there.
ECS_SCHEDULER = """\
[object_storage_server]
bind_address = "tcp://127.0.0.1:8517"
[scheduler]
bind_address = "tcp://0.0.0.0:8516"
object_storage_address = "tcp://127.0.0.1:8517"
"""
ECS_MANAGER = """\
[[worker_manager]]
type = "aws_raw_ecs"
scheduler_address = "tcp://127.0.0.1:8516"
worker_scheduler_address = "tcp://<PUBLIC_IP>:8516"
object_storage_address = "tcp://<PUBLIC_IP>:8517"
worker_manager_id = "wm-ecs"
ecs_subnets = "subnet-0abc1234def56789a"
aws_region = "us-east-1"
max_task_concurrency = 4
ecs_task_cpu = 4
ecs_task_memory = 30
"""
ECS_MORE = """\
ecs_cluster = "scaler-cluster"
ecs_task_definition = "scaler-task-definition"
ecs_task_image = "public.ecr.aws/v4u8j8r6/scaler:latest"
"""
BATCH = """\
[[worker_manager]]
type = "aws_hpc"
scheduler_address = "tcp://127.0.0.1:8516"
object_storage_address = "tcp://127.0.0.1:8517"
worker_manager_id = "wm-batch"
job_queue = "scaler-batch-queue"
job_definition = "scaler-batch-job"
s3_bucket = "scaler-batch-123456789012-us-east-1" # replace 123456789012 with your account ID
aws_region = "us-east-1"
max_concurrent_jobs = 100
job_timeout_minutes = 60
"""
ORB = """\
[[worker_manager]]
type = "orb_aws_ec2"
scheduler_address = "tcp://<SCHEDULER_IP>:8516"
worker_manager_id = "wm-orb"
worker_scheduler_address = "tcp://<PUBLIC_IP>:8516"
object_storage_address = "tcp://<PUBLIC_IP>:8517"
instance_type = "t3.medium"
python_version = "3.14"
requirements_txt = \"\"\"
opengris-scaler>=1.26.6
numpy
pandas
\"\"\"
"""
ORB_ADAPTER = """\
# config.toml

[orb_worker_adapter]
object_storage_address = "tcp://<OSS_EXTERNAL_IP>:8517"
adapter_web_host = "0.0.0.0"
adapter_web_port = 8080
image_id = "ami-0528819f94f4f5fa5"
"""


def test_scheduler_and_storage_of_the_published_example(file: Path) -> None:
    storage, scheduler = plan(file, ECS_SCHEDULER).parts
    assert storage.settings["address"] == "tcp://127.0.0.1:8517"
    assert scheduler.settings["address"] == "tcp://0.0.0.0:8516"
    assert scheduler.settings["object_storage"] == "tcp://127.0.0.1:8517"


@pytest.mark.parametrize(
    ("text", "line", "mend"),
    [
        (ECS_SCHEDULER + ECS_MANAGER, 7, "pip install scaler-plugin-ecs"),
        (ECS_MANAGER + ECS_MORE, 2, "pip install scaler-plugin-ecs"),
        (BATCH, 2, "pip install scaler-plugin-batch"),
        (ORB, 2, "pip install scaler-plugin-orb"),
        (ORB_ADAPTER, 3, 'it is [[worker_manager]] with type = "orb_aws_ec2" now'),
    ],
)
def test_published_examples_say_what_to_install(text: str, line: int, mend: str, file: Path) -> None:
    with pytest.raises(ConfigurationError) as found:
        plan(file, text)
    assert f"{file}, line {line}" in found.value.where
    assert mend in found.value.mend


@pytest.mark.parametrize(
    ("text", "where", "told"),
    [
        ("", "", "The file has nothing to start."),
        ("[top]\n[gui]\n", "", "The file has nothing to start."),
        ("[scheduler\n", "", "The file is no TOML"),
        ("[shceduler]\n", "line 1", "did you mean [scheduler]?"),
        ("[native_worker_manager]\n", "line 1", 'type = "baremetal_native"'),
        ("scheduler = 5\n", "line 1", "scheduler is no table"),
        ("[[scheduler]]\n[[scheduler]]\n", "line 2", "There is more than one [scheduler]"),
        ("[scheduler]\n", "line 1, [scheduler]", "bind_address is missing"),
        ("[object_storage_server]\n", "line 1, [object_storage_server]", "bind_address is missing"),
        (SCHEDULER + "protectd = true\n", "line 4, [scheduler] protectd", "did you mean protected?"),
        (SCHEDULER + "protected = 3\n", "line 4, [scheduler] protected", "3 will not do"),
        (SCHEDULER + 'policy_content = "allocate=evenload"\n', "line 4", "did you mean even_load?"),
        ('[scheduler]\nbind_address = "127.0.0.1:8516"\n', "line 2, [scheduler] bind_address", "tcp://127.0.0.1:8516"),
        (SCHEDULER + "[gui]\ngui_adress = 1\n", "line 5, [gui] gui_adress", "did you mean gui_address?"),
        ("worker_manager = [1]\n", "line 1", "worker_manager is no table"),
        ('[[worker_manager]]\nmode = "fixed"\n', "line 1", "A [[worker_manager]] has no type."),
        ('[[worker_manager]]\ntype = "baremetal"\n', "line 2, [worker_manager] type", "did you mean baremetal_native?"),
        (MANAGER, "line 2, [worker_manager]", "scheduler_address is missing"),
        (SCHEDULER + MANAGER + 'max_task_concurrency = "many"\n', "line 8", "'many' will not do"),
        (SCHEDULER + MANAGER + "max_task_concurency = 2\n", "line 8", "did you mean max_task_concurrency?"),
        (SCHEDULER + MANAGER + "ecs_task_cpu = 2\n", "line 8", "There is no option 'ecs_task_cpu'"),
        (SCHEDULER + '[[worker_manager]]\ntype = "native"\n', "line 4", 'mode = "fixed" and max_task_concurrency = '),
        (SCHEDULER + '[[worker_manager]]\ntype = "native"\nmode = "dynamic"\n', "line 6", "comes with scaling"),
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
