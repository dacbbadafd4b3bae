"""Ray, started on this machine or found in a cluster, and what goes wrong with it in words."""

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
"""Shared memory that Ray on this machine may use; blocks of pictures wait there for a worker."""

CPUS_PER_WORKER = 4
"""A model on CPUs gains less from every further core; from so many on, a node gets one worker more."""

RESERVED_CPUS = 0.01
"""What a worker reserves of a node's CPUs, hardly anything: when one node is lost, its workers move to the others."""

_ATTEMPTS = 3
_PATIENCE = 10  # seconds
_LOOPBACK = re.compile(r"(127\.\d+\.\d+\.\d+|localhost|\[?::1\]?):\d+")


@dataclass(frozen=True)
class ClusterPlan:
    """Where the work is done, and by how many."""

    address: str | None = None  # "auto" for the cluster that runs here; None starts Ray here for this run only
    workers: int | None = None  # None is one for each GPU, or without GPUs one for four CPUs of each node
    gpus_per_worker: float | None = None  # 0.5 for two workers on one GPU; None is 1 where the cluster has any
    retries: int = 5  # how often a block is tried again whose worker died, and a read that failed


@dataclass(frozen=True)
class Workers:
    """How the models are spread."""

    count: int  # number of workers
    gpus: float  # that each of them takes
    threads: int  # that each of them may use on CPUs


def import_ray(address: str | None = None) -> ModuleType:
    """Ray with Ray Data, without the usage statistics that it would send."""
    missing = [name for name in ("ray", "pandas", "pyarrow") if find_spec(name) is None]
    if missing:
        raise CourseError(
            f"--engine ray needs {', '.join(missing)}, not installed here. Install it with "
            "`pip install -r requirements-ray.txt`, or leave --engine ray out."
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # spares a warning in every worker
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters comes as an exception as well
    if address is None or _LOOPBACK.fullmatch(address):
        # Ray's switch for Windows and macOS, which works everywhere: all of it listens on 127.0.0.1 only
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextmanager
def running_ray(plan: ClusterPlan) -> Iterator[ModuleType]:
    """Ray for a block: on this machine, reachable from it alone, or in the cluster of the plan's address. Its errors
    become CourseErrors.
    """
    ray = import_ray(plan.address)
    _start_local(ray) if plan.address is None else _connect(ray, plan.address)
    try:
        _configure(ray, plan)
        yield ray
    except ray.exceptions.RayError as error:
        if (own := _own_error(error)) is not None:
            raise own from error
        raise CourseError(
            f"The cluster could not go on: {_first_line(error)}. What is written stays; the same command goes on there."
        ) from error
    finally:
        ray.shutdown()


def _start_local(ray: ModuleType) -> None:
    from say_what_you_see.core.backend import suppress_stderr  # brings Keras, which readers have no use for

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
                    "busy: wait, and start again. Without --engine ray the course needs no Ray."
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
            "printed, such as 10.0.0.5:6379, start this command on one of the cluster's machines, and see that all "
            "have the same versions of Python and Ray."
        ) from error


def _configure(ray: ModuleType, plan: ClusterPlan) -> None:
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False  # the course's own counts pictures
    context.print_on_execution_start = False
    context.retried_map_errors = True  # a network disk that did not answer answers a little later
    context.max_map_retries = plan.retries
    context.max_consecutive_actor_init_deaths = plan.retries


def plan_workers(ray: ModuleType, plan: ClusterPlan) -> Workers:
    """Spread workers over the nodes that are there."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = sum(node.get("GPU", 0) for node in nodes)
    per_worker = plan.gpus_per_worker if plan.gpus_per_worker is not None else float(gpus > 0)
    cpus = [int(node.get("CPU", 1)) for node in nodes]
    if per_worker:
        most = sum(int(node.get("GPU", 0) / per_worker) for node in nodes)
        if (plan.workers or 1) > most:
            raise CourseError(
                f"{plan.workers or 1} workers of {per_worker:g} GPUs each do not fit: there are {gpus:g} GPUs on "
                f"{len(nodes)} nodes. Ask for fewer, or for 0 GPUs a worker to use the CPUs."
            )
        return Workers(plan.workers or most, per_worker, max(1, min(cpus)))
    count = plan.workers or sum(max(1, cpu // CPUS_PER_WORKER) for cpu in cpus)
    return Workers(count, 0.0, max(1, sum(cpus) // count))


def _own_error(error: BaseException | None) -> CourseError | None:
    """The course's error that made a task fail, if it was one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, CourseError):
            return CourseError(str(error.args[0]) if error.args else str(error))
        error = getattr(error, "cause", None) or error.__cause__
    return None


def _first_line(error: Any) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
