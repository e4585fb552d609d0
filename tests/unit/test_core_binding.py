"""`_core.pyi` says what the extension module has: names, parameters with their defaults, values."""

from __future__ import annotations

import ast
import inspect
import itertools
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from scaler import _core

STUB = ast.parse((Path(_core.__file__).parent / "_core.pyi").read_text())
CLASSES = [node for node in STUB.body if isinstance(node, ast.ClassDef)]
FUNCTIONS = [node for node in STUB.body if isinstance(node, ast.FunctionDef)]
CONSTANTS = [node for node in STUB.body if isinstance(node, ast.AnnAssign)]
METHODS = [
    (owner.name, node)
    for owner in CLASSES
    for node in owner.body
    # What has a buffer shows it to Python by a method from 3.12 on.
    if isinstance(node, ast.FunctionDef) and not node.decorator_list and node.name != "__buffer__"
]
PROPERTIES = [
    (owner.name, node.name)
    for owner in CLASSES
    for node in owner.body
    if isinstance(node, ast.FunctionDef) and node.decorator_list
]


def parameters_of(function: ast.FunctionDef) -> list[tuple[str, Any]]:
    """(name, default) of each; a keyword-only one has a star before its name."""
    arguments = function.args
    positional = arguments.posonlyargs + arguments.args
    empty = len(positional) - len(arguments.defaults)
    found = [
        (one.arg, default_of(arguments.defaults[at - empty]) if at >= empty else inspect.Parameter.empty)
        for at, one in enumerate(positional)
    ]
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append((f"*{one.arg}", inspect.Parameter.empty if default is None else default_of(default)))
    return found


def default_of(node: ast.expr) -> Any:
    return getattr(_core, node.id) if isinstance(node, ast.Name) else ast.literal_eval(node)


def parameters_there(function: Any) -> list[tuple[str, Any]]:
    found = []
    for one in inspect.signature(function).parameters.values():
        star = "*" if one.kind is inspect.Parameter.KEYWORD_ONLY else ""
        found.append((star + one.name, one.default))
    return found


def same(stub: list[tuple[str, Any]], there: list[tuple[str, Any]]) -> bool:
    """Defaults that the module cannot tell, because making them is code, are only looked at for being there."""
    if [name for name, _ in stub] != [name for name, _ in there]:
        return False
    pairs = zip(stub, there, strict=True)
    return all(left == right or right is ... for (_, left), (_, right) in pairs)


def test_the_module_has_the_names_of_the_stub_and_no_others() -> None:
    stub = {node.name for node in CLASSES + FUNCTIONS} | {ast.unparse(node.target) for node in CONSTANTS}
    there = {name for name in dir(_core) if not name.startswith("_")}
    assert there == stub


@pytest.mark.parametrize("node", CONSTANTS, ids=lambda node: ast.unparse(node.target))
def test_a_constant_has_the_value_of_the_stub(node: ast.AnnAssign) -> None:
    value = getattr(_core, ast.unparse(node.target))
    if node.value is not None:
        assert value == ast.literal_eval(node.value)
    else:
        assert type(value).__name__ in ast.unparse(node.annotation)


@pytest.mark.parametrize("node", FUNCTIONS, ids=lambda node: node.name)
def test_a_function_has_the_parameters_of_the_stub(node: ast.FunctionDef) -> None:
    assert same(parameters_of(node), parameters_there(getattr(_core, node.name)))


@pytest.mark.parametrize("owner", CLASSES, ids=lambda node: node.name)
def test_a_class_has_the_members_of_the_stub_and_no_others(owner: ast.ClassDef) -> None:
    stub = {node.name for node in owner.body if isinstance(node, ast.FunctionDef)}
    there = {name for name in vars(getattr(_core, owner.name)) if not name.startswith("_")}
    assert there == {name for name in stub if not name.startswith("_")}


@pytest.mark.parametrize(("owner", "node"), METHODS, ids=lambda value: getattr(value, "name", value))
def test_a_method_has_the_parameters_of_the_stub(owner: str, node: ast.FunctionDef) -> None:
    kind = getattr(_core, owner)
    if node.name == "__init__":
        assert same(parameters_of(node)[1:], parameters_there(kind))
    else:
        assert same(parameters_of(node), parameters_there(getattr(kind, node.name)))


@pytest.mark.parametrize(("owner", "name"), PROPERTIES)
def test_a_property_is_one(owner: str, name: str) -> None:
    assert inspect.isdatadescriptor(vars(getattr(_core, owner))[name])


def test_options_are_equal_by_what_they_say() -> None:
    options = _core.Options(capabilities=[("b", 1), ("a", -1)], name="f")
    assert options == _core.Options(capabilities=[("a", -1), ("b", 1)], name="f")
    assert hash(options) == hash(_core.Options(capabilities=[("a", -1), ("b", 1)], name="f"))
    assert options != _core.Options(name="f")
    with pytest.raises(ValueError, match="twice"):
        _core.Options(capabilities=[("a", 1), ("a", 2)])


def test_a_table_gives_back_its_blobs() -> None:
    blobs = [b"one", b"", b"three"]
    packed = _core.pack_table(blobs)
    ends = _core.table_ends(packed, 3)
    assert [packed[start:end] for start, end in itertools.pairwise(ends)] == blobs
    with pytest.raises(ValueError, match="not a table of 4"):
        _core.table_ends(packed, 4)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(ValueError, match="one of auto, off, lz4, zstd"):
        _core.DealerBridge("libc.so.6", 1, 1, host="192.0.2.1", codec="gzip")


def test_a_library_without_the_functions_of_libzmq_is_refused() -> None:
    with pytest.raises(LookupError, match="it has no function zmq_msg_init"):
        _core.DealerBridge("libc.so.6", 1, 1, host="192.0.2.1", codec="off")
    with pytest.raises(LookupError, match="it is not loaded"):
        _core.RouterBridge("libnobody.so", 1, 1, port=1, codec="off", most_peers=1, most_silent=1)


@pytest.mark.parametrize("part", ["scheduler", "node", "store"])
def test_an_unknown_setting_is_refused_with_the_nearest_one(part: str) -> None:
    with pytest.raises(ValueError, match=f'{part} has no setting "memory_limt"; the nearest is "memory_limit"'):
        _core.Loop(**{part: {"memory_limt": 1}})


@pytest.mark.parametrize("scaling", ["no", "vanilla", "fixed_elastic", "capability", "waterfall_v1"])
def test_a_scheduler_takes_each_scaling_policy(scaling: str) -> None:
    settings = {"scaling": scaling, "waterfall": [(1, "here", 8), (-2, "cloud", None)], "scale_down_cooldown": 0.5}
    _core.Loop(scheduler=settings).stop()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"scaling": "vanila"}, 'waterfall_v1, not "vanila"'),
        ({"scaling": "waterfall_v1", "waterfall": [("one", "here", 8)]}, "waterfall"),
        ({"scale_down_cooldown": -1}, "scale_down_cooldown"),
    ],
)
def test_a_scaling_policy_that_is_none_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises((ValueError, TypeError), match=told):
        _core.Loop(scheduler=settings)


def test_a_setting_of_the_wrong_type_is_named() -> None:
    with pytest.raises(TypeError, match='"slots" of node'):
        _core.Loop(node={"slots": "two"})


def test_a_descriptor_that_is_not_open_is_refused() -> None:
    channel = _core.Channel(1, 2, b"", {}, 2.0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        channel.attach(987_654)


def test_a_stopped_loop_ends_the_wait_for_requests() -> None:
    loop = _core.Loop(store={})
    thread = threading.Thread(target=loop.run)
    thread.start()
    loop.stop()
    assert loop.next_request(None) is None
    thread.join()
    with pytest.raises(RuntimeError, match="runs once"):
        loop.run()


def test_wake_ends_a_wait() -> None:
    channel = _core.Channel(1, 2, b"", {}, 2.0)
    channel.wake()
    assert channel.wait(None) is False
    assert channel.wait(0) is False


def test_a_peer_that_hangs_up_is_an_event() -> None:
    channel = _core.Channel(1, 2, b"", {}, 2.0)
    ours, theirs = socket.socketpair()
    channel.attach(ours.detach())
    assert channel.attached
    theirs.close()
    assert channel.wait(None) is True
    assert channel.read() == [(_core.EVENT_DISCONNECTED,)]
    assert not channel.attached


def line_file() -> int:
    file = os.memfd_create("line")
    os.ftruncate(file, 4096)
    return file


def test_an_executor_whose_agent_is_gone_hears_so_in_both_threads() -> None:
    ours, theirs = socket.socketpair()
    port = _core.ExecutorPort(ours.detach(), line_file())
    answers: list[bool] = []
    flusher = threading.Thread(target=lambda: answers.append(port.wait_flush()))
    flusher.start()
    theirs.close()
    assert port.receive() is None
    flusher.join()
    assert answers == [False]


def test_a_short_line_is_refused() -> None:
    ours, _theirs = socket.socketpair()
    with pytest.raises(OSError, match="4096 bytes"):
        _core.ExecutorPort(ours.detach(), os.memfd_create("short"))


@pytest.mark.parametrize(
    "wait", [lambda: _core.Channel(1, 2, b"", {}, 2.0).wait(60), lambda: _core.Loop(store={}).next_request(60)]
)
def test_a_signal_is_handled_while_the_main_thread_waits(wait: Any) -> None:
    interrupter = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  # the signal may come first
        interrupter.start()
        wait()
    interrupter.join()
