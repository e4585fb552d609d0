"""What the README and `docs/` say holds: programs, files and commands run, links lead somewhere, options exist."""

import contextlib
import inspect
import itertools
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Command, Run
from scaler import Client, errors
from scaler.cli import reference
from scaler.config import generate, retired
from scaler.config.fields import component_of
from scaler.stack.plan import read_plan
from scaler.testing.localcloud import LocalCloud
from scaler.testing.localcloud.settings import options as local_cloud_options
from scaler.transport.errors import ConfigurationError
from scaler_plugin_ecs.options import EcsOptions

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES = [page.name for page in PAGES]
# Of `scaler_keys`, which has no table, of pip, and of `scaler_worker_manager` itself.
OTHER_FLAGS = {"--key-file", "--list", "--config", "--help", "--version", "--insecure", "--dry-run", "--scope"}
OTHER_FLAGS |= {*local_cloud_options(), "--json", "--extra-index-url"}
# What ends by itself.
BRIEF = {"--help", "--list", "--version", "new-driver", "cleanup", "iam-policy", "ping"}


def blocks(page: Path, *languages: str) -> list[str]:
    pattern = rf"^```(?:{'|'.join(languages)})\n(.*?)^```$"
    return re.findall(pattern, page.read_text(), re.DOTALL | re.MULTILINE)


def pages_with(*languages: str) -> list[object]:
    return [pytest.param(page, id=page.name) for page in PAGES if blocks(page, *languages)]


@pytest.mark.parametrize("page", pages_with("python"))
def test_its_programs_run(page: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("\n".join(blocks(page, "python")))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_its_blocks_are_of_languages_that_are_tested(page: Path) -> None:
    """Or are text, to look at."""
    fences = re.findall(r"^```(.*)$", page.read_text(), re.MULTILINE)
    assert set(fences[::2]) <= {"python", "toml", "bash", "text"} | ({"", "rust"} if page.stem.isupper() else set())
    assert set(fences[1::2]) <= {""}


@pytest.mark.parametrize("page", pages_with("toml"))
def test_its_files_load(page: Path, home: Path) -> None:
    for text in blocks(page, "toml"):
        (home / "config.toml").write_text(text)
        assert read_plan(str(home / "config.toml")).parts


# Nobody has worked for these schedulers before: there is nothing to wait for. And managers see soon what has ended.
QUICK = {"SCALER_RESYNC_SECONDS": "0.2", "SCALER_HEARTBEAT_INTERVAL_SECONDS": "0.2"}
# What a command that goes on running says when it is ready.
READY = {
    "scaler_scheduler": "scheduler listens at",
    "scaler_object_storage_server": "object storage listens at",
    "scaler_worker_manager": "workers serve",
    "scaler_cluster": "workers of",
    "scaler": "workers serve",
}


class Shell:
    """Runs a page's commands, each block for itself, at sockets of the test's own: others may have the ports."""

    def __init__(self, run: Run, home: Path, cloud: LocalCloud | None = None) -> None:
        self._run = run
        self._cloud = cloud
        self._home = home
        self._running: list[Command] = []
        self._programs: set[str] = set()
        self._environment = QUICK if cloud is None else {**QUICK, **cloud.environment}
        self._last = ""
        (home / "run").mkdir(mode=0o700)

    def here(self, text: str) -> str:
        """With local sockets for addresses, and two workers for any number: this machine is shared."""
        text = re.sub(r"tcp://[\w.]+:(\d+)", rf"ipc://{self._home}/run/\1", text)
        if self._cloud is not None:
            text = text.replace("subnet-0abc1234def56789a", self._cloud.subnet)
        return re.sub(r"(--max-task-concurrency |max_task_concurrency = |-n )\d+", r"\g<1>2", text)

    def block(self, text: str) -> None:
        for line in filter(None, text.replace("\\\n", " ").splitlines()):
            self._line(line)
        if "scaler" in self._programs or {"scaler_scheduler", "scaler_worker_manager"} <= self._programs:
            self._serve()
        for command in reversed(self._running):
            code, output = command.end(signal.SIGINT)
            assert (code, "Traceback" in output) == (0, False), output

    def _serve(self) -> None:
        with Client(self.here("tcp://127.0.0.1:8516")) as client:
            assert client.submit(pow, 2, 8).result(30) == 256

    def _line(self, line: str) -> None:
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            told = self._last if value == "<that line>" else value
            self._environment = {**self._environment, name: told}
            return
        program, *arguments = shlex.split(self.here(line))
        if "cleanup" in arguments:
            # What says whose it is; on a user's machine its scheduler has made it.
            assert self._run("keys", "create").finish()[0] == 0
        module = "stack" if program == "scaler" else program.removeprefix("scaler_")
        command = self._run(module, *arguments, **self._environment)
        if program in READY and not BRIEF & set(arguments):
            command.read_until(READY[program])
            self._running.append(command)
            self._programs.add(program)
        else:
            code, self._last = command.finish()
            assert code == 0, self._last
            self._last = self._last.strip()


def prerequisites(page: Path, home: Path, shell: Shell) -> None:
    """The file that the commands of the page name: its own, or the one that they have in a checkout."""
    for text in blocks(page, "toml")[:1]:
        (home / "config.toml").write_text(shell.here(text))
    (home / "examples").mkdir()
    (home / "examples/stack.toml").write_text(shell.here((ROOT / "examples/stack.toml").read_text()))


# What a page's command needs around it: somebody to serve, for workers alone.
AROUND = {
    "scaler ping": "scaler_scheduler tcp://127.0.0.1:8516\nscaler_cluster tcp://127.0.0.1:8516 -n 2\n",
    "scaler_worker_manager": "scaler_scheduler tcp://127.0.0.1:8516\n",
    "scaler_cluster": "scaler_scheduler tcp://127.0.0.1:8516\n",
}


@pytest.mark.parametrize(
    ("page", "number"),
    [
        pytest.param(page, number, id=f"{page.stem}-{number}")
        for page in PAGES
        for number in range(len(blocks(page, "bash")))
    ],
)
def test_commands(page: Path, number: int, run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    text = blocks(page, "bash")[number]
    with LocalCloud() if "aws_raw_ecs" in text else contextlib.nullcontext() as cloud:
        commands_of(page, text, home, Shell(run, home, cloud))
        assert cloud is None or cloud.leftovers() == []


def commands_of(page: Path, text: str, home: Path, shell: Shell) -> None:
    prerequisites(page, home, shell)
    if text.startswith("export "):
        # Alone it is for another machine, with what was printed on this one.
        text = "scaler_keys export\n" + text
    around = next((needed for command, needed in AROUND.items() if text.startswith(f"{command} ")), "")
    shell.block(around + text)
    assert list((home / "run").iterdir()) == []


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return names


def links(page: Path) -> Iterator[tuple[Path, str]]:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_its_links_lead_somewhere(page: Path) -> None:
    for target, anchor in links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors(target), (target, anchor)


def test_anchors_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# Errors, and `what` to do\n## A\n## A\n```bash\n# none\n```\n")
    assert anchors(tmp_path / "a.md") == {"errors-and-what-to-do", "a", "a-1"}


def test_every_page_can_be_reached_from_the_first() -> None:
    first = ROOT / "docs/index.md"
    assert first in {target for target, _ in links(ROOT / "README.md")}
    found, new = {first}, {first}
    while new := {target for page in new for target, _ in links(page) if target.suffix == ".md"} - found:
        found |= new
    assert set((ROOT / "docs").glob("*.md")) <= found


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_its_options_exist(page: Path) -> None:
    components = list(generate.components().values())
    if page.stem == "ecs":
        components.append(component_of(EcsOptions, "worker_manager"))
    known = {option.flag for component in components for option in component.options} | OTHER_FLAGS
    for line in page.read_text().splitlines():
        # Other programs' options are their own business, and those of the simulator, which nobody installs.
        if ("scaler" in line and "scaler-sim" not in line) or "`--" in line:
            told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line))
            assert told <= known | {"--settings-fd"}, line
    assert not {each.flag for each in retired.RETIRED} & set(re.findall(r"--[a-z][a-z-]+", page.read_text()))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_its_variables_exist(page: Path) -> None:
    components = list(generate.components().values())
    known = {option.variable for component in components for option in component.options}
    known |= {"SCALER_KEY", "SCALER_UNIT", *(f"SCALER_{name}_DIR" for name in ("CONFIG", "RUNTIME", "STATE", "CACHE"))}
    assert set(re.findall(r"SCALER_[A-Z_]*[A-Z]", page.read_text())) <= known


def test_the_reference_of_commands_is_what_the_options_say() -> None:
    assert reference.path().read_text() == reference.source(), "run: python -m scaler.cli.reference"
    assert reference.common_path().read_text() == reference.common_source(), "run: python -m scaler.cli.reference"


def cells(page: Path, column: int = 0) -> list[str]:
    """Of a page's tables, header lines aside."""
    rows = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")]
    return [row[column].strip("| ") for row in rows]


def test_every_error_is_documented() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE))
    classes = {
        name
        for name, value in [*vars(errors).items(), ("CancelledError", errors.CancelledError)]
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__name__ == name
    }
    assert told == classes
    assert "`TaskExceptionNotSerializableError` is the same class" in (ROOT / "docs/errors.md").read_text()


def test_errors_are_also_what_the_page_says_they_are() -> None:
    for line in (ROOT / "docs/errors.md").read_text().splitlines():
        if found := re.match(r"\| `(\w+)` \|.*?(?:also a|also an) ([^|.]*?) \|", line):
            bases = re.findall(r"`(\w+)`", found[2])
            assert bases
            builtins = {each.__name__ for each in getattr(errors, found[1]).__mro__}
            assert set(bases) <= builtins, line


def test_errors_of_commands_are_where_the_page_says() -> None:
    for name in re.findall(r"^\| `(scaler\.[\w.]+)` \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE):
        module, _, cls = name.rpartition(".")
        assert issubclass(getattr(__import__(module, fromlist=[cls]), cls), errors.ScalerError)


def test_the_example_of_an_error_is_what_is_printed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = [text for text in blocks(ROOT / "docs/configuration.md", "text") if text.startswith("error: ")]
    monkeypatch.chdir(home)
    Path("config.toml").write_text(blocks(ROOT / "docs/index.md", "toml")[0].replace("concurrency", "concurency"))
    with pytest.raises(ConfigurationError) as caught:
        read_plan("config.toml")
    assert example == f"error: {caught.value}\n"


# What dies, by the first words of each row of the page, and the tests that kill it.
KILLS = {
    "a process that runs a task": [
        "faults/test_executor_deaths.py::test_an_element_that_was_killed_once_is_tried_again",
        "faults/test_executor_deaths.py::test_a_deadly_element_fails_alone",
    ],
    "what a task started": ["system/test_agent.py::test_what_a_task_started_ends_with_its_executor"],
    "an agent, or its machine": [
        "faults/test_agent_and_scheduler_deaths.py::test_a_killed_agents_tasks_are_finished_by_another",
        "faults/test_agent_and_scheduler_deaths.py::test_a_killed_agents_only_started_elements_count_an_attempt",
    ],
    "a worker manager": ["system/test_stack.py::test_a_map_survives_a_killed_part"],
    "the scheduler, and is started again at its address": [
        "faults/test_agent_and_scheduler_deaths.py::test_a_scheduler_killed_with_a_hundred_thousand_tasks_comes_back",
        "system/test_client_reconnect.py::test_killed_scheduler_comes_back_and_each_result_comes_once",
    ],
    "the scheduler, for good": [
        "system/test_client_reconnect.py::test_scheduler_that_stays_away_fails_what_is_pending",
        "system/test_agent.py::test_it_ends_when_the_scheduler_does_not_come_back",
    ],
    "object storage, and is started again at its address": [
        "faults/test_agent_and_scheduler_deaths.py::test_large_arguments_survive_scheduler_and_storage",
        "faults/test_storage_deaths.py::test_a_reference_whose_bytes_the_client_has_is_put_again",
        "faults/test_storage_deaths.py::test_a_result_that_only_the_storage_had_is_a_missing_object",
        "faults/test_storage_deaths.py::test_written_through_results_and_references_are_there_again",
        "system/test_stack_objects.py::test_a_killed_storage_finds_its_objects_again",
    ],
    "object storage, for good": ["faults/test_storage_deaths.py::test_what_needs_a_storage_that_stays_away_fails"],
    "a client": ["faults/test_client_deaths.py::test_tasks_of_a_killed_client_make_way_for_those_of_others"],
    "a connection": ["unit/test_client_submit.py::test_connection_that_breaks_is_resumed"],
    "a part of `scaler FILE`": [
        "system/test_stack.py::test_a_part_that_dies_five_times_in_a_minute_is_given_up",
        "system/test_stack.py::test_a_map_survives_a_killed_part",
    ],
    "`scaler FILE` itself": ["system/test_stack.py::test_all_parts_end_with_a_stack_that_is_killed"],
}


def test_what_dies_is_killed_by_tests() -> None:
    assert cells(ROOT / "docs/failure-semantics.md") == ["what dies", *KILLS]
    for name in itertools.chain.from_iterable(KILLS.values()):
        path, _, function = name.partition("::")
        assert f"def {function}(" in (ROOT / "tests" / path).read_text(), name
