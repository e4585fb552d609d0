"""Parts as `scaler.process` starts them: settings, word that they are ready, errors, ends."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scaler.process import PartStartError, start_part
from scaler.transport.errors import AddressError, AddressInUseError, NobodyThereError

if TYPE_CHECKING:
    from conftest import Starter


def test_a_storage_listens_and_ends(start: Starter) -> None:
    address = start.path("objects")
    part = start.part("scaler.storage", {"address": address})
    assert part.told == {"address": address, "sockets": [address.removeprefix("ipc://")]}
    assert part.alive
    assert part.end() == 0
    assert not part.alive
    assert not os.path.exists(address.removeprefix("ipc://"))


def test_a_part_that_was_killed_takes_no_descriptor_of_ours(start: Starter) -> None:
    """It may be started again for as long as we live."""
    before = set(os.listdir("/proc/self/fd"))
    start.kill(start.part("scaler.storage", {"address": start.path("objects")}))
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_scheduler_has_its_storage_beside_it(start: Starter) -> None:
    part = start.scheduler()
    assert part.told["object_storage"] == start.path() + ".objects"


def test_a_schedulers_storage_is_on_the_next_port(start: Starter) -> None:
    told = start.scheduler("tcp://127.0.0.1:0").told
    port = int(told["address"].rpartition(":")[2])
    assert told["object_storage"] == f"tcp://127.0.0.1:{port + 1}"
    assert len(told["cluster"]) == 16


def test_a_schedulers_storage_may_be_another(start: Starter) -> None:
    storage = start.part("scaler.storage", {"address": start.path("objects")})
    told = start.scheduler(object_storage=storage.told["address"]).told
    assert told["object_storage"] == start.path("objects")
    assert not os.path.exists(start.path().removeprefix("ipc://") + ".objects")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_scheduler_and_its_workers(start: Starter, number: signal.Signals) -> None:
    part = start.scheduler(node={"slots": 2})
    os.kill(part.pid, number)
    assert part.wait() == 0
    assert not os.path.exists(start.path().removeprefix("ipc://"))


def test_what_is_wrong_reaches_the_caller_as_its_own_error(start: Starter) -> None:
    start.scheduler()
    with pytest.raises(AddressInUseError) as caught:
        start.scheduler()
    assert caught.value.mend
    with pytest.raises(AddressError):
        start.scheduler("nonsense")
    with pytest.raises(AddressError):
        start.scheduler("ipc://" + "x" * 200)


def test_a_next_port_in_use_is_said_to_be_the_storages(start: Starter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUseError, match=f"{port} is in use.*object storage") as caught:
            start.scheduler(f"tcp://127.0.0.1:{port - 1}")
    assert "--object-storage-address" in caught.value.mend


def test_a_folder_that_is_not_there_is_said(start: Starter, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="folder"):
        start.scheduler(f"ipc://{tmp_path}/missing/s.sock")


def test_an_agent_without_a_scheduler_says_so(start: Starter) -> None:
    settings = {"scheduler": start.path(), "connect_timeout": 0.2}
    with pytest.raises(NobodyThereError):
        start.part("scaler.node", settings)


def test_unknown_settings_are_an_error(start: Starter) -> None:
    with pytest.raises(PartStartError, match="colour"):
        start.scheduler(colour="red")


def test_a_part_that_is_no_part_is_said() -> None:
    with pytest.raises(PartStartError, match="before it was ready"):
        start_part("scaler.not_there", {})


def test_a_starter_that_is_gone_before_the_settings(start: Starter) -> None:
    """A part reads its settings to the end of the line, or ends."""
    part = start.scheduler()
    part.let_go()
    part.let_go()
    assert part.wait() == 0


def test_a_part_that_hangs_is_killed(start: Starter) -> None:
    part = start.part("scaler.storage", {"address": start.path("objects")})
    os.kill(part.pid, signal.SIGSTOP)
    began = time.monotonic()
    assert part.end(0.2) == -signal.SIGKILL
    assert time.monotonic() > began
    for name in ("", ".lock"):
        os.unlink(start.path("objects").removeprefix("ipc://") + name)
