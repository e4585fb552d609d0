"""A whole cloud in this process, and the program that is nothing else."""

from __future__ import annotations

import errno
import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scaler.testing.localcloud.batch.service import Batch
from scaler.testing.localcloud.client import REGION, ROOT, environment
from scaler.testing.localcloud.cloud import Cloud, Handler
from scaler.testing.localcloud.control import Controls
from scaler.testing.localcloud.ec2.service import Ec2
from scaler.testing.localcloud.ecs.service import Ecs
from scaler.testing.localcloud.faults import FaultError, Faults, read_fault
from scaler.testing.localcloud.iam import Iam
from scaler.testing.localcloud.images import Images
from scaler.testing.localcloud.inventory import Inventory
from scaler.testing.localcloud.logs import Logs
from scaler.testing.localcloud.moto_part import Moto, backend, reset
from scaler.testing.localcloud.processes import Processes
from scaler.testing.localcloud.record import Record
from scaler.testing.localcloud.server import CONTROL, Application, Site, make_http_server
from scaler.testing.localcloud.settings import Settings
from scaler.transport.errors import AddressInUseError, ConfigurationError


class RunningCloud:
    """Listens until it is closed."""

    def __init__(self, settings: Settings) -> None:
        self._server = make_http_server(self._first, settings.port)
        folder = Path(tempfile.mkdtemp(prefix="localcloud-"))
        endpoint = f"http://127.0.0.1:{self._server.port}"
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
        sites: dict[str, Site] = {CONTROL: self._controls}
        for service in self.cloud.services:
            sites.update(getattr(service, "sites", dict)())
        self._application = Application(stages, handlers, Moto(self.cloud.lock), sites)
        self.reset()
        self._controls("baseline", {"REQUEST_METHOD": "POST"}, b"")
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="http", daemon=True).start()

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
        self._server.server_close()
        self.cloud.processes.end_all()
        for service in self.cloud.services:
            getattr(service, "at_close", lambda: None)()
        self.cloud.processes.close()


# Made in this order; one that has a `stage` sees all calls, in this order too. One that has `sites` answers what is
# below their paths, and one that has an `at_close` is told of the end.
SERVICES: list[Callable[[Cloud, Settings], Any]] = [Faults, Iam, Images, Logs, Ec2, Ecs, Batch, Inventory]


def run(settings: Settings, as_json: bool) -> int:
    """Says where it listens, and goes on until it is told to end: by a signal, and as JSON also by the end of its
    standard input. Raises ConfigurationError."""
    # Whose input it has ends it; Ctrl-C in a terminal is first of all for that program.
    signal.signal(signal.SIGINT, signal.SIG_IGN if as_json else _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    running = _start(settings)
    try:
        print(json.dumps({"endpoint": running.cloud.endpoint}) if as_json else _welcome(running.cloud), flush=True)
        _wait(until_input_ends=as_json)
    except KeyboardInterrupt:
        pass
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        running.close()
    return 0


def _start(settings: Settings) -> RunningCloud:
    try:
        for each in settings.faults:
            read_fault(each)
        return RunningCloud(settings)
    except FaultError as error:
        raise ConfigurationError(
            str(error), "--fault", "scaler_localcloud --help tells how a fault is written"
        ) from None
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise AddressInUseError(
            f"Port {settings.port} is in use.", f"--port {settings.port}", "another one, or none for any that is free"
        ) from None


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _wait(until_input_ends: bool) -> None:
    if until_input_ends:
        while os.read(0, 4096):
            pass
    else:
        while True:
            signal.pause()


_WELCOME = """\
AWS on this machine listens at {endpoint}. In another terminal:

{exports}

subnets:       {subnets}
what is there: {endpoint}{control}
to end it:     Ctrl-C"""


def _welcome(cloud: Cloud) -> str:
    variables = environment(cloud.endpoint, *ROOT)
    subnets = ",".join(each.id for each in backend("ec2", REGION).describe_subnets())
    exports = "\n".join(f"  export {name}={value}" for name, value in variables.items())
    return _WELCOME.format(endpoint=cloud.endpoint, exports=exports, subnets=subnets, control=CONTROL)
