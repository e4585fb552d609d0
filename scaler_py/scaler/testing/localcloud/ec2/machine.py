"""An instance as the machine that it is: moto's record of it, and what runs."""

from __future__ import annotations

import gzip
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaler.testing.localcloud.iam.identity import Credentials
from scaler.testing.localcloud.processes import Process

_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


@dataclass(frozen=True)
class Reason:
    """Of a state, as AWS has it."""

    code: str
    message: str


BY_USER = Reason("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")
BY_ITSELF = Reason("Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown")
BY_SPOT = Reason("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Instance terminated by Spot")
BY_CRASH = Reason("Server.InternalError", "Server.InternalError: Internal error")


@dataclass
class Machine:
    """instance: moto's. goal: the state that it is on its way to, or "running" for a new start of it; empty otherwise.

    outputs: what it has written, a file a start. notice_at: when it is to be taken away, in seconds since 1970; 0 for
    never. tokens: of its metadata service.
    """

    instance: Any
    region: str
    profile: str
    user_data: bytes
    has_run: bool = False
    process: Process | None = None
    goal: str = ""
    reason: Reason = BY_USER
    outputs: list[Path] = field(default_factory=list)
    notice_at: float = 0.0
    session: Credentials | None = None
    tokens: set[str] = field(default_factory=set)
    made_at: float = field(default_factory=time.monotonic)

    @property
    def id(self) -> str:
        return str(self.instance.id)

    @property
    def state(self) -> str:
        return str(self.instance.state)

    @property
    def is_spot(self) -> bool:
        return bool(self.instance.lifecycle == "spot")

    def set_state(self, name: str, reason: Reason | None = None) -> None:
        state = self.instance.instance_state
        state.name, state.code = name, _CODES[name]
        self.instance.state_reason = type(self.instance.state_reason)(
            reason.message if reason else "", reason.code if reason else ""
        )
        # moto knows only what users do; nothing public sets this.
        if reason is not None and reason is not BY_USER:
            self.instance._reason = reason.code

    def release(self) -> None:
        """What is deleted with an instance; moto forgets its interface. An instance that is gone stays so."""
        self.instance.terminate()
        for interface in list(self.instance.nics.values()):
            if interface.id in interface.ec2_backend.enis:
                interface.delete()

    @property
    def script(self) -> bytes:
        """Empty when the user data is none."""
        data = gzip.decompress(self.user_data) if self.user_data[:2] == b"\x1f\x8b" else self.user_data
        return data if data.startswith(b"#!") else b""

    def console(self) -> bytes:
        """The last 64 KiB, as AWS keeps them."""
        return b"".join(each.read_bytes() for each in self.outputs if each.exists())[-65536:]


def state_code(name: str) -> int:
    return _CODES[name]


def instance_ids(text: bytes) -> list[str]:
    """All that an answer names, in its order."""
    return list(dict.fromkeys(re.findall(r"<instanceId>(i-[0-9a-f]+)</instanceId>", text.decode())))
