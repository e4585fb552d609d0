"""`python -m scaler.node.executor`: one process that runs tasks, one after the other.

Started by the agent (`starting.py`), which speaks to it over a socketpair and a page of memory that they share. It
starts in little more time than an interpreter: what is not needed before the first task is imported later.

Arguments, each `name=value`: port, line, door (descriptors), node (the link by which the scheduler knows the agent),
scheduler (its address), parent (process id of the agent), inline_limit (bytes),
collect_interval (s), trim_threshold (bytes), path (more of `sys.path`), preload.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
import types

from scaler import nested
from scaler._core import ExecutorPort, end_with_parent, forget_copies
from scaler.node.chunks import Chunks
from scaler.node.housekeeping import Housekeeping
from scaler.node.interrupts import Interrupts
from scaler.node.nest import Nest
from scaler.node.objects import Objects
from scaler.node.outbox import Outbox
from scaler.node.printing import flush_standard_streams, label_standard_streams
from scaler.node.streaming import Streaming
from scaler.packing import remember_reads

TYPE_CHECKING = False  # typing's own takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Executor:
    def __init__(
        self, port: ExecutorPort, interrupts: Interrupts, inline_limit: int, housekeeping: Housekeeping
    ) -> None:
        self.port = port
        self.outbox = Outbox(port, inline_limit)
        self.objects = Objects()
        self.streaming = Streaming(port.output)
        self.chunks = Chunks(port, self.outbox, interrupts, self.objects, self.streaming)
        self.housekeeping = housekeeping

    def serve(self) -> None:
        """Until the agent says stop, or is gone."""
        # Imported by the main thread, which it will take for the main one; and only now, for it is not quick.
        import threading

        threading.Thread(target=self._flush_when_asked, name="flusher", daemon=True).start()
        handlers: dict[str, Callable[..., None]] = {
            "function": self.chunks.functions.put,
            "forget_function": self.chunks.functions.forget,
            "object": self.objects.put,
            "forget_object": self.objects.forget,
            "listen": self.streaming.listen,
            "value": self.chunks.values.put,
            "drop_values": self.chunks.values.drop,
        }
        receive, run = self.port.receive, self._run
        while (order := receive()) is not None:
            kind, *what = order
            if kind == "chunk":
                run(what)
            elif kind == "stop":
                break
            else:
                handlers[kind](*what)

    def _run(self, chunk: list[Any]) -> None:
        self.chunks.run(*chunk)
        if self.objects:
            forget_copies()
        flush_standard_streams()
        self.housekeeping.after_chunk()

    def _flush_when_asked(self) -> None:
        try:
            while self.port.wait_flush():
                if self.streaming.sessions:
                    self.streaming.send_gathered()
                self.outbox.flush()
        except ConnectionError:
            return  # as in `main`


def main(arguments: list[str]) -> int:
    interrupts = Interrupts()
    settings = dict(argument.split("=", 1) for argument in arguments)
    end_with_parent(int(settings["parent"]))
    faulthandler.enable(2)
    descriptors = int(settings["port"]), int(settings["line"])
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    sys.path.extend(part for part in settings.get("path", "").split(os.pathsep) if part not in sys.path)
    port = interrupts.port = ExecutorPort(*descriptors)
    housekeeping = Housekeeping(float(settings["collect_interval"]), int(settings["trim_threshold"]))
    remember_reads()
    executor = Executor(port, interrupts, int(settings["inline_limit"]), housekeeping)
    if door := int(settings.get("door", 0)):
        os.set_inheritable(door, False)
        node, scheduler = int(settings["node"]), settings["scheduler"]
        executor.chunks.nest = Nest(port, executor.chunks, door, node, scheduler)
        nested.enter(executor.chunks.nest)
    label_standard_streams(lambda: executor.chunks.position, executor.streaming.write)
    _leave_main()
    if (preload := settings.get("preload")) and (error := _preload(preload)):
        port.ready(error)
        return 1
    port.ready()
    # What is here now lives as long as the process: no collection need look at it again.
    gc.freeze()
    try:
        executor.serve()
    except ConnectionError:
        # The agent went while a task ran: nobody is left to hear of it. (What a task raises is its outcome.)
        return 0
    flush_standard_streams()
    return 0


def _leave_main() -> None:
    """What a user's pickle looks up in `__main__` must not find this program's names."""
    sys.modules["__main__"] = types.ModuleType("__main__")


def _preload(text: str) -> str:
    """Runs it, and returns what went wrong."""
    from scaler.node.preload import run_preload

    try:
        run_preload(text)
    except BaseException as error:
        import traceback

        traceback.print_exc()
        return f"preload {text!r} failed: {type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    _status = main(sys.argv[1:])
    sys.exit(_status)
