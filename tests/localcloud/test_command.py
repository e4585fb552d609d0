"""`scaler_localcloud` as people use it."""

from __future__ import annotations

import json
import re
import signal
import urllib.request

import pytest
from commands import Run


def test_it_says_what_to_type_and_ends_by_a_signal(run: Run) -> None:
    command = run("localcloud")
    said = command.read_until("Ctrl-C")
    exports = dict(re.findall(r"^  export (\w+)=(.+)$", said, re.MULTILINE))
    assert exports["AWS_DEFAULT_REGION"] == "us-east-1"
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= exports.keys()
    with urllib.request.urlopen(exports["AWS_ENDPOINT_URL"] + "/_localcloud/") as answer:
        assert json.load(answer)["leftovers"] == []
    assert re.search(r"^subnets: +subnet-\w+,subnet-", said, re.MULTILINE)
    code, rest = command.end(signal.SIGINT)
    assert (code, rest.strip()) == (0, said.strip())


def test_a_port_that_is_taken_is_told_in_three_lines(run: Run) -> None:
    first = run("localcloud", "--port", "0")
    port = re.findall(r"127\.0\.0\.1:(\d+)", first.read_until("Ctrl-C"))[0]
    code, said = run("localcloud", f"--port={port}").finish()
    assert code == 1
    assert said.splitlines() == [
        f"error: Port {port} is in use.",
        f"  where: --port {port}",
        "  to do: another one, or none for any that is free",
    ]
    first.end()


@pytest.mark.parametrize(
    ("arguments", "what", "mend"),
    [
        (["--prot", "1"], "There is no option --prot.", "did you mean --port?"),
        (["--port"], "--port needs a value.", "--port PORT"),
        (["--port", "x"], "--port: 'x' is no number of at least 0.", "--port 1"),
        (["--latency-seconds=-1"], "--latency-seconds: '-1' is no number of at least 0.", "--latency-seconds 1"),
    ],
)
def test_what_is_typed_wrongly_is_told_in_three_lines(run: Run, arguments: list[str], what: str, mend: str) -> None:
    code, said = run("localcloud", *arguments).finish()
    assert code == 2
    assert said.splitlines() == [f"error: {what}", "  where: scaler_localcloud", f"  to do: {mend}"]


def test_a_wrong_fault_is_told_in_three_lines(run: Run) -> None:
    code, said = run("localcloud", "--fault", "thottle").finish()
    assert code == 2
    first, where, mend = said.splitlines()
    assert first.startswith("error: fault 'thottle': there is no kind 'thottle'. Kinds: ")
    assert (where, mend) == ("  where: --fault", "  to do: scaler_localcloud --help tells how a fault is written")
