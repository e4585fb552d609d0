"""What drivers are written against: hooks say all that an author needs to know, and nothing else of the host leaks."""

from __future__ import annotations

import inspect
import json
import logging
import pickle
import threading
import types
from typing import Any

import pytest
from scaler.managers import api
from scaler.managers.api import (
    Context,
    HookSpec,
    Job,
    Launch,
    Owner,
    Pace,
    batches,
    compress,
    decompress,
    pack_job,
    run_job,
    unpack_job,
)
from scaler.managers.api.jobs import EXCEPTION, VALUE, unpack_outcome
from scaler.packing import ObjectReference, dumps, loads, unpack_exception

HOOKS = {name: each for name, each in vars(HookSpec).items() if not name.startswith("_")}
SAID = ("Called", "Thread", "Deadline", "Returns", "Raises", "Then")
ERRORS = ("Throttled", "CredentialsExpired", "TemporaryError")


def parts_of(docstring: str) -> dict[str, str]:
    """What a hook's docstring says under each of its headings."""
    found: dict[str, str] = {}
    heading = ""
    for line in inspect.cleandoc(docstring).splitlines():
        name, colon, rest = line.partition(":")
        if colon and name in SAID:
            heading, line = name, rest
        if heading:
            found[heading] = f"{found.get(heading, '')} {line.strip()}".strip()
    return found


def test_the_hooks_are_those_of_the_design_and_an_offer() -> None:
    assert set(HOOKS) == {
        *("describe", "start", "heartbeat", "shutdown", "cleanup"),
        *("open", "validate", "offer", "collect", "commands"),
    }


@pytest.mark.parametrize("name", HOOKS)
def test_each_hook_says_when_whence_how_long_what_it_returns_and_raises_and_what_happens_then(name: str) -> None:
    docstring = HOOKS[name].__doc__ or ""
    assert inspect.cleandoc(docstring).partition(":")[0] not in SAID, "it begins with what the hook is for"
    said = parts_of(docstring)
    assert tuple(said) == SAID
    assert all(len(text) >= len("nothing.") for text in said.values()), said
    # A hook that may fail says which errors; one that the host calls again says after which.
    if name in {"start", "heartbeat", "shutdown", "cleanup", "collect"}:
        assert all(error in said["Raises"] for error in ERRORS)
    assert ("ConfigurationError" in said["Raises"]) == (
        name in {"open", "validate", "offer", "start", "shutdown", "commands"}
    )
    assert inspect.signature(HOOKS[name]).return_annotation is not inspect.Signature.empty


def test_exactly_what_is_said_is_given_to_drivers() -> None:
    public = {
        name
        for name, value in vars(api).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public == set(api.__all__)
    modules = {name for name, value in vars(api).items() if isinstance(value, types.ModuleType)}
    assert all(f"{api.__name__}.{name}" == vars(api)[name].__name__ for name in modules), "others' modules"


def test_all_that_is_given_is_documented() -> None:
    for name in api.__all__:
        value = getattr(api, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name


def test_an_owner_is_its_cluster_and_manager_whatever_the_generation() -> None:
    owner, later = Owner("c" * 16, "m"), Owner("c" * 16, "m", 7)
    assert owner.tags() == {"scaler:cluster": "c" * 16, "scaler:manager": "m", "scaler:generation": "1"}
    assert later.tags()["scaler:generation"] == "7"
    assert owner.hash == later.hash
    assert len(owner.hash) == 32
    int(owner.hash, 16)
    assert Owner("c" * 16, "n").hash != owner.hash
    assert Owner("d" * 16, "m").hash != owner.hash


def test_a_context_makes_tokens_and_shows_none() -> None:
    context = Context(Owner("", "m"), None, logging.getLogger("x"), make_token=lambda group: f"secret of {group}")
    assert context.join_token("g") == "secret of g"
    assert "make_token" not in repr(context)
    assert Context(Owner("", "m"), None, logging.getLogger("x")).join_token("g") == ""


def test_a_launch_shows_no_secret() -> None:
    launch = Launch({"scheduler": "a"}, {"SCALER_KEY": "secret"}, ("a", "-n", "2"))
    assert "secret" not in repr(launch)
    assert launch.command() == ["scaler_cluster", "a", "-n", "2"]
    assert launch.command(("python3", "-m", "scaler.cli.cluster"))[:3] == ["python3", "-m", "scaler.cli.cluster"]


class Clock:
    """Time that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 50.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


def test_a_pace_lets_a_burst_through_and_then_one_at_a_time() -> None:
    clock = Clock()
    pace = Pace(4, 3, clock=clock, sleep=clock.sleep)
    for _ in range(5):
        pace.wait()
    assert clock.slept == [0.25, 0.25]
    clock.now += 10.0
    clock.slept.clear()
    for _ in range(4):
        pace.wait()
    assert clock.slept == [0.25]


def test_a_pace_is_kept_by_all_threads_together() -> None:
    slept: list[float] = []
    pace = Pace(1, 1, clock=lambda: 0.0, sleep=slept.append)
    threads = [threading.Thread(target=pace.wait) for _ in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(slept) == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_pace_that_never_comes_is_refused(per_second: float, burst: int) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pace(per_second, burst)


def test_batches_have_a_size() -> None:
    assert list(batches(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches([], 3)) == []
    with pytest.raises(ValueError, match="at least 1"):
        list(batches([1], 0))


@pytest.mark.parametrize("codec", ["auto", "off", "lz4", "zstd", "gzip"])
def test_what_is_compressed_comes_back_within_its_limit(codec: str) -> None:
    for data in (b"", b"x", b"abc" * 100_000):
        packed = compress(data, codec)
        assert decompress(packed, len(data)) == data
        if len(data) > 1:
            assert (len(packed) < len(data) // 10) == (codec != "off")
            with pytest.raises(ValueError, match=r"limit|more than"):
                decompress(packed, len(data) - 1)
            with pytest.raises(ValueError, match=r"."):
                decompress(packed[:-1], len(data))


def test_a_bomb_is_refused_by_what_it_says_or_as_soon_as_it_is_too_large() -> None:
    for codec in ("zstd", "lz4", "gzip"):
        with pytest.raises(ValueError, match=r"limit|more than"):
            decompress(compress(bytes(50 << 20), codec), 1 << 20)


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b", b"\x1f\x8bnonsense", b"\x07" + bytes(20), bytes(11)])
def test_what_was_never_compressed_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decompress(data, 1 << 20)


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(ValueError, match="one of auto, off, lz4, zstd"):
        compress(b"x", "brotli")


def job(function: Any, *args: Any, python: str = "", **kwargs: Any) -> Job:
    return Job(
        *("s-17", 2, "name", dumps(function), dumps((args, kwargs)), ["aa", "bb"]), python, 1.5, -3, {"gpu": 2, "x": -1}
    )


def test_a_job_comes_back_as_it_was() -> None:
    wanted = job(divmod, 7, 2)
    assert unpack_job(pack_job(wanted)) == wanted
    assert unpack_job(compressed_and_back(pack_job(wanted))) == wanted


def compressed_and_back(data: bytes) -> bytes:
    return decompress(compress(data, "zstd"), 1 << 20)


def test_a_job_shows_nothing_of_its_arguments() -> None:
    assert "pass-word" not in repr(job(str, "pass-word"))


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"x", b"scaler-job-1\n", b"scaler-job-1\n\xff\xff\xff\xff{}", b"scaler-job-2\n\x02\x00\x00\x00{}"),
        b"scaler-job-1\n\x02\x00\x00\x00{}",
        b"scaler-job-1\n\x02\x00\x00\x00[]",
        pack_job(job(len, "abc"))[:80],
    ],
)
def test_what_is_no_job_is_refused_and_its_outcome_says_so(data: bytes) -> None:
    with pytest.raises(ValueError, match="no packed job"):
        unpack_job(data)
    kind, payload = unpack_outcome(run_job(data))
    assert kind == EXCEPTION
    assert isinstance(unpack_exception(payload), ValueError)


def test_a_job_runs_and_its_value_is_its_outcome() -> None:
    kind, payload = unpack_outcome(run_job(pack_job(job(sorted, [3, 1, 2], reverse=True))))
    assert (kind, loads(payload)) == (VALUE, [3, 2, 1])


class Mine(Exception):
    pass


def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [Mine("why"), SystemExit(3), KeyboardInterrupt()])
def test_what_a_job_raises_is_its_outcome(error: BaseException) -> None:
    kind, payload = unpack_outcome(run_job(pack_job(job(fail, error))))
    found = unpack_exception(payload)
    assert (kind, type(found), found.args) == (EXCEPTION, type(error), error.args)


def test_a_value_that_cannot_be_pickled_is_an_outcome() -> None:
    kind, payload = unpack_outcome(run_job(pack_job(job(threading.Lock))))
    assert kind == EXCEPTION
    assert "cannot be pickled" in str(unpack_exception(payload))


def test_a_function_that_cannot_be_had_says_for_which_python_it_was() -> None:
    broken = pickle.dumps(Mine).replace(b"Mine", b"Yours")
    wanted = job(len, "abc", python="3.3")
    kind, payload = unpack_outcome(run_job(pack_job(Job(**{**vars(wanted), "function": broken}))))
    assert kind == EXCEPTION
    assert "packed by Python 3.3" in str(unpack_exception(payload))


def test_references_of_a_job_are_replaced_by_their_objects() -> None:
    reference = ObjectReference("big", 3, 5, bytes(range(16)))
    asked: list[str] = []

    def read(name: str) -> bytes:
        asked.append(name)
        return dumps([1, 2, 3])

    packed = pack_job(job(sum, reference))
    kind, payload = unpack_outcome(run_job(packed, read))
    assert (kind, loads(payload)) == (VALUE, 6)
    assert asked == [reference.object_id.hex()]
    kind, payload = unpack_outcome(run_job(packed))
    assert "did not come with the job" in str(unpack_exception(payload))


@pytest.mark.parametrize("data", [b"", b"scaler-outcome-1\n", b"scaler-outcome-1\n\x07x", b"other"])
def test_what_is_no_outcome_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no outcome"):
        unpack_outcome(data)


def test_a_launch_is_plain_data() -> None:
    from scaler.config.models import WorkerManagerOptions
    from scaler.managers.launching import Names, launch

    options = WorkerManagerOptions.model_validate({"scheduler_address": "tcp://10.0.0.1:1"})
    json.dumps(dict(launch(options, 2, {}, Names()).settings))
