"""Names that programs written for opengris-scaler import."""

import builtins
import importlib
import logging
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import scaler
from scaler import Client, Scheduler, errors
from scaler.config import retired

MOVED = {
    "scaler.utility.exceptions": "scaler.errors",
    "scaler.config.section.scheduler": "scaler.config.policy",
    "scaler.worker_adapter": "scaler.managers",
    "scaler.worker_manager_adapter": "scaler.managers",
    "scaler.worker_manager": "scaler.managers",
    "scaler.cluster.combo": "scaler.cluster",
    "scaler.client.serializer.mixins": "scaler.client.serializer",
    "scaler.client.serializer.default": "scaler.client.serializer",
    "scaler.client.future": "scaler.client.futures",
    "scaler.client.object_reference": "scaler.packing",
    "scaler.utility.metadata.profile_result": "scaler.client.profiling",
}
# What a program takes from a module that moved, where that is one class.
CLASSES = {
    "scaler.config.section.scheduler": "PolicyConfig",
    "scaler.cluster.combo": "SchedulerClusterCombo",
    "scaler.client.serializer.mixins": "Serializer",
    "scaler.client.serializer.default": "DefaultSerializer",
    "scaler.client.future": "ScalerFuture",
    "scaler.client.object_reference": "ObjectReference",
    "scaler.utility.metadata.profile_result": "ProfileResult",
}
# Left out on purpose.
ABSENT = ("scaler.compat.ray", "scaler.client.agent", "scaler.client.object_buffer", "scaler.protocol", "scaler.io")
# And what is raised here in their place.
ERRORS = {
    "ClientQuitException": errors.ClientQuitException,
    "ClientShutdownException": errors.ClientShutdownException,
    "DisconnectedError": errors.SchedulerUnreachableError,
    "TimeoutError": builtins.TimeoutError,
    "ProcessorDiedError": errors.ProcessorDiedError,
    "WorkerDiedError": errors.WorkerDiedError,
    "TaskExceptionNotSerializableError": errors.RemoteError,
    "DeserializeObjectError": errors.DeserializeObjectError,
    "MissingObjects": errors.MissingObjects,
    "ObjectStorageException": errors.ObjectStorageException,
    "SchedulerError": errors.ScalerError,
}
NEVER_RAISED = ("ClientCancelledException", "NoWorkerError", "TaskNotFoundError")


def test_public_names_are_there():
    names = ("Client", "ScalerFuture", "Serializer", "SchedulerClusterCombo", "Scheduler", "ObjectReference")
    assert all(isinstance(getattr(scaler, name), type) for name in names)
    assert isinstance(scaler.__version__, str)
    assert {*names, "__version__"} <= {*dir(scaler)} & {*scaler.__all__}


@pytest.mark.parametrize("old", MOVED)
def test_module_that_moved_says_once_where_to(old, monkeypatch):
    monkeypatch.delitem(sys.modules, old, raising=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            __import__(old)
    (warning,) = caught
    assert (warning.category, str(warning.message)) == (DeprecationWarning, f"{old} is {MOVED[old]} now")
    assert warning.filename == __file__
    importlib.import_module(MOVED[old])


@pytest.mark.parametrize("old", MOVED)
def test_the_docs_have_the_module_that_moved(old):
    page = (Path(__file__).parents[2] / "docs/migrating.md").read_text()
    assert re.search(rf"^\|.*`{re.escape(old)}`.* \| `{re.escape(MOVED[old])}`", page, re.MULTILINE)


@pytest.mark.filterwarnings("ignore:scaler.utility.exceptions:DeprecationWarning")
def test_errors_are_the_same_classes_under_both_names():
    exceptions = importlib.import_module("scaler.utility.exceptions")
    assert {name: getattr(exceptions, name) for name in ERRORS} == ERRORS
    assert all(issubclass(getattr(exceptions, name), BaseException) for name in NEVER_RAISED)
    assert {*ERRORS, *NEVER_RAISED} <= {*exceptions.__all__}


@pytest.mark.filterwarnings("ignore:scaler:DeprecationWarning")
@pytest.mark.parametrize("old", CLASSES)
def test_classes_are_the_same_in_both_places(old):
    name = CLASSES[old]
    new = getattr(importlib.import_module(MOVED[old]), name)
    assert getattr(importlib.import_module(old), name) is new
    assert getattr(scaler, name, new) is new


@pytest.mark.parametrize("absent", ABSENT)
def test_the_docs_say_why_a_module_is_not_there(absent):
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(absent)
    page = (Path(__file__).parents[2] / "docs/migrating.md").read_text()
    table = page.partition("## Left out on purpose")[2]
    assert re.search(rf"^\|.*`{re.escape(absent)}[.*]*`.* \| .+ \|$", table, re.MULTILINE)


def test_scheduler_cannot_be_made_and_says_what_to_use():
    with pytest.raises(errors.NotSupportedError, match=r"SchedulerClusterCombo.*scaler_scheduler"):
        Scheduler("tcp://127.0.0.1:8516", object())


def test_the_package_alone_warns_of_nothing_and_loads_no_module_of_older_names():
    program = (
        "import sys, scaler\n"
        "from scaler import Client, ScalerFuture, Serializer, SchedulerClusterCombo, Scheduler, __version__\n"
        f"assert not {set(MOVED)!r} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_security_config_is_answered_by_one_line(scheduler, monkeypatch, caplog):
    monkeypatch.setattr(retired, "_told", set())
    with caplog.at_level(logging.WARNING, "scaler"):
        for _ in range(2):
            # Where it comes in a call that names nothing.
            with Client(scheduler.address, False, 20, 2, None, False, None, object()) as client:
                assert client.submit(abs, -1).result(20) == 1
    assert [record.getMessage() for record in caplog.records] == [retired.answer("security_config")]
