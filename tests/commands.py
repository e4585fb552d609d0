"""Commands as a user runs them."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

PATIENCE = 30.0


class Command:
    """A running command. Its output is read line by line."""

    def __init__(self, module: str, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"scaler.cli.{module}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
        self.output = b""

    def read_until(self, text: str) -> str:
        """All output so far, once `text` is in it."""
        deadline = time.monotonic() + PATIENCE
        while text.encode() not in self.output:
            assert self.read_more(deadline - time.monotonic()), f"no {text!r} in: {self.output.decode()}"
        return self.output.decode()

    def read_more(self, seconds: float = PATIENCE) -> bytes:
        """What it prints next; nothing when it has ended, or says nothing for so long."""
        assert self.process.stdout is not None
        ready = select.select([self.process.stdout], [], [], max(0.0, seconds))[0]
        data = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
        self.output += data
        return data

    def finish(self) -> tuple[int, str]:
        """Exit code and all output, once it has ended by itself."""
        rest, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, (self.output + rest).decode()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        return self.finish()


Run = Callable[..., Command]
