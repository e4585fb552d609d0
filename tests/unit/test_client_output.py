"""A client that prints what its tasks write, of a scripted scheduler."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from scaler import Client
from scaler.client import conversation
from scaler.written_lines import STDOUT, Gathered
from scripted_scheduler import OUTPUT, STREAM_OUTPUT, SUBMIT, ScriptedScheduler


def write(scheduler: ScriptedScheduler, client: Client, text: bytes, dropped: int = 0) -> None:
    gathered = Gathered()
    gathered.add(0, STDOUT, text)
    lines, _, records = gathered.take()
    scheduler.say(OUTPUT, client._conversation.session, lines, dropped, len(records), payload=records)


def test_only_who_asks_is_sent_anything(scheduler, capsys):
    with Client(scheduler.address) as silent:
        assert silent.submit(abs, -1).result(20) == 1
        assert STREAM_OUTPUT not in scheduler.said()
        write(scheduler, silent, b"not for me\n")
        assert silent.submit(abs, -2).result(20) == 2
    assert capsys.readouterr() == ("", "")


def test_it_asks_before_it_submits_and_prints_before_the_result(scheduler, capsys):
    scheduler.hold = True
    with Client(scheduler.address, stream_output=True) as client:
        future = client.submit(abs, -1)
        scheduler.wait_for_tasks(1)
        said = scheduler.said()
        assert said.index(STREAM_OUTPUT) < said.index(SUBMIT)
        write(scheduler, client, b"one\ntwo\n", dropped=3)
        scheduler.run()
        assert future.result(20) == 1
        out, err = capsys.readouterr()
        assert out == "one\ntwo\n"
        assert err.startswith("scaler: 3 lines ")


def read_until(talk: conversation.Conversation, there: Callable[[], bool]) -> None:
    while not there():
        talk.channel.wait(20)
        talk.read()


def test_an_interrupt_while_it_prints_costs_no_result(scheduler, monkeypatch):
    def interrupted(dropped: int, payload: bytes) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    scheduler.hold = True
    with Client(scheduler.address, stream_output=True) as client:
        future = client.submit(abs, -1)
        scheduler.wait_for_tasks(1)
        talk = client._conversation
        with talk.lock:  # nobody else reads
            monkeypatch.setattr(conversation, "show", interrupted)
            write(scheduler, client, b"line\n")
            scheduler.run()
            with pytest.raises(KeyboardInterrupt):
                read_until(talk, lambda: False)
            read_until(talk, lambda: future._outcome is not None)
        assert future.result(20) == 1


def test_a_client_that_waits_for_nothing_prints_all_the_same(scheduler, monkeypatch):
    printed = threading.Event()
    monkeypatch.setattr(conversation, "show", lambda dropped, payload: printed.set())
    with Client(scheduler.address, stream_output=True, heartbeat_interval_seconds=600) as client:
        write(scheduler, client, b"line\n")
        assert printed.wait(20)
