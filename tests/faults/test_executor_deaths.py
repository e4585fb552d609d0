"""Executors that die under their tasks, by accident and by design."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import work
from processes import children, kill, resume, stop
from scaler import Client
from scaler.errors import ProcessorDiedError
from scaler.process import path_for_parts

if TYPE_CHECKING:
    from conftest import Starter

NODE = {"slots": 2, "executor": {"path": path_for_parts()}}
PATIENCE = 100


class Killer(threading.Thread):
    """Kills executors of an agent in the middle of an element, and notes which one it was."""

    def __init__(self, agent: int, folder: str, kills: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._agent = agent
        self._folder = folder
        self._kills = kills
        self._random = random.Random(seed)
        self._enough = threading.Event()
        self.killed: list[int] = []

    def run(self) -> None:
        while len(self.killed) < self._kills and not self._enough.wait(self._random.uniform(0, 0.02)):
            executors = children(self._agent)
            if executors:
                self._kill_one(self._random.choice(executors))

    def _kill_one(self, pid: int) -> None:
        if not stop(pid):
            return
        element = work.running_element(self._folder, pid)
        if element is None:
            resume(pid)
            return
        kill(pid)
        self.killed.append(element)

    def end(self) -> None:
        self._enough.set()
        self.join()


def kill_under_a_map(start: Starter, folder: Path, kills: int) -> None:
    scheduler = start.scheduler(max_attempts=1, node=NODE)
    with Client(start.path()) as client:
        # Until the killer has had enough, and no element longer than that.
        elements = [(str(folder), i, 0.002) for i in range(kills * 40)]
        killer = Killer(scheduler.pid, str(folder), kills, seed=kills)
        futures = client.map(work.marked, elements)
        killer.start()
        outcomes = [future.exception(PATIENCE) or future.result() for future in futures]
        killer.end()
    blamed = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, ProcessorDiedError)]
    assert sorted(killer.killed) == blamed
    assert len(killer.killed) == kills
    assert [outcome for i, outcome in enumerate(outcomes) if i not in blamed] == [
        i for i in range(len(elements)) if i not in blamed
    ]
    assert {(outcomes[i].status, outcomes[i].attempts) for i in blamed} == {(-9, 1)}


def test_the_element_that_ran_is_blamed(start: Starter, tmp_path: Path) -> None:
    kill_under_a_map(start, tmp_path, 20)


@pytest.mark.slow
def test_two_hundred_kills_name_the_right_element(start: Starter, tmp_path: Path) -> None:
    kill_under_a_map(start, tmp_path, 200)


def test_an_element_that_was_killed_once_is_tried_again(start: Starter, tmp_path: Path) -> None:
    scheduler = start.scheduler(node=NODE)
    with Client(start.path()) as client:
        killer = Killer(scheduler.pid, str(tmp_path), 5, seed=1)
        futures = client.map(work.marked, [(str(tmp_path), i, 0.002) for i in range(1000)])
        killer.start()
        assert futures.results() == list(range(1000))
        killer.end()
    assert killer.killed


def test_a_deadly_element_fails_alone(start: Starter) -> None:
    start.scheduler(node=NODE)
    with Client(start.path()) as client:
        futures = client.map(work.deadly, range(2000))
        with pytest.raises(ProcessorDiedError, match="exit code 9") as caught:
            futures[777].result(PATIENCE)
        assert (caught.value.attempts, caught.value.status) == (3, 9)
        assert [futures[i].result(PATIENCE) for i in range(2000) if i != 777] == [i for i in range(2000) if i != 777]


def test_idle_executors_that_are_killed_are_replaced(start: Starter) -> None:
    scheduler = start.scheduler(node=NODE)
    with Client(start.path()) as client:
        for _ in range(5):
            client.map(work.deadly, range(100)).results()
            for pid in children(scheduler.pid):
                kill(pid)
        assert client.map(work.deadly, range(100)).results() == list(range(100))


def test_code_that_does_not_return_to_the_interpreter_is_cancelled_all_the_same(start: Starter) -> None:
    start.scheduler(node={**NODE, "slots": 1, "grace": 0.2})
    with Client(start.path()) as client:
        endless = client.submit(work.never_returns_to_the_interpreter)
        while not endless.running():
            os.sched_yield()
        assert endless.cancel()
        assert endless.cancelled()
        assert client.submit(work.deadly, 1).result(PATIENCE) == 1
