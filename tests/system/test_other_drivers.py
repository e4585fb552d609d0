"""Tasks on drivers that are not the host's own: that of `docs/write-a-driver.md`, and of a generated package."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from commands import PATIENCE, Command, Run
from scaler import Client

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/contract"))

from shed import Shed  # noqa: E402

pytestmark = pytest.mark.timeout(180)

SCALING = ["-pc", "allocate=even_load; scaling=vanilla", "--scale-down-cooldown-seconds", "1"]


def install(folder: Path, distribution: str, name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry point, as an installation leaves it, and the folder on the path of all commands."""
    about = folder / f"{distribution.replace('-', '_')}-0.1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1.0\n")
    (about / "entry_points.txt").write_text(f"[scaler.drivers]\n{name} = {module}\n")
    (about / "RECORD").touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ["PYTHONPATH"]]))


def scheduler(run: Run, home: Path) -> str:
    (home / "run").mkdir(mode=0o700)
    address = f"ipc://{home}/run/scheduler"
    run("scheduler", address, *SCALING).read_until("scheduler listens at")
    return address


def works(address: str) -> None:
    with Client(address, timeout_seconds=PATIENCE) as client:
        assert client.map(pow, [2] * 50, range(50)).results() == [2**each for each in range(50)]


def meet(*pipes: str) -> int:
    """Goes on when somebody reads each of them in turn. The agent whose task it is."""
    for pipe in pipes:
        Path(pipe).write_bytes(b"here")
    return os.getppid()


def end(command: Command) -> None:
    code, output = command.end(signal.SIGTERM)
    assert (code, "Traceback" in output) == (0, False), output


def test_driver_of_the_page_runs_tasks(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = home / "site/scaler_plugin_shell"
    package.mkdir(parents=True)
    page = (ROOT / "docs/write-a-driver.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (package / "driver.py").write_text("\n\n".join(blocks))
    install(home / "site", "scaler-plugin-shell", "shell", "scaler_plugin_shell.driver", monkeypatch)
    shed = Shed(home)
    options = {**shed.options, "program": f"{sys.executable} -m scaler.cli.cluster", "command_timeout_seconds": 20}
    typed = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    address = scheduler(run, home)
    manager = run("worker_manager", "shell", address, "--max-task-concurrency", "2", *typed)
    try:
        works(address)
        end(manager)
        assert list(shed.look()) == []
    finally:
        shed.end()


def test_generated_package_runs_tasks(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, told = run("worker_manager", "new-driver", "my_cloud", str(home / "plugin")).finish()
    assert code == 0, told
    install(home / "plugin/src", "scaler-plugin-my-cloud", "my_cloud", "scaler_plugin_my_cloud.driver", monkeypatch)
    address = scheduler(run, home)
    manager = run("worker_manager", "my_cloud", address, "--max-task-concurrency", "2")
    works(address)
    end(manager)
    assert not machines()


def test_generated_driver_finds_its_workers_after_its_manager_was_killed(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the suite promises of any driver that keeps its rules."""
    run("worker_manager", "new-driver", "my_cloud", str(home / "plugin")).finish()
    install(home / "plugin/src", "scaler-plugin-my-cloud", "my_cloud", "scaler_plugin_my_cloud.driver", monkeypatch)
    address = scheduler(run, home)
    command = ["my_cloud", address, "--max-task-concurrency", "2"]
    killed = run("worker_manager", *command)
    with Client(address, timeout_seconds=PATIENCE) as client:
        runs, ends = home / "runs", home / "ends"
        os.mkfifo(runs)
        os.mkfifo(ends)
        held = client.submit(meet, str(runs), str(ends))
        runs.read_bytes()
        before = machines()
        assert len(before) == 1
        killed.process.kill()
        killed.process.wait()
        manager = run("worker_manager", *command)
        manager.read_until("workers")
        ends.read_bytes()
        assert held.result(PATIENCE) == before[0]
        assert before[0] in machines()
        works(address)
    end(manager)
    assert not machines()


def machines() -> list[int]:
    """Of generated packages' drivers."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SCALER_PLUGIN_MY_CLOUD_ID") == str(process.pid):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def _run(arguments: list[str | Path], **options: object) -> str:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{shlex.join(map(str, arguments))}\n{done.stdout}{done.stderr}"
    return str(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_generated_package_runs_tasks_in_a_fresh_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its wheel and the host's, in a virtual environment that has nothing else but what they depend on."""
    _run([sys.executable, "-m", "scaler.cli.worker_manager", "new-driver", "my_cloud", home / "plugin"])
    monkeypatch.delenv("PYTHONPATH")
    wheels = home / "wheels"
    # One that was built already: that takes minutes.
    given = os.environ.get("HOST_WHEEL")
    if given:
        wheels.mkdir()
        (wheels / Path(given).name).write_bytes(Path(given).read_bytes())
    else:
        _run([sys.executable, "-m", "maturin", "build", "--release", "--out", wheels], cwd=ROOT)
    _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, home / "plugin"])
    _run([sys.executable, "-m", "venv", home / "venv"])
    commands = home / "venv/bin"
    _run([commands / "python", "-m", "pip", "install", "--quiet", *sorted(wheels.glob("*.whl"))])
    assert re.search(
        r"my_cloud .*scaler-plugin-my-cloud 0\.1\.0.*capacity", _run([commands / "scaler_worker_manager", "--list"])
    )
    assert "--slots-of-a-machine" in _run([commands / "scaler_worker_manager", "my_cloud", "--help"])

    (home / "run").mkdir(mode=0o700)
    address = f"ipc://{home}/run/scheduler"
    script = f"""
from scaler import Client
with Client({address!r}, timeout_seconds={PATIENCE}) as client:
    print(sum(client.map(pow, [2] * 50, range(50)).results()))
"""
    started = []
    try:
        for words in (
            ["scaler_scheduler", address, *SCALING],
            ["scaler_worker_manager", "my_cloud", address, "-mtc", "2"],
        ):
            started.append(subprocess.Popen([commands / words[0], *words[1:]]))
        assert _run([commands / "python", "-c", script]) == f"{2**50 - 1}\n"
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
    assert not machines()
