"""What is sent to the workers: an encoder or a captioner, packed so that a machine needs no files of the course."""

from __future__ import annotations

import functools
import json
import pickle
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from say_what_you_see.decoding.samplers import Sampler
from say_what_you_see.vision.fast_encoder import NETWORK_FILE, OPENVINO, FastEncoder

if TYPE_CHECKING:  # unpacked in the workers only, after they were told how many threads to use
    from say_what_you_see.core.backend import keras
    from say_what_you_see.serving.model_folder import CaptionModel
    from say_what_you_see.vision.encoders import EncoderInfo, Preprocess
    from say_what_you_see.vision.openvino import ParallelNetwork


@dataclass(frozen=True)
class EncoderMaker:
    """Packs an encoder.

    Attributes:
        packed: encoder and preprocessing, pickled; the encoder is a Keras model or an `ExportedNetwork`.
        batch_size: that the encoder is given.
        dtype: of the embeddings.
    """

    packed: bytes
    batch_size: int
    dtype: str

    def __call__(self) -> EmbeddingModel:
        """The encoder, unpacked."""
        encoder, preprocess = pickle.loads(self.packed)
        return EmbeddingModel(encoder, preprocess, self.batch_size, self.dtype)


@dataclass(frozen=True)
class ExportedNetwork:
    """An exported encoder, as `say_what_you_see.vision.fast_encoder` runs it.

    Attributes:
        files: the bytes of each file of the export, by its suffix.
        input_shape: of one picture, (height, width, 3).
    """

    files: dict[str, bytes]
    input_shape: tuple[int, ...]

    def predict_on_batch(self, pictures: np.ndarray) -> np.ndarray:
        """Embeddings (n, ...) of preprocessed pictures."""
        return self._network(pictures)

    @functools.cached_property
    def _network(self) -> ParallelNetwork:
        from say_what_you_see.vision.openvino import ParallelNetwork

        with tempfile.TemporaryDirectory() as folder:
            for suffix, data in self.files.items():
                Path(folder, f"encoder{suffix}").write_bytes(data)
            return ParallelNetwork(Path(folder, "encoder.xml"), self.input_shape)


class EmbeddingModel:
    """Embeds pictures as `say_what_you_see.vision.extraction.apply_model` does."""

    def __init__(self, encoder: keras.Model, preprocess: Preprocess, batch_size: int, dtype: str) -> None:
        self.encoder, self.preprocess, self.batch_size, self.dtype = encoder, preprocess, batch_size, dtype

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Embeddings (n, ...) of at most a batch of pictures."""
        batch = np.zeros((self.batch_size, *pixels.shape[1:]), dtype="float32")  # one size: the encoder compiles once
        batch[: len(pixels)] = pixels
        embeddings = self.encoder.predict_on_batch(np.asarray(self.preprocess(batch), dtype="float32"))
        return {"embedding": np.asarray(embeddings)[: len(pixels)].astype(self.dtype)}


@dataclass(frozen=True)
class CaptionerMaker:
    """Packs a captioner.

    Attributes:
        packed: encoder, decoder, vocabulary and kind of pictures, pickled.
        sampler: the way of choosing words.
        seed: of the randomness when sampling: the same pictures in the same batches get the same captions.
    """

    packed: bytes
    sampler: Sampler
    seed: int

    def __call__(self) -> CaptionModelWorker:
        """The captioner, unpacked."""
        from say_what_you_see.models.architectures import step_model_of
        from say_what_you_see.serving.captioner import Captioner

        encoder, decoder, vocab, kind = pickle.loads(self.packed)
        return CaptionModelWorker(Captioner(encoder, step_model_of(decoder), vocab, kind), self.sampler, self.seed)


class CaptionModelWorker:
    """Captions pictures as `say_what_you_see.serving.caption_photos.caption_pictures` does."""

    def __init__(self, captioner: Any, sampler: Sampler, seed: int) -> None:
        self.captioner, self.sampler, self.seed = captioner, sampler, seed

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """JSON for each picture: a list of captions with their probabilities, the best first."""
        from say_what_you_see.serving.caption_photos import caption_images

        rng = np.random.default_rng([self.seed, *np.frombuffer(pixels.tobytes()[:64], "uint8")])
        found = caption_images(list(pixels), self.captioner, self.sampler, rng)
        return {"captions": np.array([json.dumps(captions) for captions in found], dtype=object)}


def pack_encoder(encoder: Any, preprocess: Preprocess, batch_size: int, dtype: str) -> EncoderMaker:
    """An encoder for the workers; Keras pickles a model as the `.keras` file that it would save.

    Of a `say_what_you_see.vision.fast_encoder.FastEncoder` they get what it has chosen to compute with.
    """
    return EncoderMaker(_pack((_plain_encoder(encoder), preprocess)), batch_size, dtype)


def _plain_encoder(encoder: Any) -> Any:
    if not isinstance(encoder, FastEncoder):
        return encoder
    if encoder.engine != OPENVINO:
        return encoder.model
    path = encoder.folder / NETWORK_FILE
    files = {suffix: path.with_suffix(suffix).read_bytes() for suffix in (".xml", ".bin")}
    return ExportedNetwork(files, (*encoder.input_shape, 3))


def pack_captioner(model: CaptionModel, encoder: EncoderInfo, sampler: Sampler, seed: int) -> CaptionerMaker:
    """A captioner for the workers."""
    return CaptionerMaker(_pack((encoder, model.decoder, model.vocab, model.encoder["pictures_kind"])), sampler, seed)


def _pack(parts: tuple) -> bytes:
    from ray import cloudpickle

    return cloudpickle.dumps(parts)  # unlike pickle it takes functions that were made within functions
