"""What tasks write on its way to their client: records, the allowance, and how a client prints it."""

import io
import sys

import pytest
from scaler.client.showing import show
from scaler.written_lines import BURST_BYTES, BYTES_A_SECOND, STDERR, STDOUT, Gathered, records


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_records_come_out_as_they_went_in() -> None:
    gathered = Gathered()
    assert not gathered
    gathered.add(7, STDOUT, b"a\nb\n")
    gathered.add(2**63, STDERR, b"c\n")
    lines, dropped, payload = gathered.take()
    assert (lines, dropped) == (3, 0)
    assert list(records(payload)) == [(7, STDOUT, b"a\nb\n"), (2**63, STDERR, b"c\n")]
    assert not gathered
    with pytest.raises(ValueError, match="malformed"):
        list(records(payload + b"x"))


def test_what_comes_too_fast_is_left_out_and_counted() -> None:
    clock = Clock()
    gathered = Gathered(clock)
    line = b"x" * 99 + b"\n"
    most = 2 * BURST_BYTES // len(line)
    for number in range(most):
        gathered.add(number, STDOUT, line)
    lines, dropped, payload = gathered.take()
    assert lines + dropped == most
    assert BURST_BYTES - 2 * len(line) < len(payload) <= BURST_BYTES
    # A while later so much more may pass, and no more.
    clock.now += 1
    for number in range(most):
        gathered.add(number, STDOUT, line)
    lines, dropped, payload = gathered.take()
    assert lines + dropped == most
    assert abs(len(payload) - BYTES_A_SECOND) < 2 * len(line)


def test_a_hole_has_some_width() -> None:
    clock = Clock()
    gathered = Gathered(clock)
    gathered.add(0, STDOUT, b"x\n" * BURST_BYTES)
    gathered.take()
    clock.now += 0.01
    gathered.add(0, STDOUT, b"x\n")
    assert (not gathered, gathered.dropped) == (True, 1), "there is room, but hardly any"
    clock.now += 10
    gathered.add(0, STDOUT, b"y\n")
    assert gathered.take()[:2] == (1, 1)


def test_of_a_large_text_the_beginning_passes_in_whole_lines() -> None:
    gathered = Gathered(Clock())
    text = b"".join(b"line %d\n" % number for number in range(BURST_BYTES // 4))
    gathered.add(3, STDOUT, text)
    lines, dropped, payload = gathered.take()
    passed = b"".join(part for _, _, part in records(payload))
    assert text.startswith(passed)
    assert passed.endswith(b"\n")
    assert (lines, dropped) == (passed.count(b"\n"), text.count(b"\n") - passed.count(b"\n"))
    assert lines > 0 < dropped


def of(*parts: tuple[int, bytes]) -> bytes:
    gathered = Gathered()
    for number, (stream, text) in enumerate(parts):
        gathered.add(number, stream, text)
    return gathered.take()[2]


def test_a_client_prints_to_the_streams_of_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    show(0, of((STDOUT, b"one\n"), (STDERR, b"two\n"), (STDOUT, "drei ä\n".encode())))
    assert capsys.readouterr() == ("one\ndrei ä\n", "two\n")
    show(4, of((STDOUT, b"\xff\n")))
    out, err = capsys.readouterr()
    assert (out, err) == ("\\xff\n", "scaler: 4 lines that tasks wrote were left out here: too many came at once\n")


class Broken(io.StringIO):
    encoding = "ascii"  # type: ignore[assignment]

    def write(self, text: str) -> int:
        if not text.isascii():
            text.encode("ascii")
        if "end" in text:
            raise ValueError("I/O operation on closed file")
        return super().write(text)


def test_a_stream_that_cannot_take_it_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Broken()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)
    show(1, of((STDOUT, "ä\n".encode()), (STDERR, b"x\n"), (STDOUT, b"the end\n"), (STDERR, b"\n"), (STDOUT, b"on\n")))
    assert stream.getvalue() == "\\xe4\non\n"
