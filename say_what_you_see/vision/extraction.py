"""Images in, embeddings out: streams the images of a zip through an encoder."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.prefetch import prefetch
from say_what_you_see.core.progress import progress
from say_what_you_see.data.archives import image_members, open_zip, read_member
from say_what_you_see.vision.embedding_table import EmbeddingTable, ImageBatch
from say_what_you_see.vision.encoders import Preprocess, weights_checksum
from say_what_you_see.vision.fast_encoder import KERAS, FastEncoder
from say_what_you_see.vision.pictures import crop_and_resize


def apply_model(
    zip_fn: str | Path,
    encoder: keras.Model,
    preprocess_for_model: Preprocess,
    input_shape: tuple[int, int] = (299, 299),
    batch_size: int = 32,
    store: Path | None = None,
    dtype: str = "float32",
) -> tuple[np.ndarray, list[str]]:
    """Embed every picture of a zip: returns (n, *shape of an embedding) and the n file names, row by row.

    Pictures that cannot be read are skipped and named at the end. With a `store`, the path of a
    `.npy` file, an interrupted extraction resumes where it was, and a finished one is not repeated.

    Args:
        dtype: the type of the numbers; "float16" halves the file, at 3 significant digits.
    """
    members = image_members(zip_fn)
    table = open_table(zip_fn, members, encoder, preprocess_for_model, input_shape, store, dtype)
    to_do = members[table.members_done :]
    if not to_do:
        return table.finish()
    bar = progress(
        total=len(members), description=f"Embedding {Path(zip_fn).name}", unit=" pictures", done=table.members_done
    )
    with open_zip(zip_fn) as archive, bar:
        for batch in image_batches(archive, to_do, preprocess_for_model, input_shape, batch_size):
            table.add(batch, encoder.predict_on_batch(batch.images))
            bar.update(batch.members_read)
    return table.finish()


def image_batches(
    archive: zipfile.ZipFile,
    members: list[zipfile.ZipInfo],
    preprocess_for_model: Preprocess,
    input_shape: tuple[int, int],
    batch_size: int,
) -> Iterator[ImageBatch]:
    """Batches of the images of a zip, all of the same size, in order; threads prepare the next ones meanwhile."""

    def prepare(batch_members: list[zipfile.ZipInfo]) -> ImageBatch:
        images = np.zeros((batch_size, *input_shape, 3), dtype="float32")
        count, skipped = 0, {}
        for member in batch_members:
            try:
                images[count] = crop_and_resize(read_member(archive, member), input_shape)
                count += 1
            except CourseError as error:
                skipped[member.filename] = str(error)
        return ImageBatch(np.asarray(preprocess_for_model(images), dtype="float32"), count, skipped)

    starts = range(0, len(members), batch_size)
    return prefetch(prepare, (members[start : start + batch_size] for start in starts))


def open_table(
    zip_fn: str | Path,
    members: list[zipfile.ZipInfo],
    encoder: keras.Model | FastEncoder,
    preprocess_for_model: Preprocess,
    input_shape: tuple[int, int],
    store: Path | None,
    dtype: str = "float32",
) -> EmbeddingTable:
    """A table for the embeddings of a zip; with a `store`, it keeps rows made before from the same zip and encoder."""
    is_fast = isinstance(encoder, FastEncoder)
    model: keras.Model = encoder.model if is_fast else encoder
    expected = tuple(model.inputs[0].shape[1:3])
    if any(size not in (None, given) for size, given in zip(expected, input_shape, strict=True)):
        raise CourseError(f"The encoder expects pictures of {expected} pixels, but input_shape is {input_shape}.")
    row_shape, made_from = model.compute_output_shape((1, *input_shape, 3))[1:], None
    if store is not None:
        # What preprocessing makes of every level of grey identifies it.
        levels = np.repeat(np.arange(256, dtype="float32"), 3).reshape(1, 16, 16, 3)
        made_from = {
            "zip": Path(zip_fn).name,
            "bytes": Path(zip_fn).stat().st_size,
            "pictures": _checksum(repr([(member.filename, member.CRC) for member in members]).encode()),
            "input_shape": list(input_shape),
            "embedding_shape": list(row_shape),
            "encoder": encoder.weights_checksum if is_fast else weights_checksum(model),
            "preprocessing": _checksum(np.asarray(preprocess_for_model(levels)).tobytes()),
        }
    table = EmbeddingTable(zip_fn, members, row_shape, dtype, store, made_from)
    if table.members_done < len(members):
        table.engine = encoder.choose_engine(table.engine) if is_fast else KERAS
    return table


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
