"""An executor's own way for what its tasks write."""

import pytest
from scaler.node import streaming
from scaler.node.streaming import LONGEST_LINE, SENT_ALONE, Streaming
from scaler.written_lines import STDERR, STDOUT, records

TASK, NEXT = (5, 1), (5, 2)


class Sent:
    """What went to the agent, as (sequence, stream, text)."""

    def __init__(self) -> None:
        self.records: list[tuple[int, int, bytes]] = []
        self.messages: list[tuple[int, int, int]] = []

    def __call__(self, session: int, lines: int, dropped: int, payload: bytes) -> None:
        self.messages.append((session, lines, dropped))
        self.records += records(payload)


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def listening(sent: Sent) -> Streaming:
    listening = Streaming(sent)
    listening.listen(5, True)
    return listening


def test_only_sessions_that_listen_are_heard(sent: Sent, listening: Streaming) -> None:
    assert not listening.write(STDOUT, (6, 1), b"line\n")
    assert listening.write(STDOUT, TASK, b"line\n")
    listening.listen(5, False)
    assert not listening.write(STDOUT, TASK, b"line\n")
    assert sent.records == [(1, STDOUT, b"line\n")]


def test_lines_leave_at_once_and_whole(sent: Sent, listening: Streaming) -> None:
    listening.write(STDOUT, TASK, b"one\ntw")
    listening.write(STDERR, TASK, b"error\n")
    assert sent.records == [(1, STDOUT, b"one\n"), (1, STDERR, b"error\n")]
    listening.write(STDOUT, TASK, b"o\n")
    assert sent.records[2:] == [(1, STDOUT, b"two\n")]


def test_a_line_without_an_end_ends_with_its_task(sent: Sent, listening: Streaming) -> None:
    listening.write(STDOUT, TASK, b"half")
    assert sent.records == []
    listening.write(STDOUT, NEXT, b"other")
    listening.finish()
    assert sent.records == [(1, STDOUT, b"half\n"), (2, STDOUT, b"other\n")]


def test_a_very_long_line_is_cut(sent: Sent, listening: Streaming) -> None:
    for _ in range(3):
        listening.write(STDOUT, TASK, b"x" * LONGEST_LINE)
    listening.finish()
    assert [len(text) for _, _, text in sent.records] == [2 * LONGEST_LINE + 1, LONGEST_LINE + 1]


def test_very_many_lines_are_gathered(sent: Sent, listening: Streaming, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "monotonic", lambda: 0.0)
    # Without the thread that sends what nothing follows: this test says when.
    monkeypatch.setattr(listening, "_has_helper", True)
    for number in range(1000):
        listening.write(STDOUT, TASK, b"%d\n" % number)
    listening.finish()
    assert len(sent.messages) == int(SENT_ALONE) + 1
    assert b"".join(text for _, _, text in sent.records) == b"".join(b"%d\n" % number for number in range(1000))


def test_what_nothing_follows_is_sent_a_moment_later(listening: Streaming, sent: Sent) -> None:
    for number in range(1000):
        listening.write(STDOUT, TASK, b"%d\n" % number)
    while sum(lines for _, lines, _ in sent.messages) < 1000:
        pass  # its own thread is at it


def test_a_finalizer_may_print_while_a_line_is_sent(sent: Sent) -> None:
    def send(session: int, lines: int, dropped: int, payload: bytes) -> None:
        sent(session, lines, dropped, payload)
        if len(sent.messages) == 1:
            nested.write(STDERR, TASK, b"from a finalizer\n")

    nested = Streaming(send)
    nested.listen(5, True)
    nested.write(STDOUT, TASK, b"line\n")
    assert sent.records == [(1, STDOUT, b"line\n"), (1, STDERR, b"from a finalizer\n")]
