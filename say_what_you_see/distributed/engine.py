"""Starts Ray on this machine or joins a cluster, and explains what goes wrong."""

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import PACKAGE

OBJECT_STORE_BYTES = 512 * 1024**2
"""The shared memory that Ray on this machine may use; it holds the packed model, parts and results."""

CPUS_PER_WORKER = 4
"""A node gets a worker for this many cores: a model on CPUs gains less and less from further ones."""

RESERVED_CPUS = 0.01
"""The CPUs that a worker reserves, hardly any, so that when a node is lost, its workers can move to the others."""

_ATTEMPTS = 3
_PATIENCE = 10  # seconds
_LOOPBACK = re.compile(r"(127\.\d+\.\d+\.\d+|localhost|\[?::1\]?):\d+")


@dataclass(frozen=True)
class RayOptions:
    """Where the work is done, by how many workers, and how shards are made: the options of `--engine ray`."""

    address: str | None = None  # "auto" for the cluster that runs here; None starts Ray here for this run only
    workers: int | None = None  # None is one for each GPU, or without GPUs one for every four CPUs of a node
    gpus_per_worker: float | None = None  # 0.5 for two workers on one GPU; None is 1 if the cluster has any
    retries: int = 5  # how often to retry a block whose worker died, or a read that failed
    batch_size: int = 32  # pictures that a model gets at a time
    format: str | None = None  # of the shards; None is the default
    shard_size: int = 2048  # the most pictures in a shard, 16 MB of embeddings with InceptionV3; a tar makes one
    bytes_column: str = ""  # the Parquet columns with bytes and names; "" looks for them
    name_column: str = ""


@dataclass(frozen=True)
class Cluster:
    """Ray while it runs, how many workers there are, and what each may use."""

    ray: ModuleType
    workers: int
    gpus: float  # GPUs for each worker
    threads: int  # threads for each worker on CPUs
    retries: int


def import_ray(address: str | None = None) -> ModuleType:
    """Import Ray with Ray Data, without the usage statistics that it would send."""
    missing = [name for name in ("ray", "pandas", "pyarrow") if find_spec(name) is None]
    if missing:
        raise CourseError(
            f"--engine ray needs packages that are not installed: {', '.join(missing)}. Run "
            "`pip install -r requirements-ray.txt`, or leave out --engine ray."
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # spares a warning in every worker
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters is raised as an exception, too
    if address is None or _LOOPBACK.fullmatch(address):
        # Ray's switch for Windows and macOS works everywhere: Ray then listens on 127.0.0.1 only
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextmanager
def running_ray(options: RayOptions) -> Iterator[Cluster]:
    """Run Ray during a block: on this machine alone, or in a cluster that runs; its errors become CourseErrors."""
    ray = import_ray(options.address)
    _start_local(ray) if options.address is None else _connect(ray, options.address)
    try:
        _configure(ray, options.retries)
        yield _plan_workers(ray, options)
    except ray.exceptions.RayError as error:
        if (own := _own_error(error)) is not None:
            raise own from error
        raise CourseError(
            f"The cluster failed: {_first_line(error)}. What was written is kept; run the same command to continue."
        ) from error
    finally:
        ray.shutdown()


def _start_local(ray: ModuleType) -> None:
    from say_what_you_see.core.backend import suppress_stderr  # imports Keras, which reading shards does not need

    options = {"include_dashboard": False, "log_to_driver": False, "logging_level": "CRITICAL"}
    for attempt in range(_ATTEMPTS):  # on a busy machine Ray gives up waiting for its own processes
        try:
            with suppress_stderr():
                ray.init("local", _node_ip_address="127.0.0.1", object_store_memory=OBJECT_STORE_BYTES, **options)
            return
        except Exception as error:
            ray.shutdown()
            if attempt == _ATTEMPTS - 1:
                raise CourseError(
                    f"Ray did not start on this machine ({_first_line(error)}). It gives up when the machine is too "
                    "busy: wait and try again, or leave out --engine ray."
                ) from error


def _connect(ray: ModuleType, address: str) -> None:
    """Join a cluster; its nodes get this version of the course's code."""
    from say_what_you_see.core.backend import keras, suppress_stderr

    code = {
        "py_modules": [str(PACKAGE)],
        "excludes": ["**/__pycache__"],
        "env_vars": {"KERAS_BACKEND": keras.backend.backend(), "COURSE_PROGRESS": "off"},
    }
    try:
        if found := re.fullmatch(r"(?:ray://)?\[?([^\]/]+)\]?:(\d+)", address):  # Ray itself would try for minutes
            socket.create_connection((found[1], int(found[2])), timeout=_PATIENCE).close()
        with suppress_stderr():
            ray.init(address, runtime_env=code, log_to_driver=False, logging_level="CRITICAL")
    except Exception as error:
        raise CourseError(
            f"No Ray cluster answers at {address!r} ({_first_line(error)}). Give the address that `ray start --head` "
            "printed, such as 10.0.0.5:6379, run this command on one of the cluster's machines, and make sure that all "
            "have the same versions of Python and Ray."
        ) from error


def _configure(ray: ModuleType, retries: int) -> None:
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False  # the course has its own, which counts pictures
    context.print_on_execution_start = False
    context.retried_map_errors = True  # a network disk that does not answer may do so a little later
    context.max_map_retries = retries
    context.max_consecutive_actor_init_deaths = retries


def _plan_workers(ray: ModuleType, options: RayOptions) -> Cluster:
    """Spread workers over the nodes that are alive."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(node.get("GPU", 0) for node in nodes)
    per_worker = options.gpus_per_worker if options.gpus_per_worker is not None else float(gpus > 0)
    cpus = [int(node.get("CPU", 1)) for node in nodes]
    if per_worker:
        most = sum(int(node.get("GPU", 0) / per_worker) for node in nodes)
        if (options.workers or 1) > most:
            raise CourseError(
                f"{options.workers or 1} workers with {per_worker:g} GPUs each do not fit: there are {gpus:g} GPUs on "
                f"{len(nodes)} nodes. Ask for fewer workers, or for 0 GPUs per worker to use the CPUs."
            )
        return Cluster(ray, options.workers or most, per_worker, max(1, min(cpus)), options.retries)
    count = options.workers or sum(max(1, cpu // CPUS_PER_WORKER) for cpu in cpus)
    return Cluster(ray, count, 0.0, max(1, sum(cpus) // count), options.retries)


def _own_error(error: BaseException | None) -> CourseError | None:
    """The CourseError that made a task fail, if it was one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, CourseError):
            return CourseError(str(error.args[0]) if error.args else str(error))
        error = getattr(error, "cause", None) or error.__cause__
    return None


def _first_line(error: Any) -> str:
    return next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)[:300]
