"""The stream through the cluster: read and decode, embed or caption, and back in order.

Blocks of pictures travel through Ray's object store. Ray Data holds the readers back while the workers are busy, and
the workers while nobody takes what they made, so that memory does not grow with the number of pictures. A block whose
worker died is made again: the readers and the models give the same for the same part.
"""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.distributed.engine import READER_CPUS, RESERVED_CPUS, ClusterPlan, Workers, ray_errors_explained
from say_what_you_see.distributed.sources import Part, pictures_of
from say_what_you_see.vision.pictures import crop_and_resize

PICTURE, UNREADABLE, END = 0, 1, 2
"""The states of a row: a picture, one that could not be read, and the row behind the last picture of a part."""

BLOCK_BYTES = 16 * 1024**2
BLOCK_PICTURES = 512
"""A block has whole batches, of about so many bytes and at most so many pictures."""

Block = dict[str, np.ndarray]
"""Columns of one length: part, state, name and reason, and either pixels or what was made of them."""


class Model(Protocol):
    """What a worker holds."""

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Columns with a row for each of n pictures, uint8 (n, height, width, 3)."""


class ModelMaker(Protocol):
    """What is sent to the workers: it makes a model there."""

    def __call__(self) -> Model:
        """The model, ready for work."""


class BlockReader:
    """Reads and decodes parts, a block at a time.

    Args:
        input_shape: height and width of the pictures.
        batch_size: of the models; all blocks but the last of a part have whole batches.
    """

    def __init__(self, input_shape: tuple[int, int], batch_size: int) -> None:
        self.input_shape, self.batch_size = input_shape, batch_size
        picture_bytes = 3 * input_shape[0] * input_shape[1]
        batches = min(BLOCK_BYTES // (batch_size * picture_bytes), BLOCK_PICTURES // batch_size)
        self.pictures = batch_size * max(1, batches)
        self.bytes = self.pictures * picture_bytes

    def __call__(self, rows: dict[str, np.ndarray]) -> Iterator[Block]:
        """The blocks of parts, in order."""
        for part in rows["part"]:
            yield from self.blocks(pickle.loads(part))

    def blocks(self, part: Part) -> Iterator[Block]:
        """The blocks of one part; the last one ends with a row that says so."""
        rows: list[tuple] = []
        nothing = np.zeros((*self.input_shape, 3), dtype="uint8")
        for name, read in pictures_of(part):
            if len(rows) == self.pictures:
                yield _block(part, rows)
                rows = []
            try:
                rows.append((PICTURE, name, "", crop_and_resize(read(), self.input_shape)))
            except CourseError as error:
                rows.append((UNREADABLE, name, str(error), nothing))
        yield _block(part, [*rows, (END, "", "", nothing)])


def _block(part: Part, rows: list[tuple]) -> Block:
    states, names, reasons, pixels = zip(*rows, strict=True)
    return {
        "part": np.full(len(rows), part.index),
        "state": np.array(states, dtype="int8"),
        "name": np.array([name.encode("utf-8", "replace").decode() for name in names], dtype=object),
        "reason": np.array(reasons, dtype=object),
        "pixels": np.stack(pixels),
    }


class ModelWorker:
    """One model in a process of its own, which makes something of the pictures of a block.

    Args:
        maker: refers to the pickled maker of the model, in Ray's object store.
        threads: that it may use.
        batch_size: how many pictures the model gets at a time.
    """

    def __init__(self, maker: list[Any], threads: int, batch_size: int) -> None:
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):  # before Keras is imported
            os.environ[name] = str(threads)
        import ray

        self.batch_size = batch_size
        self.model: Model = pickle.loads(ray.get(maker[0]))()

    def __call__(self, block: Block) -> Block:
        """The block with columns of the model in place of the pixels; rows without a picture hold zeros or nothing."""
        rows = np.flatnonzero(block["state"] == PICTURE)
        pixels = block["pixels"]
        starts = range(0, max(1, len(rows)), self.batch_size)
        made = [self.model(pixels[rows[start : start + self.batch_size]]) for start in starts]
        results = {key: block[key] for key in ("part", "state", "name", "reason")}
        for column in made[0]:
            values = np.concatenate([each[column] for each in made])
            shape = (len(block["state"]), *values.shape[1:])
            results[column] = np.full(shape, "" if values.dtype == object else 0, values.dtype)
            results[column][rows] = values
        return results


def stream(
    ray: ModuleType, parts: list[Part], maker: ModelMaker, input_shape: tuple[int, int],
    plan: ClusterPlan, workers: Workers, batch_size: int = 32,
) -> Iterator[Block]:  # fmt: skip
    """What the models make of the pictures of all parts, in order, block by block.

    Raises:
        CourseError: if a source cannot be read where a reader runs, or if the cluster fails for good.
    """
    if not parts:
        return
    packed = ray.put(pickle.dumps(maker))  # kept here as long as a worker may have to start again
    with ray_errors_explained(ray), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # for retries Ray has no other way in these versions
        reader = BlockReader(input_shape, batch_size)
        # Ray Data would put blocks together up to this size, and cut those apart that have 1.5 times as much
        ray.data.DataContext.get_current().target_max_block_size = int(0.9 * reader.bytes)
        data = _dataset(ray, parts, packed, reader, plan, workers)
        yield from _in_order(data.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1))


def _dataset(
    ray: ModuleType, parts: list[Part], packed: Any, reader: BlockReader, plan: ClusterPlan, workers: Workers
) -> Any:
    """The stream as Ray Data knows it, not started yet."""
    rows = [{"part": pickle.dumps(part)} for part in parts]
    data = ray.data.from_items(rows, override_num_blocks=len(rows))
    data = data.map_batches(reader.__call__, batch_size=None, num_cpus=READER_CPUS, max_retries=plan.retries)
    return data.map_batches(
        ModelWorker,
        fn_constructor_args=([packed], workers.threads, reader.batch_size),
        batch_size=reader.pictures if workers.gpus else None,  # Ray Data insists on a number with GPUs
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers.count, initial_size=workers.count),
        num_cpus=RESERVED_CPUS,
        num_gpus=workers.gpus or None,
        max_restarts=-1,
        max_task_retries=plan.retries,
    )


def _in_order(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks as they come; that they come in order is what everything else builds on."""
    last = -1
    for block in blocks:
        if block["part"][0] < last:
            raise AssertionError("Ray Data gave back the blocks in another order than it was asked for")
        last = block["part"][-1]
        yield block
