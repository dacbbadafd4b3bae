"""Has Ray process parts: of a zip into the table that `apply_model` fills, or of any sources into shards."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import make_folder
from say_what_you_see.core.progress import progress
from say_what_you_see.data.archives import image_members
from say_what_you_see.decoding.samplers import Sampler
from say_what_you_see.distributed.engine import Cluster, RayOptions, import_ray, running_ray
from say_what_you_see.distributed.shards import FORMATS, ShardFolder
from say_what_you_see.distributed.sources import Part, find_parts, zip_parts
from say_what_you_see.distributed.worker import CaptioningModel, EmbeddingModel, ExportedEncoder, Model, work_on_all
from say_what_you_see.serving.model_folder import CaptionModel
from say_what_you_see.vision.embedding_table import ImageBatch
from say_what_you_see.vision.encoders import EncoderInfo, Preprocess, weights_checksum
from say_what_you_see.vision.extraction import open_table
from say_what_you_see.vision.fast_encoder import KERAS, FastEncoder, engine_for

PART_PICTURES = 1024
"""The number of pictures in a part of one of the course's zips."""


def apply_model_with_ray(
    cluster: Cluster,
    zip_fn: str | Path,
    encoder: keras.Model | FastEncoder,
    preprocess_for_model: Preprocess,
    input_shape: tuple[int, int] = (299, 299),
    batch_size: int = 32,
    store: Path | None = None,
    dtype: str = "float32",
) -> tuple[np.ndarray, list[str]]:
    """`apply_model` on a cluster: the same results, files and record, so that each can resume the other."""
    if cluster.gpus and isinstance(encoder, FastEncoder):
        encoder = encoder.model  # the Keras model, which runs on GPUs
    members = image_members(zip_fn)
    table = open_table(zip_fn, members, encoder, preprocess_for_model, input_shape, store, dtype)
    parts = zip_parts(str(Path(zip_fn).absolute()), table.members_done, len(members), PART_PICTURES)
    description = f"Embedding {Path(zip_fn).name}"
    with progress(total=len(members), description=description, unit=" pictures", done=table.members_done) as bar:
        if parts:
            model = EmbeddingModel(_sendable(encoder), preprocess_for_model, input_shape, batch_size, dtype)
            for results in work_on_all(cluster, parts, model):
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
    inputs: Sequence[str], output: Path, encoder: EncoderInfo, data_folder: Path, options: RayOptions
) -> None:
    """Embed the pictures of folders, zips, tars and Parquet files.

    Args:
        data_folder: where the encoder's export for the fastest engine on CPUs is kept.
    """
    made_from = {
        "weights": encoder.weights_checksum, "encoder": encoder.name, "features": encoder.features,
        "input_shape": list(encoder.input_shape), "dtype": "float32",
        **({} if encoder.precision == "float32" else {"precision": encoder.precision}),
    }  # fmt: skip

    def make_model(cluster: Cluster, pictures: int | None) -> tuple[Model, str]:
        chosen = FastEncoder(encoder, data_folder, [])
        if not cluster.gpus:
            chosen.choose_engine(engine_for(encoder, pictures))
        preprocess, shape = encoder.preprocess_for_model, encoder.input_shape
        return EmbeddingModel(_sendable(chosen), preprocess, shape, options.batch_size, "float32"), chosen.engine

    _make_shards(inputs, output, "embeddings", made_from, make_model, options)


def caption_with_ray(
    inputs: Sequence[str], output: Path, model: CaptionModel, encoder: EncoderInfo, sampler: Sampler, seed: int,
    options: RayOptions,
) -> None:  # fmt: skip
    """Caption the pictures of folders, zips, tars and Parquet files."""
    made_from = {
        "model": weights_checksum(model.decoder),
        "words": hashlib.sha256(json.dumps(model.vocab).encode()).hexdigest(),
        "weights": encoder.weights_checksum,
        "sampler": repr(sampler),
        "seed": seed,
    }
    captioning = CaptioningModel(encoder, model, sampler, seed, encoder.input_shape, options.batch_size)
    _make_shards(inputs, output, "captions", made_from, lambda *_: (captioning, KERAS), options)


def _make_shards(
    inputs: Sequence[str], output: Path, kind: str, made_from: dict[str, Any],
    make_model: Callable[[Cluster, int | None], tuple[Model, str]], options: RayOptions,
) -> None:  # fmt: skip
    """Make the shards that are missing, then the manifest."""
    import_ray(options.address)  # missing packages are reported before anything is done
    with _only_one_run(output):
        columns = options.bytes_column, options.name_column
        parts, sources = find_parts(inputs, options.shard_size, columns)
        made_from = {"sources": sources, "batch_size": options.batch_size, "size": options.shard_size, **made_from}
        folder = ShardFolder(output, kind, options.format or FORMATS[kind][0], made_from, len(parts))
        if missing := folder.missing():
            to_do = [parts[number] for number in missing]
            total, left = _count(parts), _count(to_do)
            done = total - left if total is not None and left is not None else 0
            with (
                running_ray(options) as cluster,
                progress(total=total, description=kind.capitalize(), unit=" pictures", done=done) as bar,
            ):
                model, engine = make_model(cluster, left)
                for number, results in zip(missing, work_on_all(cluster, to_do, model), strict=True):
                    folder.write(number, results, engine)
                    bar.update(len(results.names) + len(results.skipped))
        folder.finish()


def _count(parts: Sequence[Part]) -> int | None:
    """The number of pictures in parts; None if it is not known before they are read."""
    counts = [part.pictures for part in parts]
    return None if None in counts else sum(count for count in counts if count is not None)


@contextmanager
def _only_one_run(folder: Path) -> Iterator[None]:
    """Keep others from writing into the same folder; the system frees the lock however a process ends."""
    make_folder(folder)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise CourseError(f"Another run is using {folder}. Wait for it, or give another --output folder.") from error
