"""Lines of tables and keys, in whatever way TOML lets them be written."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from scaler.config.lines import Lines

TEXT = (
    r'''# [comment] = "x"
top = 1
"quoted.key" = 2 # top = 3
dotted . 'inner' = 3
list = [
  "]", # ]
  [1, 2],
  { a = "}" },
]
more = """a \""" [x]
y = 1 """""
inline = { one = 1, two = { three = 3 } }
[scheduler]
bind-address = "tcp://a:1#x"  # [no.table]
  indented='['
[ scheduler . "logging" ]
level = 1
[[worker_manager]]
type = "a"
[worker_manager.policy]
content = "b"
[[ worker_manager ]]
type = "c"
policy.content = "d"
[[worker_manager.units]]
n = 1
[[worker_manager.units]]
n = 2
[implicit.table]
empty = ""
last = [1]
'''
    + "text = '''\n[scheduler]\nkey = 1'''\nend = 2"
)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("top",), 2),
        (("quoted.key",), 3),
        (("dotted", "inner"), 4),
        (("dotted",), 4),
        (("list",), 5),
        (("list", 2, "a"), 5),
        (("more",), 10),
        (("inline", "two", "three"), 12),
        (("scheduler",), 13),
        (("scheduler", "bind_address"), 14),
        (("scheduler", "bind-address"), 14),
        (("scheduler", "indented"), 15),
        (("scheduler", "logging"), 16),
        (("scheduler", "logging", "level"), 17),
        (("worker_manager",), 18),
        (("worker-manager", 0, "type"), 19),
        (("worker_manager", 0, "policy"), 20),
        (("worker_manager", 0, "policy", "content"), 21),
        (("worker_manager", 1), 22),
        (("worker_manager", 1, "type"), 23),
        (("worker_manager", 1, "policy", "content"), 24),
        (("worker_manager", 1, "units", 0, "n"), 26),
        (("worker_manager", 1, "units", 1, "n"), 28),
        (("implicit",), 29),
        (("implicit", "table", "empty"), 30),
        (("implicit", "table", "text"), 32),
        (("implicit", "table", "end"), 35),
        (("nothing",), 0),
        ((), 0),
    ],
)
def test_line_of_each(place: tuple[str | int, ...], line: int) -> None:
    assert Lines(TEXT).line(*place) == line


def places(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if place:
        yield place
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*place, key))


def test_whatever_tomllib_finds_has_a_line_with_a_name_of_its_place() -> None:
    lines = TEXT.split("\n")
    found = list(places(tomllib.loads(TEXT)))
    assert len(found) > 30
    for place in found:
        line = Lines(TEXT).line(*place)
        names = [part for part in place if isinstance(part, str)]
        assert line, place
        assert any(name in lines[line - 1] for name in names), place
