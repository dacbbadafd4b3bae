"""Self-critical training: captions are sampled, and those that earn more than their companions become more probable.

Captions are rewarded by the metric that they are judged by (Rennie et al. 2017, arXiv:1612.00563), and compared with
the others sampled for the same picture (Luo 2020, arXiv:2003.09971).
"""

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.memory import keep_freed_memory
from say_what_you_see.language.captions import END, PAD, START, UNK, CaptionArrays
from say_what_you_see.training.checkpoints import History, prepare_checkpoint_folder, restore_checkpoint
from say_what_you_see.training.cider_reward import CiderReward
from say_what_you_see.training.config import TrainingConfig
from say_what_you_see.training.examples import Examples, captions_of_each
from say_what_you_see.training.loop import EpochRecorder, HistoryCallback, compile_decoder, fingerprint
from say_what_you_see.training.losses import smoothed_crossentropy

ops = keras.ops
Tensor = Any

Sample = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Samples captions with the decoder's current weights: from features (pictures, ...) to indices (pictures, samples,
words), END after the last word."""

Describe = Callable[[np.ndarray], np.ndarray]
"""Writes the most probable caption of each picture: from features (pictures, ...) to indices (pictures, words)."""

MAX_PICTURES = 1000
"""At most this many validation pictures are captioned after an epoch."""


def advantages(rewards: Tensor) -> Tensor:
    """How much more each caption earned than the other captions of its picture did on average.

    Args:
        rewards: (pictures, samples), two samples or more.
    """
    rewards = ops.convert_to_tensor(rewards)
    others = (ops.sum(rewards, axis=1, keepdims=True) - rewards) / (rewards.shape[1] - 1)
    return rewards - others


def policy_gradient_loss(log_probabilities: Tensor, rewards: Tensor) -> Tensor:
    """The loss whose gradient makes captions that earned more than others of their picture more probable.

    Args:
        log_probabilities: of the sampled captions: each the sum over its words, (pictures, samples).
        rewards: what they earned, (pictures, samples).
    """
    return -ops.mean(advantages(rewards) * ops.convert_to_tensor(log_probabilities))


class PolicyGradient(keras.losses.Loss):
    """The loss of a batch, from sampled words and logits; the rewards of the captions are Keras' sample weights.

    With a `crossentropy_weight`, the sampled captions of each picture are followed by as many true ones, whose sample
    weights are ignored. Rewards alone make captions short and alike; true captions keep the language natural (Paulus et
    al. 2018, arXiv:1705.04304).

    Args:
        config: `captions_per_image` is the number of consecutive sampled captions of each picture.
        vocab: word to index; special tokens are never sampled, so they have no part in the probabilities.
    """

    def __init__(self, config: TrainingConfig, vocab: dict[str, int]) -> None:
        super().__init__(name="policy_gradient")
        self.samples, self.weight, self.pad = config.captions_per_image, config.crossentropy_weight, vocab[PAD]
        self.crossentropy = smoothed_crossentropy(self.pad, config.label_smoothing)
        self.never = np.zeros(len(vocab), dtype=np.float32)
        self.never[[vocab[token] for token in (PAD, UNK, START)]] = -1e9

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """From words (captions, steps), logits (captions, steps, vocabulary) and rewards (captions,) to the loss.

        Without rewards, as in validation, the mean of -log p of the captions.
        """
        if sample_weight is None:
            return -ops.mean(self._log_probabilities(y_true, y_pred))
        if not self.weight:
            return self._of_samples(y_true, y_pred, sample_weight)
        (words, true_words), (logits, true_logits), (rewards, _) = map(self._divide, (y_true, y_pred, sample_weight))
        crossentropy = self.crossentropy(true_words, true_logits)
        return self._of_samples(words, logits, rewards) + self.weight * crossentropy

    def _of_samples(self, words: Tensor, logits: Tensor, rewards: Tensor) -> Tensor:
        of_captions = self._log_probabilities(words, logits)
        return policy_gradient_loss(*(ops.reshape(part, (-1, self.samples)) for part in (of_captions, rewards)))

    def _log_probabilities(self, words: Tensor, logits: Tensor) -> Tensor:
        """Of whole captions, (captions,)."""
        real = ops.cast(ops.not_equal(words, self.pad), "float32")
        possible = ops.add(logits, self.never)  # makes tensors of both
        of_words = -keras.losses.sparse_categorical_crossentropy(words, possible, from_logits=True)
        return ops.sum(of_words * real, axis=1)

    def _divide(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of sampled captions, and those of true ones."""
        of_pictures = ops.reshape(rows, (-1, 2, self.samples, *rows.shape[1:]))
        sampled, true = (ops.reshape(of_pictures[:, part], (-1, *rows.shape[1:])) for part in (0, 1))
        return sampled, true


def lengths_and_words(captions: np.ndarray, end: int) -> tuple[np.ndarray, np.ndarray]:
    """The number of words of each caption, (captions,), and the different words of all; END does not count."""
    said = np.cumsum(captions == end, axis=1) == 0
    return said.sum(axis=1), np.unique(captions[said])


def measure_captions(examples: Examples, vocab: dict[str, int], describe: Describe) -> Callable[[], dict[str, float]]:
    """A function that captions pictures and measures the captions' CIDEr, length and number of different words."""
    first, features = examples.captions.first[: MAX_PICTURES + 1], examples.image_embeds[:MAX_PICTURES]
    reward = CiderReward(CaptionArrays(examples.captions.matrix[: first[-1]], first), vocab)

    def measure() -> dict[str, float]:
        captions = describe(features)
        lengths, words = lengths_and_words(captions, vocab[END])
        cider = reward(captions, np.arange(len(captions)))
        return {"val_cider": float(cider.mean()), "val_length": float(lengths.mean()), "val_words": len(words)}

    return measure


def train_for_cider(
    decoder: keras.Model,
    train: Examples,
    validation: Examples,
    config: TrainingConfig,
    vocab: dict[str, int],
    sample: Sample,
    describe: Describe,
    folder: Path | None = None,
    callback: HistoryCallback | None = None,
) -> History:
    """Train a trained decoder further, for the CIDEr of its captions, from the last checkpoint of a folder if any.

    An epoch is one pass through the training pictures. More epochs in `config` than before extend the same training.

    Args:
        config: `batch_size` counts pictures, `captions_per_image` are the captions sampled for each; with a
            `crossentropy_weight`, as many true ones count too.
        sample, describe: write captions with this decoder's weights; these functions know the samplers.
        folder, callback: as in `train_decoder`.

    Returns:
        As `train_decoder`, and for each epoch mean "reward" and "length" of the samples, and CIDEr, length and number
        of different words of greedy captions of validation pictures ("val_cider", "val_length", "val_words").
    """
    keep_freed_memory()
    reward, end = CiderReward(train.captions, vocab), vocab[END]
    images, size = train.captions.n_images, min(config.batch_size, train.captions.n_images)
    compile_decoder(decoder, config, vocab[PAD], images // size, objective=PolicyGradient(config, vocab))
    history = _resume(decoder, train, config, folder)
    if callback and history:
        callback(history)
    measured: list[tuple[float, float]] = []  # reward and length in each batch of the epoch
    measure_validation = measure_captions(validation, vocab, describe)

    def measure() -> dict[str, float]:
        return dict(zip(("reward", "length"), np.mean(measured, axis=0).tolist(), strict=True)) | measure_validation()

    recorder = EpochRecorder(decoder, validation, config, vocab[PAD], folder, history, callback, measure)
    recorder.set_params({"steps": images // size})
    with closing(recorder):
        for epoch in range(len(history), config.epochs):
            order = np.random.default_rng([config.seed, epoch]).permutation(images)
            measured.clear()
            decoder.reset_metrics()
            recorder.on_epoch_begin(epoch)
            for step, pictures in enumerate(order[: images // size * size].reshape(-1, size)):
                features = np.asarray(train.image_embeds[pictures], dtype=np.float32)
                captions = sample(features, np.random.default_rng([config.seed, epoch, step]))
                rows = np.concatenate(captions)
                rewards = reward(rows, np.repeat(pictures, config.captions_per_image)).reshape(captions.shape[:2])
                true = _true_captions(train, pictures, config, epoch, step) if config.crossentropy_weight else None
                loss = train_on_samples(decoder, features, captions, rewards, vocab, true)
                measured.append((rewards.mean(), lengths_and_words(rows, end)[0].mean()))
                recorder.on_train_batch_end(step)
            recorder.on_epoch_end(epoch, {"loss": loss})
    return history


def _resume(decoder: keras.Model, train: Examples, config: TrainingConfig, folder: Path | None) -> History:
    """Bring a compiled decoder to where its training for CIDEr from the same start weights stopped."""
    if folder is None:
        return []
    start = hashlib.sha256(b"".join(weights.tobytes() for weights in decoder.get_weights())).hexdigest()
    prepare_checkpoint_folder(folder, f"{start} {fingerprint(decoder, train, replace(config, epochs=0))}")
    return restore_checkpoint(decoder, folder)


def _true_captions(train: Examples, pictures: np.ndarray, config: TrainingConfig, epoch: int, step: int) -> np.ndarray:
    rng = np.random.default_rng([config.seed, epoch, step, 1])
    return captions_of_each(train.captions, pictures, config.captions_per_image, rng)[..., : config.max_len]


def train_on_samples(
    decoder: keras.Model,
    features: np.ndarray,
    captions: np.ndarray,
    rewards: np.ndarray,
    vocab: dict[str, int],
    true: np.ndarray | None = None,
) -> float:
    """One step: the sampled captions are read as if they were true ones, and weighted by what they earned.

    Args:
        features: (pictures, ...).
        captions: (pictures, samples, words) indices, END after the last word.
        rewards: (pictures, samples).
        true: as many true captions, from START on, (pictures, samples, longest), if `PolicyGradient` expects them.

    Returns:
        The mean loss of the epoch so far.
    """
    past_end = np.cumsum(captions == vocab[END], axis=-1) > (captions == vocab[END])
    sentences = np.insert(np.where(past_end, vocab[PAD], captions), 0, vocab[START], axis=-1)
    if true is not None:
        longest = sentences.shape[-1]
        longer = max(0, longest - true.shape[-1])
        true = np.pad(true[..., :longest], ((0, 0), (0, 0), (0, longer)), constant_values=vocab[PAD])
        sentences = np.concatenate([sentences, true], axis=1)
        rewards = np.concatenate([rewards, np.zeros_like(rewards)], axis=1)
    if decoder.name != "transformer":  # that one shares features among a picture's captions
        features = np.repeat(features, sentences.shape[1], axis=0)
    rows, weights = np.concatenate(sentences).astype(np.int32), rewards.ravel().astype(np.float32)
    return float(decoder.train_on_batch([features, rows[:, :-1]], rows[:, 1:], sample_weight=weights)[0])
