"""Small pictures in every kind of source, a tiny encoder, and a cluster of two nodes on this machine, for tests."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from record_samples import picture

from say_what_you_see.core.settings import REPOSITORY

PATIENCE = 240  # seconds; a quiet machine needs 15
SIDE = 32


def jpegs(count: int) -> list[tuple[str, bytes]]:
    """Names and bytes of pictures; of the first twenty one is text and one is cut off."""
    pictures = [(f"p{index:05d}.jpg", picture(index, (SIDE, SIDE))) for index in range(count)]
    for index, data in ((7, b"no picture"), (13, pictures[13][1][:300])):
        pictures[index] = pictures[index][0], data
    return pictures


def write_tar(path: Path, pictures: list[tuple[str, bytes]]) -> Path:
    """A shard as WebDataset has them: each picture has a text beside it."""
    with tarfile.open(path, "w") as tar:
        for name, data in pictures:
            for member, content in ((name, data), (name.replace(".jpg", ".txt"), b"a caption")):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def write_folder(path: Path, pictures: Iterable[tuple[str, bytes]]) -> Path:
    path.mkdir(parents=True)
    for name, data in pictures:
        (path / name).write_bytes(data)
    return path


def write_parquet(path: Path, pictures: list[tuple[str, bytes]]) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"file_name": [name for name, _ in pictures], "image": [data for _, data in pictures]})
    parquet.write_table(table, path, row_group_size=10)
    return path


def read_back(folder: Path) -> tuple[list[str], list]:
    """The names in a folder of shards, and their embeddings or captions."""
    from say_what_you_see.distributed.shards import read_shards

    shards = list(read_shards(folder))
    return [name for names, _ in shards for name in names], [row for _, rows in shards for row in rows]


def run_command(data: Path, *arguments: object, wait: bool = True) -> subprocess.Popen:
    """`say-what-you-see ...` in a process of its own, with a data folder of its own."""
    environ = {**os.environ, "COURSE_DATA": str(data), "COURSE_PROGRESS": "off", "COURSE_START": str(REPOSITORY)}
    environ.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-m", "say_what_you_see", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environ, **streams)
    if wait:
        try:
            process.out, process.err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
            process.wait()
    return process


@contextmanager
def two_nodes() -> Iterator[str]:
    """A cluster of two nodes of one CPU each, which listens on this machine only; yields its address.

    The ports of Ray's agents are chosen here: left to Ray, a node gives up when they are not found within 15 seconds.
    """
    from say_what_you_see.distributed.engine import import_ray
    from say_what_you_see.training.scale.workers import free_ports

    import_ray()
    from ray.cluster_utils import Cluster

    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    cluster = Cluster()
    try:
        for _ in range(2):
            ports = dict(zip(names, free_ports(4), strict=True))
            memory = {"object_store_memory": 120 * 1024**2, "num_cpus": 1}
            try:
                cluster.add_node(node_ip_address="127.0.0.1", include_dashboard=False, **memory, **ports)
            except Exception as error:  # Ray gives a node 30 seconds, whatever else the machine does
                pytest.skip(f"no cluster came up on this machine: {error}")
        yield cluster.address
    finally:
        cluster.shutdown()


def processes_titled(title: str) -> list[int]:
    """The numbers of processes whose command line has these words in it."""
    return [each.pid for each in psutil.process_iter(["cmdline"]) if title in " ".join(each.info["cmdline"] or ())]


def listening_addresses(pids: list[int]) -> set[str]:
    """The addresses that processes listen on."""
    sockets = [each for each in psutil.net_connections("inet") if each.pid in pids]
    return {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}
