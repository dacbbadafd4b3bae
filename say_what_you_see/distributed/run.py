"""Runs the stream: a zip into the table that `apply_model` fills, or any sources into shards."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import make_folder
from say_what_you_see.core.progress import progress
from say_what_you_see.core.text import visible
from say_what_you_see.data.archives import image_members
from say_what_you_see.decoding.samplers import Sampler
from say_what_you_see.distributed.engine import ClusterPlan, Workers, import_ray, plan_workers, running_ray
from say_what_you_see.distributed.models import pack_captioner, pack_encoder
from say_what_you_see.distributed.pipeline import END, PICTURE, UNREADABLE, Block, ModelMaker, stream
from say_what_you_see.distributed.shards import FORMATS, ShardPlan, ShardWriter
from say_what_you_see.distributed.sources import Part, find_sources, zip_parts
from say_what_you_see.serving.model_folder import CaptionModel
from say_what_you_see.vision.embedding_table import ImageBatch
from say_what_you_see.vision.encoders import EncoderInfo, Preprocess, weights_checksum
from say_what_you_see.vision.extraction import open_table
from say_what_you_see.vision.fast_encoder import KERAS, MIN_PICTURES, OPENVINO, FastEncoder

PART_PICTURES = 1024
"""Pictures of the course's zips that one task reads, one after the other."""

SHARD_PICTURES = 2048
"""Pictures of a shard, which one task reads: 16 MB of embeddings with InceptionV3."""

_COLUMNS = {"embeddings": "embedding", "captions": "captions"}
_NAMED = 20  # pictures that could not be read are named up to here; the records name all


@dataclass(frozen=True)
class ShardOptions:
    """How shards are made.

    Attributes:
        form: of the shards, one of `FORMATS`; None is the usual one.
        size: pictures in a shard, at most.
        batch_size: pictures that a model gets at a time.
        columns: of Parquet sources, those with bytes and names; "" looks for them.
        dtype: of embeddings.
    """

    form: str | None = None
    size: int = SHARD_PICTURES
    batch_size: int = 32
    columns: tuple[str, str] = ("", "")
    dtype: str = "float32"


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
    """`say_what_you_see.vision.extraction.apply_model` on a cluster.

    Results, files and record are the same, so that either one goes on with what the other has begun.

    Args:
        ray: that runs, see `running_ray`.
        plan: where and by how many.
    """
    workers = plan_workers(ray, plan)
    if workers.gpus and isinstance(encoder, FastEncoder):
        encoder = encoder.model  # which has the GPUs to itself
    members = image_members(zip_fn)
    table = open_table(zip_fn, members, encoder, preprocess_for_model, input_shape, store, dtype)
    parts = zip_parts(str(Path(zip_fn).absolute()), table.members_done, len(members), PART_PICTURES)
    description = f"Embedding {Path(zip_fn).name}"
    with progress(total=len(members), description=description, unit=" pictures") as bar:
        bar.update(table.members_done)
        if parts:
            maker = pack_encoder(encoder, preprocess_for_model, batch_size, dtype)
            for block in stream(ray, parts, maker, input_shape, plan, workers, batch_size):
                bar.update(_add_to(table, block))
    return table.finish()


def _add_to(table: Any, block: Block) -> int:
    """Append a block to a table; returns how many files of the zip that were."""
    good, bad = block["state"] == PICTURE, np.flatnonzero(block["state"] == UNREADABLE)
    skipped = {str(block["name"][row]): str(block["reason"][row]) for row in bad}
    batch = ImageBatch(np.empty(0, dtype="float32"), int(good.sum()), skipped)
    if batch.members_read:
        table.add(batch, block["embedding"][good])
    return batch.members_read


def embed_with_ray(
    inputs: Sequence[str], output: Path, encoder: EncoderInfo, data_folder: Path, plan: ClusterPlan,
    options: ShardOptions,
) -> dict[str, Any]:  # fmt: skip
    """Embed the pictures of folders, zips, tars and Parquet files; returns the manifest.

    Args:
        data_folder: keeps the export of the encoder for the engine that is quickest on CPUs.

    Raises:
        CourseError: if something cannot be read, or the folder of the results has others.
    """
    facts = {
        "weights": encoder.weights_checksum,
        "encoder": encoder.name,
        "features": encoder.features,
        "input_shape": list(encoder.input_shape),
        "dtype": options.dtype,
    }

    def pack(workers: Workers, pictures: int | None) -> tuple[ModelMaker, str]:
        model = encoder.model
        engine = KERAS
        if not workers.gpus:
            model = FastEncoder(encoder, data_folder, [])
            engine = model.choose_engine(KERAS if pictures is not None and pictures < MIN_PICTURES else OPENVINO)
        return pack_encoder(model, encoder.preprocess_for_model, options.batch_size, options.dtype), engine

    return _make_shards(inputs, output, "embeddings", facts, pack, encoder.input_shape, plan, options)


def caption_with_ray(
    inputs: Sequence[str], output: Path, model: CaptionModel, encoder: EncoderInfo, sampler: Sampler, seed: int,
    plan: ClusterPlan, options: ShardOptions,
) -> dict[str, Any]:  # fmt: skip
    """Caption the pictures of folders, zips, tars and Parquet files; returns the manifest.

    Raises:
        CourseError: if something cannot be read, or the folder of the results has others.
    """
    facts = {
        "model": weights_checksum(model.decoder),
        "words": hashlib.sha256(json.dumps(model.vocab).encode()).hexdigest(),
        "weights": encoder.weights_checksum,
        "how": [type(sampler).__name__, asdict(sampler)],  # type: ignore[call-overload]  # each sampler is a dataclass
        "seed": seed,
    }

    def pack(workers: Workers, pictures: int | None) -> tuple[ModelMaker, str]:
        return pack_captioner(model, encoder, sampler, seed), KERAS

    return _make_shards(inputs, output, "captions", facts, pack, encoder.input_shape, plan, options)


def _make_shards(
    inputs: Sequence[str], output: Path, kind: str, facts: dict[str, Any],
    pack: Callable[[Workers, int | None], tuple[ModelMaker, str]],
    input_shape: tuple[int, int], plan: ClusterPlan, options: ShardOptions,
) -> dict[str, Any]:  # fmt: skip
    """Make the shards that are missing, then the manifest."""
    import_ray(plan.address)  # what is missing shows before anything is done
    with _only_one_run(output):
        sources = find_sources(inputs, options.size, options.columns)
        made_from = {"sources": sources.facts, "batch_size": options.batch_size, **facts}
        form = options.form or FORMATS[kind][0]
        writer = ShardWriter(ShardPlan(Path(output), kind, form, made_from, options.size))
        missing = writer.missing(sources.parts)
        if missing:
            left = _count(missing)
            with running_ray(plan) as ray, _bar(kind, _count(sources.parts), left) as bar:
                workers = plan_workers(ray, plan)
                maker, writer.engine = pack(workers, left)
                blocks = stream(ray, missing, maker, input_shape, plan, workers, options.batch_size)
                _write_blocks(writer, missing, blocks, _COLUMNS[kind], bar)
        manifest = writer.finish(sources.parts)
        _name_skipped(writer.skipped(sources.parts), manifest)
    return manifest


def _count(parts: Sequence[Part]) -> int | None:
    """The pictures that are left in parts, as far as that is known before they are read."""
    counts = [part.pictures for part in parts]
    known = [count for count in counts if count is not None]
    return sum(known) - sum(part.first for part in parts) if len(known) == len(counts) else None


def _bar(kind: str, total: int | None, left: int | None) -> tqdm:
    """A bar that counts pictures."""
    bar = progress(total=total, description=kind.capitalize(), unit=" pictures")
    if total is not None and left is not None:
        bar.update(total - left)
    return bar


def _write_blocks(writer: ShardWriter, parts: Sequence[Part], blocks: Iterator[Block], column: str, bar: tqdm) -> None:
    """Hand the rows of each part to the writer."""
    waiting = iter(parts)
    current = None
    for block in blocks:
        for index in dict.fromkeys(block["part"].tolist()):
            if index != current:
                writer.begin(next(part for part in waiting if part.index == index))
                current = index
            writer.add(block, column)
        bar.update(int((block["state"] != END).sum()))


@contextmanager
def _only_one_run(folder: Path) -> Iterator[None]:
    """Keep others from writing into the same folder; the system takes the lock back however a process ends."""
    make_folder(folder)
    try:
        with FileLock(Path(folder) / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise CourseError(f"Another run writes into {folder}. Wait for it, or give another --output folder.") from error


def _name_skipped(skipped: Iterator[tuple[str, str]], manifest: dict[str, Any]) -> None:
    """Name the pictures that could not be read."""
    count = manifest["skipped"]
    if not count:
        return
    print(f"Skipped {count} of {manifest['rows'] + count} pictures.")
    for name, reason in itertools.islice(skipped, _NAMED):
        print(visible(f"  {name}: {reason}"))
    if count > _NAMED:
        print(f"  and {count - _NAMED} more, which the records of the shards name.")
