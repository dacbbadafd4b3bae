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

    Args:
        samples: the number of consecutive captions of each picture.
        vocab: word to index; special tokens are never sampled, so they have no part in the probabilities.
    """

    def __init__(self, samples: int, vocab: dict[str, int]) -> None:
        super().__init__(name="policy_gradient")
        self.samples, self.pad = samples, vocab[PAD]
        self.never = np.zeros(len(vocab), dtype=np.float32)
        self.never[[vocab[token] for token in (PAD, UNK, START)]] = -1e9

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """From words (captions, steps), logits (captions, steps, vocabulary) and rewards (captions,) to the loss.

        Without rewards, as in validation, the mean of -log p of the captions.
        """
        real = ops.cast(ops.not_equal(y_true, self.pad), "float32")
        possible = ops.add(y_pred, self.never)  # makes tensors of both
        of_words = -keras.losses.sparse_categorical_crossentropy(y_true, possible, from_logits=True)
        of_captions = ops.sum(of_words * real, axis=1)
        if sample_weight is None:
            return -ops.mean(of_captions)
        shape = (-1, self.samples)
        return policy_gradient_loss(ops.reshape(of_captions, shape), ops.reshape(sample_weight, shape))


class PolicyGradientAndCrossEntropy(keras.losses.Loss):
    """The loss of a batch in which the sampled captions of each picture are followed by as many true ones.

    Rewards alone make captions short and alike; the true captions keep the language natural (Paulus et al. 2018,
    arXiv:1705.04304).
    """

    def __init__(self, policy_gradient: PolicyGradient, crossentropy: Callable, weight: float) -> None:
        super().__init__(name="policy_gradient_and_crossentropy")
        self.policy_gradient, self.crossentropy, self.weight = policy_gradient, crossentropy, weight

    def __call__(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        """As `PolicyGradient`; the sample weights of true captions are ignored."""
        if sample_weight is None:
            return self.policy_gradient(y_true, y_pred)
        (words, true_words), (logits, true_logits), (rewards, _) = map(self._divide, (y_true, y_pred, sample_weight))
        crossentropy = self.crossentropy(true_words, true_logits)
        return self.policy_gradient(words, logits, rewards) + self.weight * crossentropy

    def _divide(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The rows of sampled captions, and those of true ones."""
        of_pictures = ops.reshape(rows, (-1, 2, self.policy_gradient.samples, *rows.shape[1:]))
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
    compile_decoder(decoder, config, vocab[PAD], images // size, objective=_objective(config, vocab))
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
                captions = np.concatenate(sample(features, np.random.default_rng([config.seed, epoch, step])))
                rewards = reward(captions, np.repeat(pictures, config.captions_per_image))
                true = _true_captions(train, pictures, config, epoch, step) if config.crossentropy_weight else None
                loss = train_on_samples(decoder, features, captions, rewards, vocab, true)
                measured.append((rewards.mean(), lengths_and_words(captions, end)[0].mean()))
                recorder.on_train_batch_end(step)
            recorder.on_epoch_end(epoch, {"loss": loss})
    return history


def _objective(config: TrainingConfig, vocab: dict[str, int]) -> keras.losses.Loss:
    policy_gradient = PolicyGradient(config.captions_per_image, vocab)
    if not config.crossentropy_weight:
        return policy_gradient
    crossentropy = smoothed_crossentropy(vocab[PAD], config.label_smoothing)
    return PolicyGradientAndCrossEntropy(policy_gradient, crossentropy, config.crossentropy_weight)


def _resume(decoder: keras.Model, train: Examples, config: TrainingConfig, folder: Path | None) -> History:
    """Bring a compiled decoder to where its training for CIDEr from the same start weights stopped."""
    if folder is None:
        return []
    start = hashlib.sha256(b"".join(weights.tobytes() for weights in decoder.get_weights())).hexdigest()
    prepare_checkpoint_folder(folder, f"{start} {fingerprint(decoder, train, replace(config, epochs=0))}")
    return restore_checkpoint(decoder, folder)


def _true_captions(train: Examples, pictures: np.ndarray, config: TrainingConfig, epoch: int, step: int) -> np.ndarray:
    rng = np.random.default_rng([config.seed, epoch, step, 1])
    return captions_of_each(train.captions, pictures, config.captions_per_image, rng)[:, : config.max_len]


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
        captions: (captions, words) indices, the same number for each picture, END after the last word.
        rewards: (captions,).
        true: as many true captions, from START on, for `PolicyGradientAndCrossEntropy`.

    Returns:
        The mean loss of the epoch so far.
    """
    read = np.insert(captions[:, :-1], 0, vocab[START], axis=1).astype(np.int32)
    past_end = np.cumsum(captions == vocab[END], axis=1) > (captions == vocab[END])
    targets, weights = np.where(past_end, vocab[PAD], captions).astype(np.int32), rewards.astype(np.float32)
    if true is not None:
        longer = max(0, captions.shape[1] + 1 - true.shape[1])
        true = np.pad(true[:, : captions.shape[1] + 1], ((0, 0), (0, longer)), constant_values=vocab[PAD])
        read = _side_by_side(read, true[:, :-1], len(features))
        targets = _side_by_side(targets, true[:, 1:], len(features))
        weights = _side_by_side(weights, np.zeros_like(weights), len(features))
    if decoder.name != "transformer":  # that one shares features among a picture's captions
        features = np.repeat(features, len(read) // len(features), axis=0)
    return float(decoder.train_on_batch([features, read], targets, sample_weight=weights)[0])


def _side_by_side(sampled: np.ndarray, true: np.ndarray, pictures: int) -> np.ndarray:
    """For each picture the rows of its sampled captions, then those of its true ones."""
    parts = [rows.reshape(pictures, -1, *rows.shape[1:]) for rows in (sampled, true)]
    return np.concatenate(parts, axis=1).reshape(-1, *sampled.shape[1:]).astype(sampled.dtype)
