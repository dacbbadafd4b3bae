"""The options with which `embed` and `caption` work on a cluster, or on any pictures with Ray on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from say_what_you_see.commands.options import count, number, whole_number
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.text import visible

if TYPE_CHECKING:  # the real imports come when the command runs: `--help` should not wait for Keras
    from say_what_you_see.distributed.engine import ClusterPlan
    from say_what_you_see.distributed.run import ShardOptions

_NEED_RAY = ("address", "output", "format", "shard_size", "workers", "gpus_per_worker", "bytes_column", "name_column")


def add_cluster_arguments(command: argparse.ArgumentParser, formats: tuple[str, ...]) -> None:
    """The options of working with Ray; `formats` are those that shards can have, the usual one first."""
    group = command.add_argument_group("many pictures, one machine or several (docs/cluster.md)")
    group.add_argument("--engine", choices=("ray",), help="ray: with Ray Data (pip install -r requirements-ray.txt)")
    group.add_argument(
        "--address", metavar="HOST:PORT",
        help="of a Ray cluster; auto: the one that runs here (default: Ray on this machine, for this run only)",
    )  # fmt: skip
    group.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where shards and manifest go; an interrupted run goes on there"
    )
    group.add_argument("--format", choices=formats, help=f"of the shards (default: {formats[0]})")
    group.add_argument("--shard-size", type=count, metavar="N", help="pictures in a shard, at most (default: 2048)")
    group.add_argument("--batch-size", type=count, metavar="N", help="pictures at a time (default: 32; GPUs like more)")
    group.add_argument(
        "--workers", type=count, metavar="N",
        help="models at work (default: one for each GPU; without GPUs one for four CPUs of each machine)",
    )  # fmt: skip
    at_least_0 = number(lambda value: 0 <= value < float("inf"), "number from 0 up")
    group.add_argument(
        "--gpus-per-worker", type=at_least_0, metavar="X",
        help="0.5: two workers on a GPU; 0: CPUs only (default: 1 where there are GPUs)",
    )  # fmt: skip
    group.add_argument(
        "--retries", type=whole_number(0), metavar="N", help="of what failed in the cluster (default: 5)"
    )
    group.add_argument("--bytes-column", default="", metavar="NAME", help="of Parquet files: the pictures")
    group.add_argument("--name-column", default="", metavar="NAME", help="of Parquet files: the names of the pictures")


def refuse_without_ray(options: argparse.Namespace) -> None:
    """Complain about options that only Ray understands.

    Raises:
        CourseError: naming one of them.
    """
    for name in (*_NEED_RAY, "batch_size", "retries", "input"):
        if getattr(options, name, None):
            raise CourseError(f"--{name.replace('_', '-')} is for --engine ray. Add that, or leave it out.")


def cluster_plan(options: argparse.Namespace) -> ClusterPlan:
    """Where to work, from the options."""
    from say_what_you_see.distributed.engine import ClusterPlan

    given = {"address": options.address, "workers": options.workers, "gpus_per_worker": options.gpus_per_worker}
    retries = {} if options.retries is None else {"retries": options.retries}
    return ClusterPlan(**given, **retries)


def shard_options(options: argparse.Namespace) -> ShardOptions:
    """How to make shards, from the options."""
    from say_what_you_see.distributed.run import ShardOptions

    numbers = {"size": options.shard_size, "batch_size": options.batch_size}
    given = {name: value for name, value in numbers.items() if value is not None}
    return ShardOptions(form=options.format, columns=(options.bytes_column, options.name_column), **given)


def print_manifest(manifest: dict, folder: Path) -> None:
    """Say what was made."""
    from say_what_you_see.distributed.shards import MANIFEST_FILE

    shards = sum("file" in shard for shard in manifest["shards"])
    print(visible(f"{manifest['kind'].capitalize()}: {manifest['rows']} in {shards} shards, {folder / MANIFEST_FILE}"))
