"""The tests of CPython for executors, `wait` and `as_completed`, from the interpreter's own `test` package."""

from __future__ import annotations

import importlib
import types
import unittest
from collections.abc import Iterator

import pytest
from scaler import ScalerExecutor, SchedulerClusterCombo

PACKAGE = "test.test_concurrent_futures"
try:
    WHOLE = importlib.import_module(PACKAGE)
except ImportError:
    pytest.skip(f"this interpreter comes without {PACKAGE}", allow_module_level=True)


def part(name: str) -> types.ModuleType:
    """One module of the package; the first releases of 3.11 have all in one."""
    return importlib.import_module(f"{PACKAGE}.{name}") if hasattr(WHOLE, "__path__") else WHOLE


PARTS = (
    "executor",
    "test_as_completed",
    "test_deadlock",
    "test_future",
    "test_init",
    "test_process_pool",
    "test_shutdown",
    "test_thread_pool",
    "test_wait",
)
THEIRS: list[type] = [
    part("executor").ExecutorTest,
    part("test_thread_pool").ThreadPoolExecutorTest,
    part("test_process_pool").ProcessPoolExecutorTest,
    part("test_shutdown").ExecutorShutdownTest,
    part("test_shutdown").ThreadPoolShutdownTest,
    part("test_shutdown").ProcessPoolShutdownTest,
    part("test_wait").WaitTests,
    part("test_wait").ThreadPoolWaitTests,
    part("test_as_completed").AsCompletedTests,
]

MAKES_ITS_OWN = "makes a pool of the standard library itself"
SHARES_MEMORY = "its tasks use objects of the caller's memory, as threads can"
THREADS = "looks at the pool's threads"
PROCESSES = "looks at the pool's processes"
BY_NAME = "a script in it imports the executor from concurrent.futures"
INITIALIZER = "an initializer, which is the workers' affair here (preload)"
CHILDREN = "max_tasks_per_child, which is the workers' affair here"

CLASSES_THAT_DO_NOT_APPLY = {
    "ExecutorDeadlockTest": "a task whose process ends is tried again, and no pool breaks",
    "FailingInitializerMixin": INITIALIZER,
    "FailingInitializerResourcesTest": INITIALIZER,
    "FutureTests": "makes its futures itself",
    "InitializerMixin": INITIALIZER,
}
DO_NOT_APPLY = {
    "ThreadPoolExecutorTest.test_default_workers": THREADS,
    "ThreadPoolExecutorTest.test_executor_map_current_future_cancel": SHARES_MEMORY,
    "ThreadPoolExecutorTest.test_hang_global_shutdown_lock": MAKES_ITS_OWN,
    "ThreadPoolExecutorTest.test_idle_thread_reuse": THREADS,
    "ThreadPoolExecutorTest.test_map_submits_without_iteration": SHARES_MEMORY,
    "ThreadPoolExecutorTest.test_saturation": THREADS,
    "ThreadPoolShutdownTest.test_cancel_futures_wait_false": MAKES_ITS_OWN,
    "ThreadPoolShutdownTest.test_context_manager_shutdown": MAKES_ITS_OWN,
    "ThreadPoolShutdownTest.test_del_shutdown": MAKES_ITS_OWN,
    "ThreadPoolShutdownTest.test_shutdown_no_wait": MAKES_ITS_OWN,
    "ThreadPoolShutdownTest.test_thread_names_assigned": MAKES_ITS_OWN,
    "ThreadPoolShutdownTest.test_thread_names_default": MAKES_ITS_OWN,
    "ThreadPoolShutdownTest.test_threads_terminate": THREADS,
    "ThreadPoolWaitTests.test_pending_calls_race": SHARES_MEMORY,
    "ProcessPoolExecutorTest.test_idle_process_reuse_multiple": PROCESSES,
    "ProcessPoolExecutorTest.test_idle_process_reuse_one": PROCESSES,
    "ProcessPoolExecutorTest.test_killed_child": "a task whose process is killed is tried again, and no pool breaks",
    "ProcessPoolExecutorTest.test_max_tasks_early_shutdown": CHILDREN,
    "ProcessPoolExecutorTest.test_max_tasks_per_child": CHILDREN,
    "ProcessPoolExecutorTest.test_max_tasks_per_child_defaults_to_spawn_context": CHILDREN,
    "ProcessPoolExecutorTest.test_max_workers_too_large": MAKES_ITS_OWN,
    "ProcessPoolExecutorTest.test_python_finalization_error": "needs a context of multiprocessing",
    "ProcessPoolExecutorTest.test_ressources_gced_in_workers": "needs a context of multiprocessing",
    "ProcessPoolExecutorTest.test_saturation": PROCESSES,
    "ProcessPoolExecutorTest.test_traceback": "the cause is a RemoteTraceback of scaler's",
    "ProcessPoolShutdownTest.test_context_manager_shutdown": MAKES_ITS_OWN,
    "ProcessPoolShutdownTest.test_del_shutdown": MAKES_ITS_OWN,
    "ProcessPoolShutdownTest.test_processes_terminate": PROCESSES,
    "ProcessPoolShutdownTest.test_shutdown_no_wait": MAKES_ITS_OWN,
    "ExecutorShutdownTest.test_hang_gh83386": BY_NAME,
    "ExecutorShutdownTest.test_interpreter_shutdown": BY_NAME,
    "ExecutorShutdownTest.test_submit_after_interpreter_shutdown": BY_NAME,
}
NOT_IN_EVERY_VERSION = {
    "FailingInitializerResourcesTest",
    "ProcessPoolExecutorTest.test_python_finalization_error",
}


class ClusterExecutor(ScalerExecutor):
    address = ""

    def __init__(self, max_workers: int | None = None) -> None:
        super().__init__(self.address, max_workers)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """As many workers as their executors have at most."""
    with SchedulerClusterCombo(n_workers=5) as cluster:
        ClusterExecutor.address = cluster.get_address()
        yield


def own_tests(theirs: type) -> set[str]:
    return {name for name in vars(theirs) if name.startswith("test")}


def ours(theirs: type) -> type:
    """Their class with an executor of ours, and of its tests those that apply and are no base class's."""
    is_whole = issubclass(theirs, unittest.TestCase)
    bases = (theirs,) if is_whole else (theirs, part("util").ExecutorMixin, part("util").BaseTestCase)
    hidden = {name: None for name in dir(theirs) if name.startswith("test")}
    for name in own_tests(theirs):
        if f"{theirs.__name__}.{name}" not in DO_NOT_APPLY:
            del hidden[name]
    return type(theirs.__name__, bases, {**hidden, "executor_type": ClusterExecutor, "__module__": __name__})


globals().update({theirs.__name__: ours(theirs) for theirs in THEIRS})


def test_the_table_of_classes_is_exact() -> None:
    """Every class of theirs is in it or taken, and all that it has are there."""
    classes = {each for name in PARTS for each in vars(part(name)).values() if isinstance(each, type)}
    others = {each.__name__ for each in classes if own_tests(each)} - {each.__name__ for each in THEIRS}
    assert others <= set(CLASSES_THAT_DO_NOT_APPLY)
    assert set(CLASSES_THAT_DO_NOT_APPLY) - others <= NOT_IN_EVERY_VERSION


def test_the_table_of_tests_is_exact() -> None:
    """Every test of theirs is in it or runs, and all that it has are there."""
    theirs = {f"{each.__name__}.{name}" for each in THEIRS for name in own_tests(each)}
    running = {
        f"{each.__name__}.{name}"
        for each in THEIRS
        for name in unittest.defaultTestLoader.getTestCaseNames(globals()[each.__name__])
    }
    assert running == theirs - set(DO_NOT_APPLY)
    assert set(DO_NOT_APPLY) - theirs <= NOT_IN_EVERY_VERSION
