"""Trains the tiny decoder on the backend of this process, and says what came of it; for `test_backends`.

KERAS_BACKEND=jax python tests/helpers/backend_worker.py FOLDER [MODEL.keras ...]
"""

import json
import sys
from pathlib import Path

import numpy as np
from attention_samples import REGIONS, opinionated_attention
from caption_samples import FEATURES, VOCAB, tiny_decoder, toy_examples

from say_what_you_see.core.backend import keras
from say_what_you_see.core.keras_files import check_keras_file
from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.generate import generate_sentences
from say_what_you_see.decoding.samplers import Greedy, Sampling
from say_what_you_see.language.captions import PAD
from say_what_you_see.models.attention import attention_step_model
from say_what_you_see.models.bottleneck_lstm import decoder_step_model
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.loop import train_decoder

PLAN = TrainingConfig(epochs=2, batch_size=16, learning_rate=1e-2, weight_decay=0.01)
TRAIN, VAL = toy_examples(60, seed=1), toy_examples(24, seed=2)
WAYS = {"greedy": Greedy(8), "beam": BeamSearch(3, max_len=8), "sample": Sampling(0.7, top_p=0.9, max_len=8)}


def same_decoder() -> keras.Model:
    """A decoder whose weights are those of NumPy's random numbers: Keras' own are others on each backend."""
    decoder, rng = tiny_decoder(), np.random.default_rng(0)
    shapes = [weight.shape for weight in decoder.get_weights()]
    weights = [rng.normal(0, 0.3, shape) if len(shape) > 1 else np.zeros(shape) for shape in shapes]
    decoder.set_weights([weight.astype(np.float32) for weight in weights])
    return decoder


def captions(decoder: keras.Model) -> dict[str, list[str]]:
    """What the decoder says of the validation pictures, in each way of choosing words."""
    model, rng = decoder_step_model(decoder), np.random.default_rng(0)
    return {name: generate_sentences(model, VAL.image_embeds, VOCAB, sampler, rng) for name, sampler in WAYS.items()}


def captions_with_attention() -> list[str]:
    """What a model says whose steps Keras takes."""
    features = np.random.default_rng(0).normal(size=(9, REGIONS, FEATURES))
    return generate_sentences(attention_step_model(opinionated_attention(seed=3)), features, VOCAB, WAYS["beam"])


def captions_of_file(path: Path) -> dict[str, list[str]]:
    """The same, of a decoder that another backend may have written."""
    check_keras_file(path)
    return captions(keras.saving.load_model(path, compile=False))


def train(decoder: keras.Model, folder: Path | None) -> list[list[float]]:
    """Train a decoder; loss, validation loss and accuracy after each epoch."""
    history = train_decoder(decoder, TRAIN, VAL, PLAN, VOCAB[PAD], folder)
    return [[record[key] for key in ("loss", "val_loss", "val_accuracy")] for record in history]


def main(folder: Path, others: list[Path]) -> dict:
    """Train, keep the decoder, caption with it and with those of others."""
    decoder = same_decoder()
    losses = train(decoder, folder / "checkpoints")
    decoder.save(folder / "decoder.keras")
    with_given_words = same_decoder()
    with_given_words.get_layer("word_embedding").trainable = False
    made = {path.parent.name: captions_of_file(path) for path in others}
    unneeded = sorted({"tensorflow", "jax", "torch"} & set(sys.modules) - {keras.config.backend()})
    return {
        "backend": keras.config.backend(), "losses": losses, "captions": captions(decoder), "others": made,
        "imported": unneeded, "losses with given words": train(with_given_words, None),
        "captions with given words": captions(with_given_words),
        "captions with attention": captions_with_attention(),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), [Path(path) for path in sys.argv[2:]])))
