"""Outward links: tries go on until one holds."""

import errno
import os
import queue
import socket

import pytest
from scaler import outward
from scaler.outward import OutwardLink
from scaler.transport.connect import Connection
from scaler.transport.errors import NobodyThereError

PATIENCE = 20


class Loop:
    """Stands in for the core's."""

    def __init__(self) -> None:
        self.attached: queue.Queue[tuple[str, int]] = queue.Queue()

    def attach(self, link: str, fd: int) -> None:
        self.attached.put((link, fd))


@pytest.mark.parametrize(
    "obstacle", [NobodyThereError("Nobody answers."), OSError(errno.EMFILE, os.strerror(errno.EMFILE))]
)
def test_obstacle_is_told_and_passes(
    obstacle: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours, other = socket.socketpair()
    outcomes: list[Exception | Connection] = [obstacle, Connection(ours.detach(), b"", "", is_local=True)]

    def dial(address: str, role: str, **rest: object) -> Connection:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(outward, "dial", dial)
    loop = Loop()
    link = OutwardLink(loop, "store", "scheduler", "ipc:///nowhere")
    link.connect(0)
    name, descriptor = loop.attached.get(timeout=PATIENCE)
    assert name == "store"
    assert any(str(obstacle) in record.getMessage() for record in caplog.records)
    os.close(descriptor)
    other.close()
    link.close()
