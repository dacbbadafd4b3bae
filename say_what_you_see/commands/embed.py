"""The command `say-what-you-see embed`: embeddings of the data set's pictures, or with Ray of any pictures."""

from __future__ import annotations

import argparse
import functools

from say_what_you_see.commands.cluster import (
    add_cluster_arguments,
    cluster_plan,
    print_manifest,
    refuse_without_ray,
    shard_options,
)
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument(
        "--input", nargs="+", metavar="SOURCE",
        help="with --engine ray: folders, zips, tars, Parquet files, pictures; without it the data set is embedded",
    )  # fmt: skip
    add_cluster_arguments(command, ("npy", "parquet"))


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Embed the data set, here or on a cluster, or any pictures on a cluster."""
    if options.engine is None:
        refuse_without_ray(options)
        return _embed_dataset(settings)
    if not options.input:
        return _embed_dataset_with_ray(settings, options)
    if options.output is None:
        raise CourseError("--input needs --output FOLDER, where the embeddings go.")
    from say_what_you_see.distributed.run import embed_with_ray
    from say_what_you_see.vision.encoders import encoder_for

    encoder = encoder_for(settings)
    plan, sharding = cluster_plan(options), shard_options(options)
    manifest = embed_with_ray(options.input, options.output, encoder, settings.data_folder, plan, sharding)
    print_manifest(manifest, options.output)
    return 0


def _embed_dataset(settings: Settings) -> int:
    from say_what_you_see.course.decoder import extract_embeddings

    extract_embeddings(settings)
    return _print_shapes(settings)


def _embed_dataset_with_ray(settings: Settings, options: argparse.Namespace) -> int:
    """The data set's embeddings by a cluster: the files are those that this machine would have made alone."""
    for name in ("output", "format", "shard_size"):
        if getattr(options, name):
            raise CourseError(f"--{name.replace('_', '-')} goes with --input; the data set's files have their places.")
    from say_what_you_see.course.decoder import extract_embeddings
    from say_what_you_see.data.datasets import get_dataset
    from say_what_you_see.distributed.engine import running_ray
    from say_what_you_see.distributed.run import apply_model_with_ray

    get_dataset(settings)  # downloads need no cluster that waits
    plan = cluster_plan(options)
    with running_ray(plan) as ray:
        apply = functools.partial(apply_model_with_ray, ray, plan, batch_size=options.batch_size or 32)
        extract_embeddings(settings, apply)
    return _print_shapes(settings)


def _print_shapes(settings: Settings) -> int:
    from say_what_you_see.course.decoder import load_embeddings

    shapes = [f"{split} {load_embeddings(settings, split)[0].shape}" for split in ("train", "val")]
    print("Embeddings: " + ", ".join(shapes))
    return 0
