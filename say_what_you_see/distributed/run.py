"""Has Ray process parts: of a zip into the table that `apply_model` fills, or of any sources into shards."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import make_folder
from say_what_you_see.core.progress import progress
from say_what_you_see.core.text import visible
from say_what_you_see.data.archives import image_members
from say_what_you_see.decoding.samplers import Sampler
from say_what_you_see.distributed.engine import ClusterPlan, Workers, import_ray, plan_workers, running_ray
from say_what_you_see.distributed.shards import FORMATS, ShardFolder
from say_what_you_see.distributed.sources import Part, find_sources, zip_parts
from say_what_you_see.distributed.worker import CaptioningModel, EmbeddingModel, ExportedEncoder, Model, work_on_all
from say_what_you_see.serving.model_folder import CaptionModel
from say_what_you_see.vision.embedding_table import ImageBatch
from say_what_you_see.vision.encoders import EncoderInfo, Preprocess, weights_checksum
from say_what_you_see.vision.extraction import open_table
from say_what_you_see.vision.fast_encoder import KERAS, FastEncoder, engine_for

PART_PICTURES = 1024
"""The number of pictures in a part of one of the course's zips."""

SHARD_PICTURES = 2048
"""The number of pictures in a shard: 16 MB of embeddings with InceptionV3."""

_NAMED = 20  # at most this many pictures that could not be read are named; the records name all


@dataclass(frozen=True)
class ShardOptions:
    """How shards are made."""

    form: str | None = None  # of the shards, one of `FORMATS`; None is the default
    size: int = SHARD_PICTURES  # the most pictures in a shard; a tar makes one
    batch_size: int = 32  # pictures that a model gets at a time
    columns: tuple[str, str] = ("", "")  # Parquet columns with bytes and names; "" looks for them


def apply_model_with_ray(
    ray: ModuleType,
    plan: ClusterPlan,
    zip_fn: str | Path,
    encoder: keras.Model | FastEncoder,
    preprocess_for_model: Preprocess,
    input_shape: tuple[int, int] = (299, 299),
    batch_size: int = 32,
    store: Path | None = None,
    dtype: str = "float32",
) -> tuple[np.ndarray, list[str]]:
    """`apply_model` on a cluster: the same results, files and record, so that each can resume the other."""
    workers = plan_workers(ray, plan)
    if workers.gpus and isinstance(encoder, FastEncoder):
        encoder = encoder.model  # the Keras model, which runs on GPUs
    members = image_members(zip_fn)
    table = open_table(zip_fn, members, encoder, preprocess_for_model, input_shape, store, dtype)
    parts = zip_parts(str(Path(zip_fn).absolute()), table.members_done, len(members), PART_PICTURES)
    description = f"Embedding {Path(zip_fn).name}"
    with progress(total=len(members), description=description, unit=" pictures", done=table.members_done) as bar:
        if parts:
            model = EmbeddingModel(_sendable(encoder), preprocess_for_model, input_shape, batch_size, dtype)
            for _, results in work_on_all(ray, parts, model, plan, workers):
                batch = ImageBatch(np.empty(0, "float32"), len(results.names), dict(results.skipped))
                table.add(batch, np.asarray(results.values))
                bar.update(batch.members_read)
    return table.finish()


def _sendable(encoder: keras.Model | FastEncoder) -> Any:
    """The encoder to send to the workers: for a `FastEncoder`, what it has chosen to compute with."""
    if not isinstance(encoder, FastEncoder):
        return encoder
    return encoder.model if encoder.engine == KERAS else ExportedEncoder(encoder)


def embed_with_ray(
    inputs: Sequence[str], output: Path, encoder: EncoderInfo, data_folder: Path, plan: ClusterPlan,
    options: ShardOptions,
) -> dict[str, Any]:  # fmt: skip
    """Embed the pictures of folders, zips, tars and Parquet files; returns the manifest.

    Args:
        data_folder: where the encoder's export for the fastest engine on CPUs is kept.
    """
    made_from = {
        "weights": encoder.weights_checksum, "encoder": encoder.name, "features": encoder.features,
        "input_shape": list(encoder.input_shape), "dtype": "float32",
        **({} if encoder.precision == "float32" else {"precision": encoder.precision}),
    }  # fmt: skip

    def make_model(workers: Workers, pictures: int | None) -> tuple[Model, str]:
        chosen, engine = encoder.model, KERAS
        if not workers.gpus:
            chosen = FastEncoder(encoder, data_folder, [])
            engine = chosen.choose_engine(engine_for(encoder, pictures))
        preprocess, shape = encoder.preprocess_for_model, encoder.input_shape
        return EmbeddingModel(_sendable(chosen), preprocess, shape, options.batch_size, "float32"), engine

    return _make_shards(inputs, output, "embeddings", made_from, make_model, plan, options)


def caption_with_ray(
    inputs: Sequence[str], output: Path, model: CaptionModel, encoder: EncoderInfo, sampler: Sampler, seed: int,
    plan: ClusterPlan, options: ShardOptions,
) -> dict[str, Any]:  # fmt: skip
    """Caption the pictures of folders, zips, tars and Parquet files; returns the manifest."""
    made_from = {
        "model": weights_checksum(model.decoder),
        "words": hashlib.sha256(json.dumps(model.vocab).encode()).hexdigest(),
        "weights": encoder.weights_checksum,
        "sampler": repr(sampler),
        "seed": seed,
    }

    def make_model(workers: Workers, pictures: int | None) -> tuple[Model, str]:
        return CaptioningModel(encoder, model, sampler, seed, encoder.input_shape, options.batch_size), KERAS

    return _make_shards(inputs, output, "captions", made_from, make_model, plan, options)


def _make_shards(
    inputs: Sequence[str], output: Path, kind: str, made_from: dict[str, Any],
    make_model: Callable[[Workers, int | None], tuple[Model, str]], plan: ClusterPlan, options: ShardOptions,
) -> dict[str, Any]:  # fmt: skip
    """Make the shards that are missing, then the manifest."""
    import_ray(plan.address)  # missing packages are reported before anything is done
    with _only_one_run(output):
        sources = find_sources(inputs, options.size, options.columns)
        made_from = {"sources": sources.made_from, "batch_size": options.batch_size, "size": options.size, **made_from}
        folder = ShardFolder(Path(output), kind, options.form or FORMATS[kind][0], made_from)
        if missing := folder.missing(sources.parts):
            total, left = _count(sources.parts), _count(missing)
            done = total - left if total is not None and left is not None else 0
            with (
                running_ray(plan) as ray,
                progress(total=total, description=kind.capitalize(), unit=" pictures", done=done) as bar,
            ):
                workers = plan_workers(ray, plan)
                model, engine = make_model(workers, left)
                for part, results in work_on_all(ray, missing, model, plan, workers):
                    folder.write(part, results, engine)
                    bar.update(len(results.names) + len(results.skipped))
        manifest = folder.finish(sources.parts)
        _name_skipped(folder.skipped(sources.parts), manifest)
    return manifest


def _count(parts: Sequence[Part]) -> int | None:
    """The number of pictures in parts; None if it is not known before they are read."""
    counts = [part.pictures for part in parts]
    return None if None in counts else sum(count for count in counts if count is not None)


@contextmanager
def _only_one_run(folder: Path) -> Iterator[None]:
    """Keep others from writing into the same folder; the system frees the lock however a process ends."""
    make_folder(folder)
    try:
        with FileLock(Path(folder) / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise CourseError(f"Another run is using {folder}. Wait for it, or give another --output folder.") from error


def _name_skipped(skipped: Iterator[tuple[str, str]], manifest: dict[str, Any]) -> None:
    """Name the pictures that could not be read."""
    count = manifest["skipped"]
    if not count:
        return
    print(f"Skipped {count} of {manifest['rows'] + count} pictures.")
    for name, reason in itertools.islice(skipped, _NAMED):
        print(visible(f"  {name}: {reason}"))
    if count > _NAMED:
        print(f"  and {count - _NAMED} more, named in the records of the shards.")
