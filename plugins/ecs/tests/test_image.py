"""The worker image: its entry point, run as it is, and the commands of its Dockerfile in a fresh environment."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import pytest
from dockerfile import Instruction, instructions
from wheels import ROOT, scaler_wheel, small_wheel

IMAGE = ROOT / "plugins" / "ecs" / "image"
VERSION = ".".join(map(str, sys.version_info[:3]))
SYSTEM = "/usr/local/bin:/usr/bin:/bin"
PATIENCE = 100.0
WRONG, UNAVAILABLE = 78, 69


@dataclass
class Unit:
    """A container's folders: what the image has, and where its user is at home."""

    image: Path
    home: Path
    links: Path
    programs: list[Path] = field(default_factory=list)

    def environment(self, **more: str) -> dict[str, str]:
        """Nothing of this process's; packages are from `links`, whatever this machine may reach."""
        path = os.pathsep.join([*map(str, self.programs), SYSTEM])
        return {
            "PATH": path,
            "HOME": str(self.home),
            "WORKER_IMAGE_FOLDER": str(self.image),
            "UV_DEFAULT_INDEX": str(self.links / "no-index"),
            "UV_FIND_LINKS": str(self.links),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_CONFIG": "1",
            "UV_HTTP_RETRIES": "0",
            **more,
        }

    def start(self, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(IMAGE / "entrypoint.sh")],
            env=self.environment(**variables),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, **variables: str) -> tuple[int, list[str]]:
        """Exit code and lines."""
        process = self.start(**variables)
        said = process.communicate(timeout=PATIENCE)[0]
        return process.returncode, said.splitlines()


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("links")
    (folder / "no-index").mkdir()
    for name in ("tiny-one", "tiny-two", "tiny-three", "tiny-four"):
        small_wheel(folder, name)
    return folder


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that has it."""
    if found := shutil.which("uv"):
        return Path(found).parent
    folder = tmp_path_factory.mktemp("uv") / "venv"
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "uv>=0.8"]
    if subprocess.run(pip, check=False).returncode:
        pytest.skip("there is no uv, and no index to install it from")
    return folder / "bin"


@pytest.fixture
def bare(tmp_path: Path, links: Path) -> Unit:
    """Without uv: nothing is to be installed."""
    unit = Unit(tmp_path / "image", tmp_path / "home", links)
    unit.home.mkdir()
    venv.create(unit.image / "venv", with_pip=False, symlinks=True)
    small_wheel(unit.image / "wheels", "scaler-py", "0.1")
    return unit


@pytest.fixture
def unit(bare: Unit, uv: Path) -> Unit:
    bare.programs.append(uv)
    return bare


def has(*names: str) -> str:
    """A command that says which of these modules there are."""
    code = "import importlib.util as u, sys; print(*(n for n in sys.argv[1:] if u.find_spec(n)))"
    return f"python -c {shlex.quote(code)} {shlex.join(names)}"


def test_command_is_run_by_the_images_python_when_nothing_is_asked_for(bare: Unit) -> None:
    code, said = bare.run(COMMAND="command -v python; echo $VIRTUAL_ENV; exit 7")
    assert code == 7
    assert said[-2:] == [str(bare.image / "venv" / "bin" / "python"), str(bare.image / "venv")]
    assert said[0] == f"worker image: Python {VERSION}, the image's own"


@pytest.mark.parametrize("version", [VERSION, VERSION.rpartition(".")[0], ""])
def test_version_that_the_image_has_is_not_installed_again(bare: Unit, version: str) -> None:
    code, said = bare.run(COMMAND="true", PYTHON_VERSION=version, PYTHON_REQUIREMENTS=" ;\n")
    assert (code, said) == (
        0,
        [
            f"worker image: Python {VERSION}, the image's own",
            "worker image: nothing to install",
            "worker image: starting the worker",
        ],
    )


def test_without_a_command_it_says_what_to_set(bare: Unit) -> None:
    code, said = bare.run()
    assert code == WRONG
    assert said[-1].startswith("worker image: error: COMMAND is not set")
    assert "To do: set it in the container's environment" in said[-1]


def test_signal_reaches_the_command(bare: Unit) -> None:
    code = (
        'import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); print(\\"up\\", flush=True); '
        "signal.pause()"
    )
    process = bare.start(COMMAND=f'exec python -c "{code}"')
    assert process.stdout is not None
    while process.stdout.readline() != "up\n":
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 5


@pytest.mark.parametrize(
    "text", ["tiny-one;tiny-two==1.0;tiny-three", "tiny-one\ntiny-two==1.0\n\ntiny-three  # why\n"]
)
def test_requirements_stand_on_lines_or_between_semicolons(unit: Unit, text: str) -> None:
    command = has("tiny_one", "tiny_two", "tiny_three", "tiny_four")
    code, said = unit.run(COMMAND=command, PYTHON_REQUIREMENTS=text)
    assert (code, said[-1]) == (0, "tiny_one tiny_two tiny_three")
    assert "worker image: installing tiny-one, tiny-two==1.0, tiny-three" in said


def test_marker_stays_with_its_requirement(unit: Unit) -> None:
    text = (
        "tiny-one; python_version >= '3.8';tiny-two ; (sys_platform == \"win32\" or python_version<'3')\n"
        "tiny-three;\"linux\" in sys_platform;tiny-four;platform_system=='Windows'"
    )
    command = has("tiny_one", "tiny_two", "tiny_three", "tiny_four")
    code, said = unit.run(COMMAND=command, PYTHON_REQUIREMENTS=text)
    assert (code, said[-1]) == (0, "tiny_one tiny_three")


def test_requirement_that_cannot_be_installed_is_in_the_last_line(unit: Unit) -> None:
    text = "tiny-one;no-such-thing==3.1;tiny-two @ https://somebody:secret@127.0.0.1:1/tiny_two-1.0-py3-none-any.whl"
    code, said = unit.run(COMMAND="echo started", PYTHON_REQUIREMENTS=text)
    assert code == UNAVAILABLE
    assert "started" not in said
    assert said[-1].startswith("worker image: error: the packages of PYTHON_REQUIREMENTS")
    assert "no-such-thing==3.1" in said[-1]
    assert "To do: see uv's lines above" in said[-1]
    assert not any("secret" in line for line in said if line.startswith("worker image"))


def test_python_that_cannot_be_had_is_in_the_last_line(unit: Unit) -> None:
    code, said = unit.run(COMMAND="echo started", PYTHON_VERSION="3.99.1")
    assert code == UNAVAILABLE
    assert "started" not in said
    assert said[-1].startswith(
        "worker image: error: Python 3.99.1 (PYTHON_VERSION, --ecs-python-version) cannot be had"
    )


@pytest.mark.parametrize("named", [False, True])
def test_another_python_gets_the_images_software_unless_another_is_named(unit: Unit, named: bool) -> None:
    minor = _another_minor(unit)
    small_wheel(unit.home / "newer", "scaler-py", "0.2")
    requirement = f"scaler_py @ file://{unit.home}/newer/scaler_py-0.2-py3-none-any.whl"
    command = "python -c 'import scaler_py, sys; print(scaler_py.VERSION, *sys.version_info[:2])'"
    code, said = unit.run(
        COMMAND=command, PYTHON_VERSION=minor, PYTHON_REQUIREMENTS=f"tiny-one;{requirement if named else ''}"
    )
    assert (code, said[-1]) == (0, f"{'0.2' if named else '0.1'} {minor.replace('.', ' ')}"), said
    assert f"worker image: Python {minor} is made ready, for the image's own is {VERSION}" in said


def _another_minor(unit: Unit) -> str:
    """Of a Python that this machine has, in PATH or beside this one, as pyenv has them; the unit can find it then."""
    beside = Path(sys.base_prefix).parent.glob("*/bin")
    path = os.pathsep.join([*map(str, beside), SYSTEM])
    for minor in ("3.14", "3.13", "3.12", "3.11"):
        found = shutil.which(f"python{minor}", path=path)
        if found is not None and minor != VERSION.rpartition(".")[0]:
            unit.programs.append(Path(found).parent)
            return minor
    pytest.skip("this machine has one Python only")


def test_signal_while_it_installs_ends_it_and_uv(unit: Unit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as index:
        address = f"http://127.0.0.1:{index.getsockname()[1]}/simple"
        process = unit.start(COMMAND="echo started", PYTHON_REQUIREMENTS="tiny-five", UV_DEFAULT_INDEX=address)
        index.settimeout(PATIENCE)
        connection, _ = index.accept()
        with connection:
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=PATIENCE)[0]
            # uv is gone too: its end of the connection is closed.
            connection.settimeout(PATIENCE)
            while connection.recv(4096):
                pass
    assert process.returncode == 143
    assert "started" not in said.splitlines()


# The Dockerfile.


@pytest.fixture(scope="module")
def dockerfile() -> list[Instruction]:
    return list(instructions(IMAGE / "Dockerfile"))


def last_stage(found: list[Instruction]) -> list[Instruction]:
    return [each for each in found if each.stage == found[-1].stage]


def test_everything_that_is_copied_is_there_and_the_rest_is_not_needed(dockerfile: list[Instruction]) -> None:
    for each in dockerfile:
        if each.name == "COPY" and "from" not in each.options:
            for source in each.words[:-1]:
                assert (ROOT / source).exists(), source


def test_image_runs_the_entry_point_and_not_as_root(dockerfile: list[Instruction]) -> None:
    (entry,) = (each.words for each in dockerfile if each.name == "ENTRYPOINT")
    copied = [each for each in dockerfile if each.name == "COPY" and each.words[-1].endswith(f"/{entry[0]}")]
    assert [each.words[0] for each in copied] == ["plugins/ecs/image/entrypoint.sh"]
    assert copied[0].options["chmod"] == "755"
    users = [each.text for each in last_stage(dockerfile) if each.name == "USER"]
    assert users
    assert users[-1] != "root"


def test_default_python_of_the_image_is_the_options_default(dockerfile: list[Instruction]) -> None:
    """So that a task that asks for nothing has nothing to download."""
    from scaler_plugin_ecs.options import EcsOptions

    arguments = dict(each.text.split("=", 1) for each in dockerfile if each.name == "ARG" and "=" in each.text)
    assert arguments["PYTHON_VERSION"] == EcsOptions.model_fields["ecs_python_version"].default


def test_context_is_enough_for_cargo(dockerfile: list[Instruction], tmp_path: Path) -> None:
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("there is no cargo")
    for each in dockerfile:
        if each.name == "COPY" and each.stage == 0:
            for source in each.words[:-1]:
                _copy(ROOT / source, tmp_path / (source if (ROOT / source).is_dir() else Path(source).name))
    command = [cargo, "metadata", "--locked", "--offline", "--no-deps", "--format-version=1"]
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.so", "target"))
    else:
        shutil.copy(source, target)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_the_dockerfile_installs_runs_a_worker(dockerfile: list[Instruction], tmp_path: Path) -> None:
    """Each of its commands that installs, in a fresh environment with a wheel of this checkout; needs an index."""
    opt, python = tmp_path / "opt", tmp_path / "python"
    venv.create(python, with_pip=True)
    scaler_wheel(opt / "wheels")
    path = f"{python / 'bin'}:{SYSTEM}"
    inherited = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_", "HTTP"))}
    environment = {**inherited, "PATH": path, "HOME": str(tmp_path)}
    ran = 0
    for each in last_stage(dockerfile):
        if each.name == "ENV":
            environment.update(word.split("=", 1) for word in each.words)
        elif each.name == "RUN" and each.words[0] in ("pip", "uv"):
            command = each.text.replace("/opt/scaler", str(opt))
            subprocess.run(["sh", "-ec", command], env=environment, check=True, timeout=PATIENCE * 3)
            ran += 1
    assert ran == 3
    home = tmp_path / "home"
    home.mkdir()
    unit = Unit(opt, home, tmp_path / "links", [python / "bin"])
    (unit.links / "no-index").mkdir(parents=True)
    # There is no index: all of it is there already.
    wanted = f"dask;scaler-py=={metadata.version('scaler-py')}"
    code, said = unit.run(COMMAND="exec scaler_cluster --help", PYTHON_REQUIREMENTS=wanted)
    assert code == 0, said
    assert f"worker image: installing {wanted.replace(';', ', ')}" in said
    assert any("scaler_cluster" in line for line in said)


@pytest.fixture(autouse=True)
def _nothing_runs_on() -> Iterator[None]:
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
