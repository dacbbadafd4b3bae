"""How `embed` and `caption` read the options that go with `--engine ray`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.text import visible

if TYPE_CHECKING:  # these modules take seconds to import, and are needed only with Ray
    from say_what_you_see.distributed.engine import ClusterPlan
    from say_what_you_see.distributed.run import ShardOptions

_FOR_RAY = (
    "address", "output", "format", "shard_size", "workers", "gpus_per_worker", "bytes_column", "name_column",
    "batch_size", "retries", "input",
)  # fmt: skip


def refuse_without_ray(options: argparse.Namespace) -> None:
    """Refuse options that are only for Ray."""
    refuse_options(options, _FOR_RAY, "is for --engine ray. Add --engine ray, or leave it out.")


def refuse_options(options: argparse.Namespace, names: tuple[str, ...], message: str) -> None:
    """Raise a CourseError about the first of these options that was given."""
    for name in names:
        if getattr(options, name, None):
            raise CourseError(f"--{name.replace('_', '-')} {message}")


def cluster_plan(options: argparse.Namespace) -> ClusterPlan:
    """Where to work, according to the options."""
    from say_what_you_see.distributed.engine import ClusterPlan

    names = ("address", "workers", "gpus_per_worker", "retries")
    return ClusterPlan(**{name: value for name in names if (value := getattr(options, name)) is not None})


def shard_options(options: argparse.Namespace) -> ShardOptions:
    """How to make shards, according to the options."""
    from say_what_you_see.distributed.run import ShardOptions

    numbers = {"size": options.shard_size, "batch_size": options.batch_size, "form": options.format}
    given = {name: value for name, value in numbers.items() if value is not None}
    return ShardOptions(columns=(options.bytes_column, options.name_column), **given)


def print_manifest(manifest: dict, folder: Path) -> None:
    """Print what was made."""
    from say_what_you_see.distributed.shards import MANIFEST_FILE

    shards = sum("file" in shard for shard in manifest["shards"])
    print(visible(f"{manifest['kind'].capitalize()}: {manifest['rows']} in {shards} shards, {folder / MANIFEST_FILE}"))
