"""A whole cloud in this process, and the program that is nothing else."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from scaler.testing.localcloud.batch.service import Batch
from scaler.testing.localcloud.cloud import Cloud, Handler
from scaler.testing.localcloud.control import Controls
from scaler.testing.localcloud.ecs.service import Ecs
from scaler.testing.localcloud.faults import Faults
from scaler.testing.localcloud.iam import Iam
from scaler.testing.localcloud.images import Images
from scaler.testing.localcloud.logs import Logs
from scaler.testing.localcloud.moto_part import Moto, reset
from scaler.testing.localcloud.processes import Processes
from scaler.testing.localcloud.record import Record
from scaler.testing.localcloud.server import Application, make_http_server
from scaler.testing.localcloud.settings import Settings


class RunningCloud:
    """Listens until it is closed."""

    def __init__(self, settings: Settings) -> None:
        folder = Path(tempfile.mkdtemp(prefix="localcloud-"))
        self._folder = folder
        self._server = make_http_server(self._first, settings.port)
        endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.cloud = Cloud(endpoint, folder, Processes(folder))
        self._settings = settings
        record = Record()
        stages: list[Handler] = [record]
        for make in SERVICES:
            self.cloud.services.append(make(self.cloud, settings))
        handlers: dict[str, Handler] = {}
        for service in self.cloud.services:
            handlers.update(service.handlers())
            if (stage := getattr(service, "stage", None)) is not None:
                stages.append(stage)
        self._record = record
        self._controls = Controls(self.cloud, record, self.reset)
        self._application = Application(stages, handlers, Moto(), self._controls)
        self.reset()
        self._controls("baseline", {"REQUEST_METHOD": "POST"}, b"")
        threading.Thread(target=self._server.serve_forever, name="http", daemon=True).start()

    def _first(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self._application(environ, start_response)

    def reset(self) -> None:
        """As new: nothing runs, nothing is there, and nobody has called."""
        self.cloud.processes.end_all()
        with self.cloud.lock:
            reset()
            for service in self.cloud.services:
                service.reset()
        # What a timer has started meanwhile: nobody knows it any more.
        self.cloud.processes.end_all()
        self._record.reset()

    def close(self) -> None:
        self._server.shutdown()
        self.cloud.processes.end_all()
        shutil.rmtree(self._folder, ignore_errors=True)


# Made in this order; one that has a `stage` sees all calls, in this order too.
SERVICES: list[Callable[[Cloud, Settings], Any]] = [Faults, Iam, Images, Logs, Ecs, Batch]

# Options that can be given several times.
_SINGULAR = {"faults": "fault", "images": "image"}


def run(arguments: list[str]) -> int:
    """Says where it listens as a line of JSON, and goes on until its standard input ends or it is interrupted."""
    parser = argparse.ArgumentParser("scaler_localcloud", description="AWS on this machine, with what it runs.")
    for field in fields(Settings):
        flag = "--" + _SINGULAR.get(field.name, field.name.replace("_", "-"))
        if field.name in _SINGULAR:
            parser.add_argument(flag, action="append", default=[], dest=field.name)
        elif field.default is not MISSING:
            parser.add_argument(flag, type=type(field.default), default=field.default, metavar="N")
    running = RunningCloud(Settings(**vars(parser.parse_args(arguments))))
    print(json.dumps({"endpoint": running.cloud.endpoint}), flush=True)
    try:
        sys.stdin.buffer.read()
    except KeyboardInterrupt:
        pass
    finally:
        running.close()
    return 0
