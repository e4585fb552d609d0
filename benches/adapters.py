"""The same few verbs over each system: two workers on this machine, defaults otherwise.

Each adapter is imported in its own environment, so it imports its system in `__init__` and nowhere else.
"""

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

WORKERS = 2


class Scaler:
    """This project, client and embedded cluster on Unix sockets."""

    slow = False
    scheduler_is_told_apart = True

    def __init__(self) -> None:
        from scaler import Client, SchedulerClusterCombo

        self.cluster = SchedulerClusterCombo(n_workers=WORKERS, address=self.address)
        self.before_client()
        self.client = Client(self.cluster.get_address())
        self.submit = self.client.submit

    address: str | None = None

    def before_client(self) -> None:
        pass

    def get(self, future: Any) -> Any:
        return future.result()

    def put(self, value: Any) -> Any:
        return self.client.send_object(value)

    def map(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        return self.client.map(function, xs).results()

    def close(self) -> None:
        self.client.disconnect()
        self.cluster.shutdown()


class ScalerTcp(Scaler):
    """The same over loopback tcp with CURVE, between client and scheduler."""

    address = "tcp://127.0.0.1:0"

    def before_client(self) -> None:
        # A client that does not find the scheduler's Unix socket is a remote one.
        os.environ["SCALER_RUNTIME_DIR"] = tempfile.mkdtemp()


class OpenGris:
    slow = True
    # All its processes look alike from outside.
    scheduler_is_told_apart = False

    def __init__(self) -> None:
        from scaler import Client, SchedulerClusterCombo

        self.cluster = SchedulerClusterCombo(n_workers=WORKERS)
        self.client = Client(address=self.cluster.get_address())
        self.submit = self.client.submit

    def get(self, future: Any) -> Any:
        return future.result()

    def put(self, value: Any) -> Any:
        return self.client.send_object(value)

    def map(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        return list(self.client.map(function, xs))

    def close(self) -> None:
        self.client.disconnect()
        self.cluster.shutdown()


class Dask:
    slow = True
    scheduler_is_told_apart = True

    def __init__(self) -> None:
        from distributed import Client, LocalCluster

        self.cluster = LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        )
        self.client = Client(self.cluster)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.client.submit(function, *arguments, pure=False)

    def get(self, future: Any) -> Any:
        return future.result()

    def put(self, value: Any) -> Any:
        return self.client.scatter(value)

    def map(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        return list(self.client.gather(self.client.map(function, xs, pure=False)))

    def close(self) -> None:
        self.client.close()
        self.cluster.close()


class Ray:
    slow = True
    scheduler_is_told_apart = True

    def __init__(self) -> None:
        import ray

        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="error")
        self.ray, self.remotes = ray, {}

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        remote = self.remotes.get(function)
        if remote is None:
            remote = self.remotes[function] = self.ray.remote(function)
        return remote.remote(*arguments)

    def get(self, future: Any) -> Any:
        return self.ray.get(future)

    def put(self, value: Any) -> Any:
        return self.ray.put(value)

    def map(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        return self.ray.get([self.submit(function, x) for x in xs])

    def close(self) -> None:
        self.ray.shutdown()


class IPyParallel:
    """Its load-balanced view: one task an element, as its defaults have it."""

    slow = True
    scheduler_is_told_apart = False

    def __init__(self) -> None:
        import ipyparallel

        self.cluster = ipyparallel.Cluster(n=WORKERS, log_level=40)
        self.view = self.cluster.start_and_connect_sync().load_balanced_view()
        self.submit = self.view.apply_async

    def get(self, future: Any) -> Any:
        return future.get()

    def put(self, value: Any) -> Any:
        return value

    def map(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        return list(self.view.map_sync(function, xs))

    def close(self) -> None:
        self.cluster.stop_cluster_sync()


class Parsl:
    """Its high-throughput executor."""

    slow = True
    scheduler_is_told_apart = False

    def __init__(self) -> None:
        import parsl

        self.parsl, self.apps = parsl, {}
        self.folder = tempfile.TemporaryDirectory()
        executor = parsl.HighThroughputExecutor(
            max_workers_per_node=WORKERS, address="127.0.0.1", provider=parsl.providers.LocalProvider(max_blocks=1)
        )
        parsl.load(parsl.Config(executors=[executor], run_dir=self.folder.name, initialize_logging=False))

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        app = self.apps.get(function)
        if app is None:
            app = self.apps[function] = self.parsl.python_app(function)
        return app(*arguments)

    def get(self, future: Any) -> Any:
        return future.result()

    def put(self, value: Any) -> Any:
        return value

    def map(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        return [self.get(future) for future in [self.submit(function, x) for x in xs]]

    def close(self) -> None:
        self.parsl.dfk().cleanup()
        self.folder.cleanup()


class Executor:
    """concurrent.futures.ProcessPoolExecutor."""

    slow = False
    scheduler_is_told_apart = True

    def __init__(self) -> None:
        from concurrent.futures import ProcessPoolExecutor

        self.pool = ProcessPoolExecutor(WORKERS)
        self.submit = self.pool.submit

    def get(self, future: Any) -> Any:
        return future.result()

    def put(self, value: Any) -> Any:
        return value

    def map(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        return list(self.pool.map(function, xs, chunksize=max(1, len(xs) // (WORKERS * 8))))

    def close(self) -> None:
        self.pool.shutdown()


class Pool:
    """multiprocessing.Pool."""

    slow = False
    scheduler_is_told_apart = True

    def __init__(self) -> None:
        from multiprocessing import Pool

        self.pool = Pool(WORKERS)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self.pool.apply_async(function, arguments)

    def get(self, future: Any) -> Any:
        return future.get()

    def put(self, value: Any) -> Any:
        return value

    def map(self, function: Callable[[Any], Any], xs: Sequence[Any]) -> list[Any]:
        return self.pool.map(function, xs)

    def close(self) -> None:
        self.pool.terminate()
        self.pool.join()


class Floor:
    """The shape of the path in plain Python, with no promises: the script that FLOOR names."""

    slow = False
    scheduler_is_told_apart = True

    def __init__(self) -> None:
        found = importlib.util.spec_from_file_location("floor", os.environ["FLOOR"])
        assert found is not None
        assert found.loader is not None
        # By its name, under which what it sends is pickled.
        floor = sys.modules["floor"] = importlib.util.module_from_spec(found)
        found.loader.exec_module(floor)
        self.client = floor.Client()
        self.submit, self.map = self.client.submit, self.client.map

    def get(self, future: Any) -> Any:
        return future.result()

    def close(self) -> None:
        self.client.stop()


ADAPTERS = {
    "scaler": Scaler,
    "scaler-tcp": ScalerTcp,
    "opengris": OpenGris,
    "dask": Dask,
    "ray": Ray,
    "ipyparallel": IPyParallel,
    "parsl": Parsl,
    "executor": Executor,
    "pool": Pool,
    "floor": Floor,
}
