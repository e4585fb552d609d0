"""Executors' output, cut into lines with their tasks."""

from scaler.node.output import Lines, label
from scaler.node.printing import SEPARATOR, START

SESSION = 0xABCDEF0123456789


def record(sequence: int, text: bytes) -> bytes:
    return START + SEPARATOR.join([b"%x" % SESSION, b"%x" % sequence, b"%x" % len(text), text])


def shown(*parts: bytes, running: tuple[int, int] | None = None) -> list[str]:
    lines = Lines()
    return (b"".join(lines.feed(part, running) for part in parts) + lines.end()).decode().removesuffix("\n").split("\n")


def test_a_label_is_short() -> None:
    assert label((SESSION, 17)) == b"[task abcdef01:17] "
    assert label(None) == b""


def test_records_carry_their_own_task() -> None:
    assert shown(record(1, b"a\nb\n") + record(2, b"c\n"), running=(5, 5)) == [
        "[task abcdef01:1] a",
        "[task abcdef01:1] b",
        "[task abcdef01:2] c",
    ]


def test_plain_bytes_are_of_the_task_that_runs() -> None:
    assert shown(b"from C\n", running=(SESSION, 9)) == ["[task abcdef01:9] from C"]
    assert shown(b"between tasks\n") == ["between tasks"]


def test_records_may_arrive_in_any_pieces() -> None:
    whole = record(1, b"first\nsecond\n") + b"plain\n" + record(2, b"third\n")
    expected = shown(whole)
    for cut in range(len(whole)):
        assert shown(whole[:cut], whole[cut:]) == expected
    assert shown(*(whole[i : i + 1] for i in range(len(whole)))) == expected


def test_a_line_that_another_task_goes_on_with_is_cut() -> None:
    assert shown(record(1, b"half"), record(2, b"other\n")) == ["[task abcdef01:1] half", "[task abcdef01:2] other"]


def test_a_line_in_two_records_of_one_task_is_whole() -> None:
    assert shown(record(1, b"ha"), record(1, b"lf\n")) == ["[task abcdef01:1] half"]


def test_the_last_line_needs_no_end() -> None:
    assert shown(record(3, b"the end")) == ["[task abcdef01:3] the end"]


def test_bytes_that_only_look_like_a_record_are_shown() -> None:
    assert shown(b"\x1enot one\x1freally\n") == ["\x1enot one\x1freally"]
    assert shown(b"\x1e" * 3) == ["\x1e\x1e\x1e"]


def test_a_very_long_line_is_shown_in_parts() -> None:
    lines = Lines()
    assert lines.feed(b"x" * 70_000, (SESSION, 1)).endswith(b"\n"), "memory is bounded, whatever a task prints"
