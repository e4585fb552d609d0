"""Rules about the process that a driver lives in: others are there too."""

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType

from scaler.managers.api import Scope
from scaler.testing.contract.rule import expect, rule
from scaler.testing.contract.trial import Trial


@rule("Keep what is needed from call to call in `context.state`, and tag units with owner and id.")
def two_contexts_share_nothing(trial: Trial) -> None:
    """Two managers in one process may even use the same ids: each has its own units, and ends its own."""
    one, two = trial.context(manager="one"), trial.context(manager="two")
    name = trial.id()
    trial.start(one, [name])
    trial.start(two, [name])
    trial.until_seen(name, name)
    for context in (one, two):
        expect(len(trial.heartbeat(context)) == 1, f"{context.owner.manager} shows {trial.heartbeat(context)!r}")
    trial.shutdown(one, [name])
    trial.until_seen(name)
    trial.until(lambda: name in trial.living(two), lambda: "the other's is not shown any more")


@rule("Move it into `context.state`; `open` makes that.")
def module_has_no_state(trial: Trial) -> None:
    """A round of all hooks leaves the module's globals, its classes and its functions' defaults as they were."""
    module = trial.case.module
    before = _globals(module)
    context = trial.context()
    names = [unit.id for unit in trial.started(context, 2)]
    trial.heartbeat(context)
    trial.shutdown(context, names)
    trial.until_gone(*names)
    trial.cleanup(context, Scope.MANAGER)
    after = _globals(module)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    expect(not changed, f"what changed in {module.__name__}: {', '.join(changed)}")


def _globals(module: ModuleType) -> dict[str, str]:
    """What each holds, as text. Of other modules' objects only which they are."""
    found: dict[str, str] = {}
    for name, value in vars(module).items():
        if name.startswith("__"):
            continue
        own = getattr(type(value), "__module__", "") == module.__name__
        if isinstance(value, type) and value.__module__ == module.__name__:
            plain = {key: _text(each) for key, each in vars(value).items() if not key.startswith(("__", "_abc"))}
            found[name] = repr(plain)
        elif own and hasattr(value, "__dict__"):
            found[name] = f"{id(value)} {vars(value)!r}"
        else:
            found[name] = _text(value)
    return found


def _text(value: object) -> str:
    if isinstance(value, FunctionType):
        return f"{id(value)} {value.__defaults__!r} {value.__kwdefaults__!r} {vars(value)!r}"
    if isinstance(value, (dict, list, set, tuple, bytearray, str, int, float, bytes, bool, type(None))):
        return f"{type(value).__name__} {value!r}"
    return str(id(value))


@rule("Use no locks around slow calls, and nothing that is only for one thread, such as an SDK's session object.")
def hooks_run_beside_each_other(trial: Trial) -> None:
    """Heartbeats go on in one thread while units start and end in others, and none of them fails."""
    context = trial.context()
    failed: list[Exception] = []
    ended = threading.Event()

    def beat() -> None:
        while not ended.is_set():
            trial.heartbeat(context)

    def start_and_end() -> None:
        for _ in range(2):
            names = [unit.id for unit in trial.started(context, 2)]
            trial.shutdown(context, names)

    def quietly(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            failed.append(error)

    beating = threading.Thread(target=quietly, args=(beat,))
    workers = [threading.Thread(target=quietly, args=(start_and_end,)) for _ in range(3)]
    for each in (beating, *workers):
        each.start()
    for each in workers:
        each.join()
    ended.set()
    beating.join()
    expect(not failed, f"a hook raised {failed[:1]!r}")
    trial.until(lambda: not trial.units_seen(), lambda: f"{len(trial.units_seen())} units are still there")


@rule("End threads, processes and clients with the units, or in `close`; close descriptors where they were opened.")
def nothing_of_the_process_is_left_after_close(trial: Trial) -> None:
    """Once all units have ended and the context is closed, there are no more threads, child processes and descriptors
    than before."""
    _round(trial)  # what an SDK opens once, for ever
    before = _left()
    _round(trial)

    def more() -> dict[str, set[str]]:
        gc.collect()
        return {kind: now - before[kind] for kind, now in _left().items() if now - before[kind]}

    trial.until(lambda: not more(), lambda: f"what is left: {more()}")


def _round(trial: Trial) -> None:
    context = trial.context()
    names = [unit.id for unit in trial.started(context, 2)]
    trial.heartbeat(context)
    trial.shutdown(context, names)
    trial.until_gone(*names)
    trial.heartbeat(context)
    trial.cleanup(context, Scope.MANAGER)
    trial.close(context)


def _left() -> dict[str, set[str]]:
    return {
        "threads": {f"{each.name} ({each.ident})" for each in threading.enumerate()},
        "processes": {child for task in Path("/proc/self/task").iterdir() for child in _children(task)},
        "descriptors": _descriptors(),
    }


def _children(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except OSError:
        return []  # a thread that has ended meanwhile


def _descriptors() -> set[str]:
    found = set()
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue  # the one of this very listing
        if not target.startswith("/proc/"):
            found.add(f"{entry} → {target}")
    return found
