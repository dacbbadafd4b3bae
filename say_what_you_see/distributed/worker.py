"""What is sent to the workers: parts that name pictures, and a model, which a worker keeps as long as it lives.

A part gives the same results wherever it is processed, so that a part whose worker died is simply processed again.
"""

from __future__ import annotations

import functools
import itertools
import os
import pickle
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.prefetch import prefetch
from say_what_you_see.decoding.samplers import Sampler
from say_what_you_see.distributed.engine import RESERVED_CPUS, Cluster
from say_what_you_see.distributed.sources import Part, Picture, pictures_of
from say_what_you_see.vision.pictures import crop_and_resize

if TYPE_CHECKING:  # imported in the workers only, once they know how many threads to use
    from say_what_you_see.serving.captioner import Captioner
    from say_what_you_see.serving.model_folder import CaptionModel
    from say_what_you_see.vision.encoders import EncoderInfo, Preprocess
    from say_what_you_see.vision.fast_encoder import FastEncoder
    from say_what_you_see.vision.openvino import ParallelNetwork


@dataclass(frozen=True)
class Results:
    """Pictures, or what a model gave for them."""

    names: list[str] = field(default_factory=list)  # of the pictures that could be read
    values: list[Any] = field(default_factory=list)  # for each of them its pixels, its embedding, or its captions
    skipped: list[tuple[str, str]] = field(default_factory=list)  # the other pictures: name and reason


@dataclass
class EmbeddingModel:
    """Embeds pictures as `say_what_you_see.vision.extraction.apply_model` does."""

    encoder: Any
    preprocess: Preprocess
    input_shape: tuple[int, int]
    batch_size: int
    dtype: str

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Embeddings, (n, ...)."""
        batch = np.zeros((self.batch_size, *pixels.shape[1:]), dtype="float32")  # one size: the encoder compiles once
        batch[: len(pixels)] = pixels
        embeddings = self.encoder.predict_on_batch(np.asarray(self.preprocess(batch), dtype="float32"))
        return np.asarray(embeddings)[: len(pixels)].astype(self.dtype)


class ExportedEncoder:
    """The encoder of a `FastEncoder` that chose OpenVINO. It carries its network's files, which workers may lack."""

    def __init__(self, encoder: FastEncoder) -> None:
        from say_what_you_see.vision.fast_encoder import precision_of

        network = encoder.folder / "encoder.xml"
        self.files = {suffix: network.with_suffix(suffix).read_bytes() for suffix in (".xml", ".bin")}
        self.input_shape, self.precision = (*encoder.encoder.input_shape, 3), precision_of(encoder.engine)

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Embeddings (n, ...) of preprocessed images."""
        return self._network(images)

    @functools.cached_property
    def _network(self) -> ParallelNetwork:
        from say_what_you_see.vision.openvino import ParallelNetwork

        with tempfile.TemporaryDirectory() as folder:
            for suffix, data in self.files.items():
                Path(folder, f"encoder{suffix}").write_bytes(data)
            return ParallelNetwork.exported(Path(folder, "encoder.xml"), self.input_shape, self.precision)


@dataclass
class CaptioningModel:
    """Captions pictures as `say_what_you_see.serving.caption_photos.caption_pictures` does."""

    encoder: EncoderInfo
    model: CaptionModel
    sampler: Sampler
    seed: int  # for sampling: the same pictures in the same batches get the same captions
    input_shape: tuple[int, int]
    batch_size: int

    def __call__(self, pixels: np.ndarray) -> list[list[dict[str, Any]]]:
        """The captions of each picture with their probabilities, the best first."""
        from say_what_you_see.serving.caption_photos import captions_with_doubts

        rng = np.random.default_rng([self.seed, *pixels.flat[:64]])
        features = self._captioner.embed(pixels)
        captioned = captions_with_doubts(features, self._captioner, self.sampler, rng)
        if not all(captions for captions, _ in captioned):
            raise CourseError("There are no captions: the model's output is not numbers. Use another model.")
        return [[{"caption": s, "probability": p} for s, p in captions] for captions, _ in captioned]

    @functools.cached_property
    def _captioner(self) -> Captioner:
        from say_what_you_see.serving.captioner import captioner_of

        return captioner_of(self.model, self.encoder)


Model = EmbeddingModel | CaptioningModel
"""What a worker runs: n pictures in, uint8 (n, height, width, 3), and one result for each of them out."""


class Worker:
    """One model in a process of its own; `packed` refers to the model's pickle in Ray's object store."""

    def __init__(self, packed: list[Any], threads: int) -> None:
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):  # before Keras is imported
            os.environ[name] = str(threads)
        import ray

        self.model: Model = pickle.loads(ray.get(packed[0]))

    def __call__(self, rows: dict[str, np.ndarray]) -> dict[str, list]:
        """Turn pickled parts into pickled results."""
        return {"results": [pickle.dumps(work_on(pickle.loads(part), self.model)) for part in rows["part"]]}


def work_on(part: Part, model: Model) -> Results:
    """Run a model on the pictures of a part; those that cannot be read are skipped."""
    pictures, results = pictures_of(part), Results()
    batches = iter(lambda: list(itertools.islice(pictures, model.batch_size)), [])
    for batch in prefetch(lambda batch: _decode(batch, model.input_shape), batches):
        results.names.extend(batch.names)
        results.skipped.extend(batch.skipped)
        if batch.values:
            results.values.extend(model(np.stack(batch.values)))
    return results


def _decode(batch: list[Picture], input_shape: tuple[int, int]) -> Results:
    decoded = Results()
    for name, data in batch:
        name = name.encode("utf-8", "replace").decode()
        try:
            if isinstance(data, CourseError):
                raise data
            decoded.values.append(crop_and_resize(data, input_shape))
            decoded.names.append(name)
        except CourseError as error:
            decoded.skipped.append((name, str(error)))
    return decoded


def work_on_all(cluster: Cluster, parts: Sequence[Part], model: Model) -> Iterator[Results]:
    """Run a model on all parts; yields their results, in order."""
    from ray import cloudpickle

    packed = cluster.ray.put(cloudpickle.dumps(model))  # kept here as long as a worker may have to restart
    rows = [{"part": pickle.dumps(part)} for part in parts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # these versions of Ray know no other way to restart
        data = cluster.ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Worker,
            fn_constructor_args=([packed], cluster.threads),
            batch_size=1,
            compute=cluster.ray.data.ActorPoolStrategy(size=cluster.workers),
            num_cpus=RESERVED_CPUS,
            num_gpus=cluster.gpus or None,
            max_restarts=-1,
            max_task_retries=cluster.retries,
        )
        for _, row in zip(parts, data.iter_rows(), strict=True):
            yield pickle.loads(row["results"])
