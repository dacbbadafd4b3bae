"""Train the last layers of EfficientNet-Lite2 and a transformer together: `python -m tools.train_photo_encoder`.

This makes the photo model from nothing but the settings' data set. The output of the layers below, for the photographs
in all views, is computed once and kept. Batch normalisation is folded into the convolutions, so its statistics stay as
they are. Then the photographs are embedded with the trained layers, and the decoder is saved as the model of the
encoder `efficientnet_lite2_photos`, which `say-what-you-see train --model transformer --cider 1` with that encoder
trains further.

It takes an hour and a quarter at most on 2 CPU cores, and 8 GB of disk; after an interruption the same command goes
on. The trained layers overwrite the shipped ones, which the shipped model needs: `git checkout` brings them back.
"""

from dataclasses import replace

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.core.files import atomic_path
from say_what_you_see.core.settings import Settings, read_settings
from say_what_you_see.course.captions import prepare_captions
from say_what_you_see.course.features import SPLITS, VIEWS, extract_embeddings, extract_features
from say_what_you_see.course.lessons import TRANSFORMER, load_grids_and_captions, save_model
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.language.captions import PAD
from say_what_you_see.models.transformer import build_transformer
from say_what_you_see.training.loop import train_decoder
from say_what_you_see.vision.efficientnet_lite import FEATURE_SIZE, FINE_TUNED, FINE_TUNED_BLOCKS, read_blocks
from say_what_you_see.vision.efficientnet_lite_networks import apply_blocks
from say_what_you_see.vision.encoders import encoder_for

ENCODER = "efficientnet_lite2_299"
EPOCHS, LEARNING_RATE = 4, 5e-4  # a transformer alone takes 8e-4: the encoder was trained before


def extract_lower_features(settings: Settings, lower_settings: Settings) -> None:
    """Compute the output of the layers below the trained ones for both splits, the training split in all views."""
    encoder, files = encoder_for(settings), get_dataset(settings)
    images = encoder.model.inputs[0]
    grid = apply_blocks(images, read_blocks(ENCODER)[:-FINE_TUNED_BLOCKS])
    model = keras.Model(images, keras.layers.Reshape((-1, grid.shape[-1]))(grid))
    checksum = f"{encoder.weights_checksum} without its last blocks"
    lower = replace(encoder, model=model, name=lower_settings.encoder, weights_checksum=checksum, features="grid")
    for split, views in zip(SPLITS, (VIEWS, [""]), strict=True):
        for view in views:
            extract_features(lower_settings, files, lower, split, view=view)


def build_joint_model(decoder: keras.Model, shape: tuple[int, ...]) -> keras.Model:
    """The last layers of the encoder and the decoder as one model, from lower features and words to logits.

    Args:
        shape: the shape of a photograph's lower features, (regions, channels).
    """
    features, words = keras.Input(shape, name="features"), keras.Input((None,), dtype="int32", name="words")
    side = round(shape[0] ** 0.5)
    grid = apply_blocks(
        keras.layers.Reshape((side, side, shape[1]))(features), read_blocks(ENCODER)[-FINE_TUNED_BLOCKS:]
    )
    return keras.Model([features, words], decoder([keras.layers.Reshape((-1, FEATURE_SIZE))(grid), words]))


def save_last_layers(model: keras.Model) -> None:
    """Write the encoder layers of a joint model in half precision."""
    weights = {}
    for convolution in (each for block in read_blocks(ENCODER)[-FINE_TUNED_BLOCKS:] for each in block.convolutions):
        kernel, bias = model.get_layer(convolution.name).get_weights()
        weights[f"{convolution.name}/kernel"] = kernel.astype(np.float16)
        weights[f"{convolution.name}/bias"] = bias.astype(np.float16)
    with atomic_path(FINE_TUNED) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **weights)


def main() -> None:
    """Extract, train, save, and leave the decoder as a model of the new encoder."""
    settings = replace(read_settings(), encoder=ENCODER)
    lower_settings = replace(settings, encoder=f"{ENCODER}_lower")  # which names a folder only
    extract_lower_features(settings, lower_settings)
    prepare_captions(lower_settings, "grid")
    vocab, train, validation = load_grids_and_captions(lower_settings, captions_kind="grid")
    config = replace(TRANSFORMER.config(settings, train), epochs=EPOCHS, learning_rate=LEARNING_RATE)
    keras.utils.set_random_seed(config.seed)
    regions, channels = train.image_embeds.shape[1:]
    decoder = build_transformer(len(vocab), regions, FEATURE_SIZE, dropout=config.dropout)
    model = build_joint_model(decoder, (regions, channels))
    history = train_decoder(model, train, validation, config, vocab[PAD], lower_settings.work_folder / "checkpoints")
    save_last_layers(model)

    trained = replace(settings, encoder="efficientnet_lite2_photos")
    extract_embeddings(trained)
    prepare_captions(trained)
    TRANSFORMER.prepare(trained)
    save_model(TRANSFORMER, trained, decoder, vocab, config, history)


if __name__ == "__main__":
    main()
