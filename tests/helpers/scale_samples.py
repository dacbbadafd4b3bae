"""A tiny model of im2txt's kind and tiny records to train it on, for tests."""

from pathlib import Path

from say_what_you_see.core.backend import keras
from say_what_you_see.models.image_to_text import ScaleModelConfig
from say_what_you_see.training.scale.folder import model_config
from say_what_you_see.training.scale.training import LearningRate, ScaleTraining

SIDE = 24


def tiny_cnn() -> keras.Model:
    """A CNN of a few filters, with what InceptionV3 has: convolutions, BatchNorm, the mean over regions."""
    layers = keras.layers
    pictures = layers.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(8, 5, strides=3, use_bias=False, name="convolution")(pictures)
    x = layers.BatchNormalization(name="normalisation")(x)
    x = layers.Activation("relu")(x)
    return keras.Model(pictures, layers.GlobalAveragePooling2D()(x), name="tiny")


def tiny_config(records: Path, dropout: float = 0.3) -> ScaleModelConfig:
    return model_config(records, "tiny", SIDE, embedding_size=12, lstm_units=16, dropout=dropout)


def tiny_training(records: Path, folder: Path, steps: int, **options) -> ScaleTraining:
    options = {"batch_size": 8, "learning_rate": LearningRate(1e-2), "log_every": 1} | options
    return ScaleTraining(records, folder, steps, **options)


def distributed_training(records: Path, folder: Path) -> ScaleTraining:
    """Phase 2, so that all is trained, with a limit that clips every gradient, in the batches of one process or two."""
    return tiny_training(records, folder, 5, train_inception=True, clip_norm=0.05, learning_rate=LearningRate(3e-2))
