"""A scheduler that scales, a manager of this machine's workers, and their agents as the kernel has them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable
from dataclasses import dataclass

from commands import PATIENCE, Command, Run
from scaler import Client
from scaler.drivers.baremetal_native.processes import Found, running_agents
from scaler.transport.keys import find_or_make_key

VANILLA = "allocate=even_load; scaling=vanilla"


@dataclass
class Scaled:
    """address: of the scheduler."""

    run: Run
    scheduler: Command
    address: str

    def client(self) -> Client:
        return Client(self.address, timeout_seconds=2 * PATIENCE)

    def manager(self, *arguments: str, most: int = 8, until: str = "workers serve") -> Command:
        command = self.run(
            *("worker_manager", "baremetal_native", self.address, "-mtc", str(most), "-his", "0.2"), *arguments
        )
        if until:
            command.read_until(until)
        return command

    def wait_for(self, text: str, count: int) -> None:
        """Until the scheduler's log has this so often."""
        output = self.scheduler
        while output.output.decode().count(text) < count:
            assert output.read_more(2 * PATIENCE), f"fewer than {count} x {text!r} in: {output.output.decode()}"

    def agents(self) -> list[Found]:
        return list(running_agents(find_or_make_key().cluster))

    def wait_for_agents(self, count: int) -> list[Found]:
        """Until there are just so many."""
        while len(found := self.agents()) != count:
            # Each look is a look at all processes: others want to run, too.
            self.scheduler.read_more(0.05)
        return found


def scaled(run: Run, *arguments: str, policy: str = VANILLA, address: str = "tcp://127.0.0.1:0") -> Scaled:
    scheduler = run("scheduler", address, "--resync-seconds", "0.5", "-pc", policy, *arguments)
    told = scheduler.read_until("scheduler listens at").split("listens at ")[1].split(",")[0]
    return Scaled(run, scheduler, told)


def kill(command: Command) -> None:
    """And waits for its end."""
    command.process.send_signal(signal.SIGKILL)
    command.process.wait(PATIENCE)


def ends_of(agents: list[Found]) -> list[int]:
    """Descriptors that are readable when they have ended."""
    found = []
    for each in agents:
        with contextlib.suppress(ProcessLookupError):
            found.append(os.pidfd_open(each.pid))
    return found


def all_end(ends: list[int], alive: Callable[[], object] = lambda: None) -> None:
    """They do, in time. alive: called now and then meanwhile."""
    try:
        for end in ends:
            while not select.select([end], [], [], PATIENCE)[0]:
                raise AssertionError(f"an agent still runs: {alive()}")
    finally:
        for end in ends:
            os.close(end)
