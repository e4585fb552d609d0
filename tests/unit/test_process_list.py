"""Secrets that were typed are not in the list of processes any more once the command has begun."""

from __future__ import annotations

import subprocess
import sys

import pytest
from scaler.config.options import Option
from scaler.config.process_list import flags_of

PROGRAM = """
import sys
from scaler.config.options import Option
from scaler.config.process_list import hide_secrets
options = [Option("pass_word", "value", "", short="-pw", older=("key", "-k"), secret=True), Option("size", "value", "")]
hidden = hide_secrets(options)
print(open("/proc/self/cmdline").read().split("\\0")[3:-1])
print(hidden.command[2:])
print(hidden.environment)
print(list(hidden.words(options)))
"""


def run(*arguments: str) -> list[object]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True)
    return [eval(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("flag", ["--pass-word", "-pw", "--key", "-k"])
def test_a_typed_secret_is_overwritten(flag: str) -> None:
    listed, command, environment, words = run("a://b", flag, "open sesame", "--size", "3")
    assert listed == ["a://b", flag, "*" * len("open sesame"), "--size", "3"]
    assert command == ["a://b", "--size", "3"]
    assert environment == {"SCALER_PASS_WORD": "open sesame"}
    assert isinstance(words, list)
    assert "sesame" not in words[0]
    assert words[0].startswith(f"{flag} is a secret")
    assert "SCALER_PASS_WORD" in words[0]


@pytest.mark.parametrize("value", ["x", "ünïcödé", "a=b", "--size", "with \n line"])
def test_it_is_overwritten_whatever_it_looks_like(value: str) -> None:
    for typed in ([f"--pass-word={value}"], ["--pass-word", value]):
        listed, command, environment, _ = run(*typed, "end")
        stars = "*" * len(value.encode())
        assert listed == [*typed[:-1], typed[-1].removesuffix(value) + stars, "end"]
        assert command == ["end"]
        assert environment == {"SCALER_PASS_WORD": value}


@pytest.mark.parametrize("typed", [[], ["--pass-word"], ["--pass-word="], ["--pass-words", "x"]])
def test_nothing_else_is_touched(typed: list[str]) -> None:
    listed, _, _, _ = run("--size", "3", *typed)
    assert listed == ["--size", "3", *typed]


def test_flags_are_all_that_an_option_may_be_typed_as() -> None:
    option = Option("size", "value", "", short="-sz", older=("large_ness", "-l"))
    assert flags_of(option) == ["--size", "-sz", "--large-ness", "-l"]
