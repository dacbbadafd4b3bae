"""`say-what-you-see embed` and `prepare`: pictures as embeddings, and captions as numbers."""

import argparse

from say_what_you_see.commands.options import given, refuse_options
from say_what_you_see.commands.ray_options import ray_options, refuse_without_ray
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.course.captions import load_vocabulary, prepare_captions
from say_what_you_see.course.features import extract_embeddings, load_embeddings


def embed(settings: Settings, options: argparse.Namespace) -> int:
    """Embed the data set, here or on a cluster, or any pictures on a cluster."""
    if options.engine is None:
        refuse_without_ray(options)
        extract_embeddings(settings)
    elif options.input:
        _embed_pictures_with_ray(settings, options)
        return 0
    else:
        _embed_dataset_with_ray(settings, options)
    shapes = [f"{split} {load_embeddings(settings, split)[0].shape}" for split in ("train", "val")]
    print("Embeddings: " + ", ".join(shapes))
    return 0


def _embed_pictures_with_ray(settings: Settings, options: argparse.Namespace) -> None:
    if options.output is None:
        raise CourseError("--input needs --output FOLDER, where the embeddings go.")
    from say_what_you_see.distributed.run import embed_with_ray
    from say_what_you_see.vision.encoders import encoder_for

    encoder = encoder_for(settings)
    embed_with_ray(options.input, options.output, encoder, settings.data_folder, ray_options(options))


def _embed_dataset_with_ray(settings: Settings, options: argparse.Namespace) -> None:
    """Embed the data set on a cluster: the files are the same as this machine alone would make."""
    only_with_input = "is only for --input; the data set's own files have fixed places. Leave it out."
    refuse_options(options, ("output", "format", "shard_size", "bytes_column", "name_column"), only_with_input)
    from say_what_you_see.data.datasets import get_dataset
    from say_what_you_see.distributed.engine import running_ray
    from say_what_you_see.distributed.run import apply_model_with_ray

    get_dataset(settings)  # before the cluster starts, which would only wait for downloads
    batch_size = given({"batch_size": options.batch_size})
    with running_ray(ray_options(options)) as cluster:
        extract_embeddings(
            settings, lambda *zip_etc, **more: apply_model_with_ray(cluster, *zip_etc, **more | batch_size)
        )


def prepare(settings: Settings, options: argparse.Namespace) -> int:
    """Make the vocabulary, and turn the captions of the data set into numbers."""
    prepare_captions(settings)
    print(f"Vocabulary: {len(load_vocabulary(settings))} words")
    return 0
